//! Both ends of a cell's process: the parent that starts and watches it, the child that executes it.

use super::progress::Reporter;
use crate::checkpoint::RunFolder;
use crate::error::HarnessError;
use crate::event::{Event, JsonLines, ProgressSink};
use crate::executor::CellExecutor;
use crate::format;
use crate::identity::ResolvedCell;
use crate::machine;
use crate::record::{CellRecord, Status};
use crate::spec::LimitsSection;
use crate::workspace::Workspace;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The resolved cell, as the parent hands it to the child.
const CELL: &str = "cell.json";
/// The finished record, as the child hands it back.
const RECORD: &str = "record.json";
/// Signals that a program dies of: abort (a failed allocation aborts) and kill (so does the kernel when out of memory).
const ABORT: i32 = 6;
const KILL: i32 = 9;
/// Between two looks whether an orphan has ended.
const ORPHAN_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at the memory of a child that has a limit of it.
const MEMORY_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at a child that has no limit at all.
const IDLE_PAUSE: Duration = Duration::from_secs(3600);

/// Runs a cell in a child process to whatever end it comes to.
pub(super) fn run_in_child(
    workspace: &Workspace,
    cell: &ResolvedCell,
    reporter: &Reporter,
) -> Result<CellRecord, HarnessError> {
    let folder = {
        // Held only while preparing: the lock is the child's for as long as it runs.
        let folder = open_when_free(workspace, cell, reporter)?;
        if let Some(bytes) = folder.load(RECORD)? {
            reporter.note("picking up the record that an interrupted run had finished");
            return decode_record(cell, &bytes);
        }
        let bytes = serde_json::to_vec(cell).map_err(|source| HarnessError::execution("encode the cell", source))?;
        folder.save(CELL, &bytes)?;
        folder.path().to_path_buf()
    };
    let kills_before = machine::out_of_memory_kills();
    let mut child = spawn(&folder)?;
    let (events, stderr) = (events_of(child.stdout.take()), stderr_of(child.stderr.take()));
    let watched = watch(&mut child, &events, &cell.cell.config.limits, reporter);
    let status = child.wait().map_err(|source| HarnessError::io("wait for", &folder, source))?;
    let complaint = stderr.join().unwrap_or_default();
    reporter.close();
    if !complaint.trim().is_empty() {
        reporter.complaint(&complaint);
    }
    if status.success() && watched.recorded {
        let bytes = RunFolder::open(workspace, cell)?.load(RECORD)?.ok_or_else(|| HarnessError::Child {
            identity: cell.identity.to_string(),
            problem: "reported a record that is not in its run folder".into(),
        })?;
        return decode_record(cell, &bytes);
    }
    let killed_for_memory = machine::out_of_memory_kills() > kills_before;
    let (status, reason) = explain(watched, status, &complaint, killed_for_memory);
    Ok(CellRecord::unsuccessful(cell, status, reason))
}

/// Opens the run folder of a cell that this process, or its parent, has the claim of. Whoever still holds the folder is the child of a
/// parent that is gone, and about to notice.
pub(super) fn open_when_free(
    workspace: &Workspace,
    cell: &ResolvedCell,
    progress: &dyn ProgressSink,
) -> Result<RunFolder, HarnessError> {
    let mut said = false;
    loop {
        match RunFolder::open(workspace, cell) {
            Err(HarnessError::CellBusy { .. }) => {
                if !std::mem::replace(&mut said, true) {
                    progress.message("waiting for what an interrupted run left of this cell to end".into());
                }
                std::thread::sleep(ORPHAN_PAUSE);
            }
            other => return other,
        }
    }
}

/// What the parent saw.
#[derive(Default)]
struct Watched {
    recorded: bool,
    failure: Option<String>,
    /// The limit that the child was stopped at, and how to say so.
    stopped: Option<(Status, String)>,
}

fn spawn(folder: &Path) -> Result<Child, HarnessError> {
    let program = std::env::current_exe()
        .map_err(|source| HarnessError::io("find this program's file", Path::new("fhe-llama"), source))?;
    Command::new(&program)
        .arg("cell")
        .arg(folder)
        // The child watches its standard input: end of file means that this process is gone.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| HarnessError::io("start", &program, source))
}

/// Reads events in a thread; a line that is none is a message.
fn events_of(stdout: Option<ChildStdout>) -> Receiver<Event> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines()).map_while(Result::ok) {
            let event = serde_json::from_str(&line).unwrap_or(Event::Message { text: line });
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

fn stderr_of(stderr: Option<ChildStderr>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Follows the child until its output ends, or kills it at a limit.
fn watch(child: &mut Child, events: &Receiver<Event>, limits: &LimitsSection, reporter: &Reporter) -> Watched {
    let start = Instant::now();
    let mut watched = Watched::default();
    let looks = if limits.memory_gib.is_some() { MEMORY_PAUSE } else { IDLE_PAUSE };
    let left = || limits.seconds.map(|limit| Duration::from_secs_f64(limit).saturating_sub(start.elapsed()));
    loop {
        // What has been recorded is an answer, whatever it took.
        let patience = if watched.recorded { IDLE_PAUSE } else { left().map_or(looks, |left| left.min(looks)) };
        match events.recv_timeout(patience) {
            Ok(Event::Recorded { .. }) => watched.recorded = true,
            Ok(Event::Failed { reason }) => watched.failure = Some(reason),
            Ok(event) => reporter.emit(event),
            Err(RecvTimeoutError::Disconnected) => return watched,
            Err(RecvTimeoutError::Timeout) => {}
        }
        watched.stopped = passed(limits, start.elapsed(), child.id()).filter(|_| !watched.recorded);
        if watched.stopped.is_some() {
            let _ = child.kill();
            return watched;
        }
    }
}

/// The limit that a child has passed, if any.
fn passed(limits: &LimitsSection, elapsed: Duration, process: u32) -> Option<(Status, String)> {
    if let Some(limit) = limits.seconds.filter(|limit| elapsed.as_secs_f64() >= *limit) {
        return Some((Status::Timeout, format!("stopped at its limit of {limit} s (limits.seconds)")));
    }
    let allowed = limits.memory_bytes()?;
    let held = machine::peak_memory_bytes_of(process);
    let reason = || {
        let (held, allowed) = (format::bytes(held), format::bytes(allowed));
        format!("stopped when it held {held}, with a limit of {allowed} (limits.memory_gib)")
    };
    (held > allowed).then(|| (Status::OutOfMemory, reason()))
}

/// Names the end of a child that did not hand in a record.
fn explain(watched: Watched, exit: ExitStatus, complaint: &str, killed_for_memory: bool) -> (Status, String) {
    if let Some(stopped) = watched.stopped {
        return stopped;
    }
    if let Some(reason) = watched.failure {
        return (Status::Failed, reason);
    }
    let last_line = complaint.trim().lines().last().unwrap_or("it said nothing");
    // A backtrace may follow it.
    let refused = complaint.lines().find(|line| line.contains("memory allocation of"));
    match (exit.signal(), refused) {
        (Some(KILL), _) if killed_for_memory => {
            (Status::OutOfMemory, "killed by the kernel because the machine ran out of memory".into())
        }
        (Some(ABORT), Some(refused)) => (Status::OutOfMemory, refused.into()),
        (Some(signal), _) => {
            (Status::Failed, format!("killed by signal {signal}; finished layers are kept for the next run"))
        }
        (None, _) => (Status::Failed, format!("ended with {exit}: {last_line}")),
    }
}

fn decode_record(cell: &ResolvedCell, bytes: &[u8]) -> Result<CellRecord, HarnessError> {
    serde_json::from_slice(bytes).map_err(|error| HarnessError::Child {
        identity: cell.identity.to_string(),
        problem: format!("its record cannot be read: {error}"),
    })
}

/// The child's side: executes the cell whose run folder is given and leaves its record there. Progress goes to standard
/// output as JSON lines.
///
/// # Errors
/// What stopped the cell; the parent has been told already.
pub fn execute_cell(executor: &dyn CellExecutor, folder: &Path) -> Result<(), HarnessError> {
    stop_with_parent();
    // A panic is a defect of ours, but the cell still ends as a row that says where.
    let result = catch_unwind(AssertUnwindSafe(|| execute_in(executor, folder))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(HarnessError::Panic { message: message.unwrap_or("no message").into() })
    });
    match &result {
        Ok(path) => JsonLines.emit(Event::Recorded { path: path.clone() }),
        Err(error) => JsonLines.emit(Event::Failed { reason: error.to_string() }),
    }
    result.map(|_| ())
}

fn execute_in(executor: &dyn CellExecutor, path: &Path) -> Result<PathBuf, HarnessError> {
    let workspace = Workspace::at(path.parent().and_then(Path::parent).unwrap_or(Path::new(".")));
    let cell = read_cell(path)?;
    let folder = open_when_free(&workspace, &cell, &JsonLines)?;
    let record = executor.execute(&cell, &folder, &JsonLines)?;
    let bytes = serde_json::to_vec(&record).map_err(|source| HarnessError::execution("encode the record", source))?;
    folder.save(RECORD, &bytes)?;
    Ok(folder.path().join(RECORD))
}

/// The cell is read before the folder can be opened, because opening needs its identity.
fn read_cell(path: &Path) -> Result<ResolvedCell, HarnessError> {
    let file = path.join(CELL);
    let bytes = crate::checkpoint::read_verified(&file, CELL)?
        .ok_or_else(|| HarnessError::CheckpointDamaged { path: file.clone(), problem: "it is missing".into() })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| HarnessError::CheckpointDamaged { path: file, problem: error.to_string() })
}

/// Ends this process when its parent's end of standard input closes, however the parent died.
fn stop_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
}
