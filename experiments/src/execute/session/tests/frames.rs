//! Frames that are not what is due are refused by name.

use std::io::{Read, empty, sink};

use super::super::frame::{Kind, SessionId};
use super::super::line::Line;
use super::super::{Placement, SessionError, Terms};

const SESSION: SessionId = SessionId([7; 16]);

fn terms() -> Terms {
    let placement = Placement { block: 16, prefix: 0, start: 0, tokens: 5, answer: 3 };
    let [parameters, fingerprint, model, ranges, circuit] = ["p", "f", "m", "r", "c"].map(str::to_owned);
    Terms { parameters, fingerprint, model, ranges, circuit, placement }
}

/// What a client puts on the line: the opening of a session, then words.
fn frames(session: SessionId, words: &[&str]) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    let mut line = Line::new(empty(), &mut bytes);
    line.open(session, &terms()).unwrap();
    ends.push(line.departures().bytes() as usize);
    for word in words {
        line.send_words(Kind::Token, word).unwrap();
        ends.push(line.departures().bytes() as usize);
    }
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, end)| bytes[start..*end].to_vec()).collect()
}

/// What a server makes of it: the words, or the first refusal.
fn served(bytes: &[u8]) -> Result<Vec<String>, SessionError> {
    let mut line = Line::new(bytes, sink());
    let mut words = Vec::new();
    while line.accept()?.is_some() {
        while line.arrivals().entries.len() < 3 {
            match line.receive(Kind::Token, |contents| contents.words()) {
                Ok(word) => words.push(word),
                Err(SessionError::Left { .. }) => return Ok(words),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(words)
}

fn refusal(frames: &[&[u8]]) -> SessionError {
    served(&frames.concat()).expect_err("a refusal")
}

#[test]
fn frames_in_order_arrive() {
    assert_eq!(served(&frames(SESSION, &["a", "b"]).concat()).unwrap(), ["a", "b"]);
}

#[test]
fn rejects_a_replayed_frame() {
    let [open, a, b] = &frames(SESSION, &["a", "b"])[..] else { panic!() };
    assert!(matches!(refusal(&[open, a, a]), SessionError::Sequence { found: 1, required: 2 }));
    assert!(matches!(refusal(&[open, a, b, a]), SessionError::Sequence { found: 1, required: 3 }));
    let message = refusal(&[open, a, b, b]).to_string();
    assert!(message.contains("frame 2, required frame 3") && message.contains("not answered again"), "{message}");
}

#[test]
fn rejects_frames_out_of_order_or_left_out() {
    let [open, a, b] = &frames(SESSION, &["a", "b"])[..] else { panic!() };
    assert!(matches!(refusal(&[open, b, a]), SessionError::Sequence { found: 2, required: 1 }));
    let message = refusal(&[open, b]).to_string();
    assert!(message.contains("left out is missed"), "{message}");
}

#[test]
fn rejects_a_frame_of_another_session() {
    let (own, other) = (frames(SESSION, &["a"]), frames(SessionId([8; 16]), &["a"]));
    let error = refusal(&[&own[0], &other[1]]);
    assert!(matches!(error, SessionError::OtherSession { .. }));
    let message = error.to_string();
    assert!(message.contains("08080808") && message.contains("07070707"), "{message}");
}

/// All of a session again is none.
#[test]
fn rejects_a_session_that_was_there_before() {
    let once = frames(SESSION, &[]).concat();
    let twice = once.repeat(2);
    let mut line = Line::new(&twice[..], sink());
    assert_eq!(line.accept().unwrap(), Some(terms()));
    assert!(matches!(line.accept(), Err(SessionError::OtherSession { .. })));
}

#[test]
fn rejects_frames_cut_anywhere() {
    let whole = frames(SESSION, &["a", "b"]).concat();
    let ends: Vec<usize> = frames(SESSION, &["a", "b"])
        .iter()
        .map(Vec::len)
        .scan(0, |end, length| {
            Some({
                *end += length;
                *end
            })
        })
        .collect();
    for length in 1..whole.len() {
        let cut = served(&whole[..length]);
        match ends.contains(&length) {
            true => assert!(cut.is_ok()),
            false => assert!(matches!(cut, Err(SessionError::Truncated { left: 1.., .. })), "{length}: {cut:?}"),
        }
    }
}

/// Whichever byte is damaged, the frame is refused; where the damage is in what names the frame, by that name.
#[test]
fn rejects_damage_anywhere() {
    let good = frames(SESSION, &["a"]);
    for place in 0..good[1].len() {
        let mut frame = good[1].clone();
        frame[place] ^= 0x10;
        let error = refusal(&[&good[0], &frame]);
        let message = error.to_string();
        let expected = match place {
            0..8 => "magic",
            8..10 => "protocol version",
            10..12 => "kind",
            12..28 => "a frame of session",
            28..36 => "required frame 1",
            // Longer than what follows, or than any words are, or by a part of the checksum.
            36..44 => "session: ",
            _ => "checksum",
        };
        // Words that are damaged, or longer than they are, may be no words, too.
        let of_payload = (36..good[1].len() - 32).contains(&place);
        assert!(
            message.contains(expected) || (of_payload && message.contains("understand a frame")),
            "{place}: {message}"
        );
    }
}

#[test]
fn rejects_a_frame_whose_turn_it_is_not() {
    let message = refusal(&[&frames(SESSION, &[])[0], &{
        let mut bytes = Vec::new();
        let mut line = Line::new(empty(), &mut bytes);
        line.open(SESSION, &terms()).unwrap();
        let start = line.departures().bytes() as usize;
        line.send_words(Kind::Logits, &"a").unwrap();
        bytes.split_off(start)
    }]);
    let message = message.to_string();
    assert!(message.contains("kind is encrypted logits, required encrypted token"), "{message}");
}

#[test]
fn rejects_a_payload_that_holds_more_than_it_has_to() {
    let bytes = frames(SESSION, &["a"]).concat();
    let mut line = Line::new(&bytes[..], sink());
    line.accept().unwrap();
    let error = line.receive(Kind::Token, |contents| {
        let mut byte = [0];
        contents.read_exact(&mut byte).map_err(SessionError::engine("read a byte"))
    });
    let message = error.unwrap_err().to_string();
    assert!(message.contains("payload length is 2 bytes more"), "{message}");
}

/// A refusal ends a session whatever it answers, and says why.
#[test]
fn a_refusal_is_heard() {
    let mut bytes = Vec::new();
    Line::new(empty(), &mut bytes).refuse(&SessionError::Sequence { found: 1, required: 2 });
    let mut line = Line::new(&bytes[..], sink());
    line.open(SESSION, &terms()).unwrap();
    let error = line.receive(Kind::Welcome, |contents| contents.words::<Terms>()).unwrap_err();
    assert!(error.to_string().starts_with("the server refused: session: frame 1, required frame 2"), "{error}");
}

#[test]
fn rejects_the_silence_of_a_server_that_is_gone() {
    let mut line = Line::new(empty(), sink());
    line.open(SESSION, &terms()).unwrap();
    assert!(matches!(line.receive(Kind::Welcome, |_| Ok(())), Err(SessionError::Left { .. })));
}
