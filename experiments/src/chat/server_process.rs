//! The server as a child process: started, talked to through two pipes, and never left behind.

use std::io::{BufReader, BufWriter};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::Setting;
use crate::error::HarnessError;
use crate::execute::session::{Line, SessionError};

/// Bytes that go through a pipe at once.
const CHUNK: usize = 1 << 20;
/// How long a server that has stopped talking may take to end, and between two looks whether it has.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

pub(super) type Pipe = Line<BufReader<ChildStdout>, BufWriter<ChildStdin>>;

/// A server that ends with this process.
pub(super) struct ServerProcess {
    child: Child,
    /// None once the conversation is over.
    line: Option<Pipe>,
}

impl ServerProcess {
    /// Starts `fhe-llama serve`. What it has to say beside frames goes to this process's standard error.
    pub(super) fn start(setting: &Setting, root: &Path) -> Result<Self, HarnessError> {
        let program = std::env::current_exe()
            .map_err(|source| HarnessError::io("find this program's file", Path::new("fhe-llama"), source))?;
        let mut command = Command::new(&program);
        command.arg("serve").args(setting.arguments()).current_dir(root);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|source| HarnessError::io("start", &program, source))?;
        let pipes = child.stdout.take().zip(child.stdin.take());
        let line = pipes.map(|(output, input)| {
            Line::new(BufReader::with_capacity(CHUNK, output), BufWriter::with_capacity(CHUNK, input))
        });
        Ok(Self { child, line })
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The line to it.
    pub(super) fn line(&mut self) -> &mut Pipe {
        self.line.as_mut().unwrap_or_else(|| unreachable!("the line stays until the server is explained or ended"))
    }

    /// What a session's error is due to, where it is due to the server's end.
    pub(super) fn explain(mut self, error: SessionError) -> HarnessError {
        if !matches!(error, SessionError::Left { .. } | SessionError::Truncated { .. }) {
            return HarnessError::Session(error);
        }
        drop(self.line.take());
        match self.ended() {
            Some(status) => HarnessError::ServerEnded { ended: in_words(status), source: error },
            None => HarnessError::Session(error),
        }
    }

    /// Ends the conversation: the end of its input ends the server.
    pub(super) fn end(mut self) -> Result<(), HarnessError> {
        drop(self.line.take());
        self.ended();
        Ok(())
    }

    /// How it ended, if it does so in time.
    fn ended(&mut self) -> Option<ExitStatus> {
        let patience = Instant::now();
        while patience.elapsed() < PATIENCE {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(PAUSE);
        }
        None
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.line.take());
        // Nobody is left to talk to it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit status {code}"),
        (None, None) => "ended".into(),
    }
}
