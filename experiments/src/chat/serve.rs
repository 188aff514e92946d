//! `fhe-llama serve`: sessions over standard input and output, until the input ends.

use std::io::{BufReader, BufWriter, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::Setting;
use crate::error::HarnessError;
use crate::event::Quiet;
use crate::execute;
use crate::execute::session::{self, Common, Line};

/// Bytes read at once.
const CHUNK: usize = 1 << 20;
/// Chunks that may wait to be worked on.
const CHUNKS: usize = 4;
/// After the input has ended, whoever reads it has come to its end; whoever still computes does so for nobody.
const GRACE: Duration = Duration::from_secs(2);

/// Serves the model of a setting. Refusals go over the line.
///
/// # Errors
/// What is wrong with spec or model; [`HarnessError::Session`] for what was refused.
pub fn serve(setting: &Setting, root: &Path) -> Result<(), HarnessError> {
    let cell = setting.cell_of_server(root)?;
    execute::use_threads(cell.config.threads())?;
    let common = Common::read(cell, root, &Quiet)?;
    let output = BufWriter::with_capacity(CHUNK, std::io::stdout().lock());
    session::serve(&common, &mut Line::new(BufReader::new(Ahead::of_standard_input()), output))
}

/// An input that a thread reads ahead of its user, so that its end is noticed in the middle of a computation.
struct Ahead {
    chunks: Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
}

impl Ahead {
    /// Standard input; its end ends the process.
    fn of_standard_input() -> Self {
        let (sender, chunks) = sync_channel(CHUNKS);
        std::thread::spawn(move || {
            pass_on(&mut std::io::stdin().lock(), sender);
            std::thread::sleep(GRACE);
            std::process::exit(1);
        });
        Self { chunks, chunk: Vec::new(), taken: 0 }
    }
}

/// Hands over what comes in until nothing does, or nobody takes it.
fn pass_on(input: &mut impl Read, chunks: SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(count @ 1..) = input.read(&mut buffer) {
        if chunks.send(buffer[..count].to_vec()).is_err() {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if self.taken == self.chunk.len() {
            let Ok(chunk) = self.chunks.recv() else { return Ok(0) };
            (self.chunk, self.taken) = (chunk, 0);
        }
        let count = (&self.chunk[self.taken..]).read(bytes)?;
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_ahead_is_what_came() {
        let bytes: Vec<u8> = (0..3 * CHUNK + 5).map(|index| index as u8).collect();
        let (sender, chunks) = sync_channel(CHUNKS);
        let mut source = std::io::Cursor::new(bytes.clone());
        let reader = std::thread::spawn(move || pass_on(&mut source, sender));
        let mut found = Vec::new();
        Ahead { chunks, chunk: Vec::new(), taken: 0 }.read_to_end(&mut found).unwrap();
        reader.join().unwrap();
        assert!(found == bytes);
    }
}
