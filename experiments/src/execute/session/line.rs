//! A line between client and server: frames in order on any two streams.

use std::io::{ErrorKind, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{CHECKSUM_BYTES, HEADER_BYTES, Header, Kind, SessionId};
use super::ledger::Ledger;
use super::{SessionError, Terms};

/// Most bytes of a payload in words: terms, accounts, refusals.
const MOST_WORDS: u64 = 1 << 20;

/// One end of a connection. Each direction counts its own frames, from 0 in every session.
pub struct Line<R, W> {
    input: R,
    output: W,
    session: SessionId,
    received: u64,
    sent: u64,
    arrivals: Ledger,
    departures: Ledger,
    /// Sessions that were opened over this line.
    known: Vec<SessionId>,
}

impl<R: Read, W: Write> Line<R, W> {
    /// A line over two streams; they should be buffered.
    pub fn new(input: R, output: W) -> Self {
        let (arrivals, departures) = (Ledger::default(), Ledger::default());
        Self {
            input,
            output,
            session: SessionId([0; 16]),
            received: 0,
            sent: 0,
            arrivals,
            departures,
            known: Vec::new(),
        }
    }

    /// The session under way, or the last one.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What came since the session began.
    pub fn arrivals(&self) -> &Ledger {
        &self.arrivals
    }

    /// What was sent since the session began.
    pub fn departures(&self) -> &Ledger {
        &self.departures
    }

    /// Begins a session of this name.
    fn begin(&mut self, session: SessionId) {
        self.known.push(session);
        (self.session, self.received, self.sent) = (session, 0, 0);
        (self.arrivals, self.departures) = (Ledger::default(), Ledger::default());
    }

    /// The client's first word in a session.
    ///
    /// # Errors
    /// [`SessionError::Left`].
    pub(super) fn open(&mut self, session: SessionId, terms: &Terms) -> Result<(), SessionError> {
        self.begin(session);
        self.send_words(Kind::Open, terms)
    }

    /// The terms of the next session; none where the client has none left.
    ///
    /// # Errors
    /// [`SessionError::OtherSession`] for one that was there before; those of [`Line::receive`].
    pub(super) fn accept(&mut self) -> Result<Option<Terms>, SessionError> {
        let Some((header, bytes)) = Header::read(&mut self.input)? else { return Ok(None) };
        if self.known.contains(&header.session) {
            let required = "one that was never opened here".to_owned();
            return Err(SessionError::OtherSession { found: header.session.to_string(), required });
        }
        self.begin(header.session);
        self.contents((header, bytes), |kind, contents| expect(kind, Kind::Open).and_then(|()| contents.words()))
            .map(Some)
    }

    /// Receives one frame of the given kind; `read` reads its payload, all of it.
    ///
    /// # Errors
    /// [`SessionError::OtherSession`], [`SessionError::Sequence`], [`SessionError::Truncated`], [`SessionError::Frame`] for frames that are not
    /// what is due; [`SessionError::Refused`] for the other side's refusal; [`SessionError::Left`]; those of `read`.
    pub(super) fn receive<T>(
        &mut self,
        required: Kind,
        read: impl FnOnce(&mut Contents<'_, R>) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        self.receive_any(|kind, contents| expect(kind, required).and_then(|()| read(contents)))
    }

    /// Receives one frame of whatever kind comes.
    ///
    /// # Errors
    /// As [`Line::receive`].
    pub(super) fn receive_any<T>(
        &mut self,
        read: impl FnOnce(Kind, &mut Contents<'_, R>) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        match Header::read(&mut self.input)? {
            Some(header) => self.contents(header, read),
            None => Err(SessionError::Left { what: "an answer was due" }),
        }
    }

    fn contents<T>(
        &mut self,
        (header, bytes): (Header, Vec<u8>),
        read: impl FnOnce(Kind, &mut Contents<'_, R>) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        let mut checksum = blake3::Hasher::new();
        checksum.update(&bytes);
        let mut contents = Contents { input: &mut self.input, checksum, left: header.payload_bytes, ended: false };
        if header.kind == Kind::Refusal {
            // Whatever it answers, nothing follows it.
            let reason = contents.words()?;
            return Err(SessionError::Refused { reason });
        }
        if header.session != self.session {
            let [found, required] = [header.session, self.session].map(|session| session.to_string());
            return Err(SessionError::OtherSession { found, required });
        }
        if header.sequence != self.received {
            return Err(SessionError::Sequence { found: header.sequence, required: self.received });
        }
        let result = read(header.kind, &mut contents);
        if contents.ended {
            return Err(SessionError::Truncated { what: header.kind.name(), left: contents.left + CHECKSUM_BYTES });
        }
        let value = result?;
        if contents.left > 0 {
            let found = format!("{} bytes more than a frame of {} holds", contents.left, header.kind.name());
            let remedy = "use the same release on both sides";
            return Err(SessionError::frame("payload length", found, "its contents", remedy));
        }
        let required = contents.checksum.finalize();
        let mut found = [0; CHECKSUM_BYTES as usize];
        self.input.read_exact(&mut found).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => SessionError::Truncated { what: header.kind.name(), left: CHECKSUM_BYTES },
            _ => SessionError::engine("read a frame")(error),
        })?;
        if blake3::Hash::from_bytes(found) != required {
            let short = |hash: blake3::Hash| hash.to_hex()[..8].to_owned();
            let (found, required) = (short(blake3::Hash::from_bytes(found)), short(required));
            return Err(SessionError::frame("checksum", found, required, "transfer the frame again, in a new session"));
        }
        self.received += 1;
        self.arrivals.add(header.kind, HEADER_BYTES + header.payload_bytes + CHECKSUM_BYTES);
        Ok(value)
    }

    /// Sends one frame whose payload, of exactly `payload_bytes`, `write` writes.
    ///
    /// # Errors
    /// [`SessionError::Left`] where nobody takes it; those of `write`.
    pub(super) fn send(
        &mut self,
        kind: Kind,
        payload_bytes: u64,
        write: impl FnOnce(&mut Sealed<'_, W>) -> Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let header = Header { kind, session: self.session, sequence: self.sent, payload_bytes };
        let mut sealed = Sealed { output: &mut self.output, checksum: blake3::Hasher::new(), failed: false };
        let result = sealed.bytes(&header.bytes()).and_then(|()| write(&mut sealed)).and_then(|()| sealed.finish());
        if sealed.failed {
            return Err(SessionError::Left { what: "it was sent a frame" });
        }
        result?;
        self.sent += 1;
        self.departures.add(kind, HEADER_BYTES + payload_bytes + CHECKSUM_BYTES);
        Ok(())
    }

    /// Sends a frame in words, as JSON.
    pub(super) fn send_words<T: Serialize>(&mut self, kind: Kind, words: &T) -> Result<(), SessionError> {
        let bytes = serde_json::to_vec(words).map_err(SessionError::engine("encode a frame"))?;
        self.send(kind, bytes.len() as u64, |frame| frame.bytes(&bytes))
    }

    /// Says why nothing follows. That this may not arrive is no reason to say it to anyone else.
    pub(super) fn refuse(&mut self, error: &SessionError) {
        let _ = self.send_words(Kind::Refusal, &error.to_string());
    }
}

fn expect(found: Kind, required: Kind) -> Result<(), SessionError> {
    if found == required { Ok(()) } else { Err(unexpected(found, required.name())) }
}

/// A frame whose turn it is not.
pub(super) fn unexpected(found: Kind, required: &str) -> SessionError {
    SessionError::frame("kind", found.name(), required, "send what is due in the order of the protocol")
}

/// The payload of a frame that is coming in.
pub(super) struct Contents<'a, R> {
    input: &'a mut R,
    checksum: blake3::Hasher,
    left: u64,
    /// Whether the input ended before the frame did.
    ended: bool,
}

impl<R: Read> Contents<'_, R> {
    /// All that is left, as JSON.
    pub(super) fn words<T: DeserializeOwned>(&mut self) -> Result<T, SessionError> {
        if self.left > MOST_WORDS {
            let remedy = "use the same release on both sides";
            return Err(SessionError::frame("payload length", self.left, format!("at most {MOST_WORDS}"), remedy));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(SessionError::engine("read a frame"))?;
        serde_json::from_slice(&bytes).map_err(SessionError::engine("understand a frame"))
    }

    /// Refuses a payload whose length is not what it has to hold, before anything of it is read.
    pub(super) fn expect_bytes(&self, required: u64) -> Result<(), SessionError> {
        if self.left == required {
            return Ok(());
        }
        let remedy = "send as many ciphertexts as the circuit has, under its parameters";
        Err(SessionError::frame("payload length", self.left, required, remedy))
    }
}

impl<R: Read> Read for Contents<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let most = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.input.read(&mut bytes[..most])?;
        self.ended |= count == 0 && most > 0;
        self.checksum.update(&bytes[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

/// A frame on its way out.
pub(super) struct Sealed<'a, W> {
    output: &'a mut W,
    checksum: blake3::Hasher,
    /// Whether the output took less than it was given.
    failed: bool,
}

impl<W: Write> Sealed<'_, W> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), SessionError> {
        self.write_all(bytes).map_err(SessionError::engine("write a frame"))
    }

    fn finish(&mut self) -> Result<(), SessionError> {
        let checksum = self.checksum.finalize();
        self.bytes(checksum.as_bytes())?;
        self.flush().map_err(SessionError::engine("write a frame"))
    }
}

impl<W: Write> Write for Sealed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count =
            self.output.write(bytes).inspect_err(|error| self.failed |= error.kind() != ErrorKind::Interrupted)?;
        self.checksum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush().inspect_err(|_| self.failed = true)
    }
}
