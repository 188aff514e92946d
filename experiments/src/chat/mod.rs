//! `fhe-llama chat`: a conversation with a model under encryption, between this process and a server that it starts.
//!
//! ```text
//! terminal --text--> chat --tokens, secrets--> client ==frames==> serve --weights--> layers
//!                      '<--text-- sampler <--logits--'  <==frames== '<--keys and values--'
//! ```
//!
//! The server is `fhe-llama serve` in a process of its own, connected by a pipe each way ([`crate::execute::session`]). Both read the same spec and model;
//! what only the client is to know ([`Setting`]) is left out of the server's command line.
//!
//! **Turns.** A base model continues text: what is typed continues the conversation so far, and the whole of it is the next turn's prompt. Each turn is a
//! session of its own, with new secrets and new keys; the server keeps nothing from turn to turn, and its cache does not outlive the session. A conversation
//! that no longer fits into the block is refused before anything is sent.
//!
//! **Ends.** The server ends when its input does, also in the middle of a computation. When the server ends, the client says how.

mod boundary;
mod conversation;
mod serve;
mod server_process;
mod setting;

pub use serve::serve;
pub use setting::Setting;

use std::io::{BufRead, Write};
use std::path::Path;

use conversation::Conversation;
use fhe_ring::Seed;
use server_process::ServerProcess;

use crate::error::HarnessError;
use crate::event::ProgressSink;
use crate::execute;
use crate::execute::session::Common;
use crate::format;
use crate::randomness::seed_of;

/// What is typed to begin a new conversation, and to end the program.
const NEW: &str = "/new";
const QUIT: &str = "/quit";

/// Where a conversation takes place.
pub struct Terminal<'a> {
    /// What is typed, a line a turn.
    pub input: &'a mut dyn BufRead,
    /// Where answers go.
    pub output: &'a mut dyn Write,
    /// Whether someone is there to try again: a line that is refused then ends nothing.
    pub interactive: bool,
}

/// Holds a conversation until the input ends.
///
/// # Errors
/// What is wrong with spec, model or server; without someone at the terminal, a line that is refused.
pub fn chat(
    setting: &Setting,
    root: &Path,
    terminal: Terminal<'_>,
    progress: &dyn ProgressSink,
) -> Result<(), HarnessError> {
    let Terminal { input, output, interactive } = terminal;
    let cell = setting.cell(root)?;
    execute::use_threads(cell.config.threads())?;
    let seed = seed_of(&cell).map(Seed::from_bytes);
    let common = Common::read(cell, root, progress)?;
    let mut server = ServerProcess::start(setting, root)?;
    let mut say = |text: &str| say(output, text);
    say(&introduction(&common, &server, seed.is_some()))?;
    let mut conversation = Conversation::new(&common, seed);
    let mut line = String::new();
    loop {
        if interactive {
            say("\n> ")?;
        }
        line.clear();
        let count = input.read_line(&mut line);
        if count.map_err(|source| HarnessError::io("read", Path::new("standard input"), source))? == 0 {
            break;
        }
        match line.trim() {
            "" => continue,
            QUIT => break,
            NEW => {
                conversation.forget();
                say("a new conversation\n")?;
            }
            typed => match conversation.turn(typed, server.line(), &mut say, progress) {
                Ok(()) => (),
                Err(HarnessError::Session(error)) => return Err(server.explain(error)),
                Err(refused) if interactive => say(&format!("refused: {refused}\n{NEW} begins a new conversation\n"))?,
                Err(refused) => return Err(refused),
            },
        }
    }
    server.end()
}

/// Says something at once.
fn say(output: &mut dyn Write, text: &str) -> Result<(), HarnessError> {
    let said = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    said.map_err(|source| HarnessError::io("write", Path::new("standard output"), source))
}

/// What is talked to, how safely, and who is where.
fn introduction(common: &Common, server: &ServerProcess, seeded: bool) -> String {
    let (set, config) = (common.parameters().set(), common.config());
    let security = if set.insecure {
        "INSECURE, a small ring for tests".to_owned()
    } else {
        format!("{} bits", fhe_rlwe::security::SECURITY_BITS)
    };
    let keys = if seeded {
        "made from engine.seed: reproducible, NOT PRIVATE"
    } else {
        "of the operating system, new for every turn"
    };
    format!(
        "model       {} ({} parameters), which continues text\n\
         context     {} tokens of conversation, prefix and answer\n\
         parameters  {}: {security}\n\
         secrets     {keys}; in this process, {}, alone\n\
         server      process {}, computing on {}: weights, evaluation keys, ciphertexts\n\
         each line continues the conversation; {NEW} begins another, {QUIT} or the end of input ends it\n",
        config.model.path.display(),
        format::count(common.weights().parameter_count()),
        common.block_tokens(),
        set.name,
        std::process::id(),
        server.id(),
        config.engine.device,
    )
}
