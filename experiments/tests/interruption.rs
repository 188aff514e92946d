//! Cells that fail, hang, panic or are killed, in real processes.
//!
//! This program is its own parent and child: called as `fhe-llama` is, it runs the harness with a scripted executor in
//! place of the engine. The script of a cell lies in its model folder.

mod fixture;

use experiments::checkpoint::RunFolder;
use experiments::error::HarnessError;
use experiments::event::ProgressSink;
use experiments::executor::CellExecutor;
use experiments::identity::ResolvedCell;
use experiments::journal::Journal;
use experiments::machine::peak_memory_bytes;
use experiments::record::{CellRecord, Status};
use experiments::runner::{Intent, RunRequest, plan};
use experiments::spec::Cell;
use experiments::workspace::Workspace;
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        // With a second argument: a lone `run` is a filter of tests.
        Some("run" | "cell") if arguments.len() > 1 => experiments::cli::main_with(&Scripted),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

fn trials() -> Vec<Trial> {
    type Test = fn() -> Result<(), Failed>;
    let tests: [(&str, Test); 18] = [
        ("a_cell_runs_once", a_cell_runs_once),
        ("force_starts_from_the_beginning", force_starts_from_the_beginning),
        ("a_failed_cell_is_a_row_and_the_others_run", a_failed_cell_is_a_row_and_the_others_run),
        ("a_panic_is_a_row", a_panic_is_a_row),
        ("a_slow_cell_times_out", a_slow_cell_times_out),
        ("a_killed_child_is_a_row_and_resumes", a_killed_child_is_a_row_and_resumes),
        ("a_killed_parent_loses_nothing", a_killed_parent_loses_nothing),
        ("a_bad_spec_stops_everything_beforehand", a_bad_spec_stops_everything_beforehand),
        ("a_finished_record_is_picked_up", a_finished_record_is_picked_up),
        ("a_result_that_cannot_be_recorded_is_kept", a_result_that_cannot_be_recorded_is_kept),
        ("two_processes_share_the_cells_of_a_suite", two_processes_share_the_cells_of_a_suite),
        ("one_cell_runs_alone", one_cell_runs_alone),
        ("cells_run_beside_each_other", cells_run_beside_each_other),
        ("cells_wait_for_memory", cells_wait_for_memory),
        ("the_first_cell_tells_what_others_need", the_first_cell_tells_what_others_need),
        ("a_killed_parent_of_several_loses_nothing", a_killed_parent_of_several_loses_nothing),
        ("a_cell_that_holds_too_much_is_stopped", a_cell_that_holds_too_much_is_stopped),
        ("a_cell_that_is_refused_memory_is_a_row", a_cell_that_is_refused_memory_is_a_row),
    ];
    let on_a_small_disk = Trial::test("a_full_disk_loses_nothing", a_full_disk_loses_nothing);
    let tests = tests.into_iter().map(|(name, test)| Trial::test(name, test));
    tests.chain([on_a_small_disk.with_ignored_flag(!can_mount())]).collect()
}

/// Runs five layers. `model/script` says what happens at the third one; every computed layer leaves a line in
/// `model/trace`.
struct Scripted;

const LAYERS: u64 = 5;
const EVENTFUL: u64 = 3;

impl CellExecutor for Scripted {
    fn preflight(&self, cell: &Cell, _root: &Path, _progress: &dyn ProgressSink) -> Result<(), HarnessError> {
        match cell.config.engine.parameters.as_str() {
            "weak" => {
                Err(HarnessError::execution("choose parameters", std::io::Error::other("`weak` is no parameter set")))
            }
            _ => Ok(()),
        }
    }

    fn execute(
        &self,
        cell: &ResolvedCell,
        folder: &RunFolder,
        progress: &dyn ProgressSink,
    ) -> Result<CellRecord, HarnessError> {
        let model = cell.root.join(&cell.cell.config.model.path);
        let script = std::fs::read_to_string(model.join("script")).unwrap_or_default();
        let mut record = CellRecord::begin(cell);
        folder.seed()?;
        let start = Instant::now();
        for layer in 1..=LAYERS {
            let checkpoint = format!("layer-{layer}");
            if folder.load(&checkpoint)?.is_some() {
                continue;
            }
            if layer == EVENTFUL {
                act(script.trim(), &model, cell.cell.config.input.block_tokens)?;
            }
            let mut trace = OpenOptions::new().create(true).append(true).open(model.join("trace")).unwrap();
            // One write a line: cells beside each other append to the same file.
            trace.write_all(format!("{} {layer}\n", cell.cell.config.input.block_tokens).as_bytes()).unwrap();
            folder.save(&checkpoint, &layer.to_le_bytes())?;
            progress.step("layers", layer, LAYERS, start);
        }
        record.counts.insert("layers".into(), LAYERS);
        record.footprint.peak_memory_bytes = peak_memory_bytes();
        Ok(record)
    }
}

fn act(script: &str, model: &Path, cell: usize) -> Result<(), HarnessError> {
    match script {
        "meet" => {
            let place = |cell: usize| model.join(format!("cell-{cell}"));
            std::fs::write(place(cell), "").unwrap();
            // The first one is to run alone; the others wait for each other.
            wait_for("the other cell", || cell == 16 || place(32).exists() && place(64).exists());
            Ok(())
        }
        "fail" => Err(HarnessError::execution("compute layer 3", std::io::Error::other("the numbers ran out"))),
        "panic" => panic!("index 7 of 5"),
        "wait" => {
            wait_for("the file that lets cells go on", || model.join("go").exists());
            Ok(())
        }
        "hoard" => {
            let hoard = vec![1_u8; 300 << 20];
            std::thread::sleep(Duration::from_secs(60));
            drop(std::hint::black_box(hoard));
            Ok(())
        }
        "demand" => {
            // More than any address space has.
            drop(std::hint::black_box(vec![1_u8; 1 << 60]));
            Ok(())
        }
        "sleep" => {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A workspace whose cells follow a script.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new(script: &str) -> Self {
        let stage = Self { folder: fixture::workspace().0 };
        stage.script(script);
        stage
    }

    fn script(&self, script: &str) {
        std::fs::write(self.folder.path().join("model/script"), script).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["run", "sample.toml"]).args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn records(&self) -> Vec<CellRecord> {
        Journal::of(&Workspace::at(self.folder.path()), "sample").read().unwrap().records
    }

    fn statuses(&self) -> Vec<Status> {
        self.records().iter().map(|record| record.status).collect()
    }

    /// The layers that were computed, in order.
    fn trace(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("model/trace")).unwrap_or_default();
        text.lines().map(str::to_string).collect()
    }

    /// Run folders that still exist.
    fn run_folders(&self) -> usize {
        self.runs().len()
    }

    fn runs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join(".runs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// Starts a run and waits until its cell is about to sleep, two layers done and stored.
    fn start_and_wait(&self) -> Child {
        let parent = self.command(&[]).spawn().unwrap();
        self.wait_for_eventful(1);
        parent
    }

    /// Waits until so many cells are about to do what the script says.
    fn wait_for_eventful(&self, cells: usize) {
        let arrived = || self.runs().iter().filter(|run| run.join("layer-2").is_file()).count();
        wait_for("cells at their third layer", || arrived() == cells);
    }

    /// Runs cells beside each other, lets them go on once so many wait at their third layer, and takes what the command says.
    fn run_past_eventful(&self, arguments: &[&str], cells: usize) -> Output {
        let run = self.command(arguments).spawn().unwrap();
        self.wait_for_eventful(cells);
        self.go();
        let output = run.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output
    }

    /// Lets cells that wait go on.
    fn go(&self) {
        std::fs::write(self.folder.path().join("model/go"), "").unwrap();
    }

    /// Makes the suite a sweep of three cells.
    fn sweep(&self) {
        self.sweep_with("");
    }

    /// The same with something more in the spec.
    fn sweep_with(&self, section: &str) {
        let spec = format!("{}\n{section}\n[sweep.product]\n\"input.block_tokens\" = [16, 32, 64]\n", fixture::SPEC);
        std::fs::write(self.folder.path().join("sample.toml"), spec).unwrap();
    }
}

/// Waits for something that another process does.
fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let patience = Instant::now();
    while !is_there() {
        assert!(patience.elapsed() < Duration::from_secs(60), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The child of a process that runs one cell at a time, from the kernel's list of its main thread's children.
fn child_of(parent: &Child) -> u32 {
    let main = parent.id();
    let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

fn kill(process: u32) {
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
}

fn whole_trace() -> Vec<String> {
    (1..=LAYERS).map(|layer| format!("16 {layer}")).collect()
}

fn a_cell_runs_once() -> Result<(), Failed> {
    let stage = Stage::new("");
    let first = stage.run(&[]);
    assert!(first.status.success(), "{}", stderr(&first));
    let second = stage.run(&[]);
    assert!(second.status.success() && stderr(&second).contains("--force runs it again"));
    assert_eq!((stage.statuses(), stage.trace()), (vec![Status::Ok], whole_trace()));
    assert_eq!(stage.run_folders(), 0);
    for suffix in [".jsonl", ".parquet", ".csv", ".md"] {
        assert!(stage.folder.path().join(format!("results/sample/sample{suffix}")).is_file(), "{suffix}");
    }
    Ok(())
}

fn force_starts_from_the_beginning() -> Result<(), Failed> {
    let stage = Stage::new("");
    stage.run(&[]);
    assert!(stage.run(&["--force"]).status.success());
    assert_eq!(stage.statuses(), [Status::Ok, Status::Ok]);
    assert_eq!(stage.trace(), [whole_trace(), whole_trace()].concat());
    Ok(())
}

fn a_failed_cell_is_a_row_and_the_others_run() -> Result<(), Failed> {
    let stage = Stage::new("fail");
    let spec = format!("{}\n[sweep.product]\n\"input.block_tokens\" = [16, 32]\n", fixture::SPEC);
    std::fs::write(stage.folder.path().join("sample.toml"), spec).unwrap();
    let output = stage.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stage.statuses(), [Status::Failed, Status::Failed]);
    assert_eq!(stage.records()[0].reason.as_deref(), Some("cannot compute layer 3: the numbers ran out"));
    assert!(stderr(&output).contains("2 of 2 cells did not succeed"), "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("16 ").count(), 0, "a cell's own trace is not for the user");
    Ok(())
}

fn a_panic_is_a_row() -> Result<(), Failed> {
    let stage = Stage::new("panic");
    let output = stage.run(&[]);
    assert_eq!((output.status.code(), stage.statuses()), (Some(1), vec![Status::Failed]));
    assert!(stage.records()[0].reason.as_ref().unwrap().contains("index 7 of 5"));
    assert!(stderr(&output).contains("the cell's process wrote:"));
    Ok(())
}

fn a_slow_cell_times_out() -> Result<(), Failed> {
    let stage = Stage::new("sleep");
    let output = stage.run(&["--set", "limits.seconds=0.5"]);
    assert_eq!((output.status.code(), stage.statuses()), (Some(1), vec![Status::Timeout]));
    assert!(stage.records()[0].reason.as_ref().unwrap().contains("limits.seconds"));
    Ok(())
}

fn a_cell_that_holds_too_much_is_stopped() -> Result<(), Failed> {
    let stage = Stage::new("hoard");
    let output = stage.run(&["--set", "limits.memory_gib=0.25"]);
    assert_eq!((output.status.code(), stage.statuses()), (Some(1), vec![Status::OutOfMemory]));
    let reason = stage.records()[0].reason.clone().unwrap();
    assert!(reason.starts_with("stopped when it held ") && reason.ends_with("256 MiB (limits.memory_gib)"), "{reason}");
    // With more room the same cell, another configuration, runs.
    stage.script("");
    assert!(stage.run(&["--set", "limits.memory_gib=4"]).status.success());
    assert_eq!(stage.statuses(), [Status::OutOfMemory, Status::Ok]);
    Ok(())
}

fn a_cell_that_is_refused_memory_is_a_row() -> Result<(), Failed> {
    let stage = Stage::new("demand");
    assert_eq!((stage.run(&[]).status.code(), stage.statuses()), (Some(1), vec![Status::OutOfMemory]));
    assert!(stage.records()[0].reason.as_ref().unwrap().contains("memory allocation of"));
    Ok(())
}

fn a_killed_child_is_a_row_and_resumes() -> Result<(), Failed> {
    let stage = Stage::new("sleep");
    let mut parent = stage.start_and_wait();
    kill(child_of(&parent));
    assert_eq!(parent.wait().unwrap().code(), Some(1));
    assert_eq!(stage.statuses(), [Status::Failed]);
    assert!(stage.records()[0].reason.as_ref().unwrap().contains("signal 9"));
    stage.script("");
    assert!(stage.run(&[]).status.success());
    assert_eq!(stage.statuses(), [Status::Failed, Status::Ok]);
    assert_eq!((stage.trace(), stage.run_folders()), (whole_trace(), 0));
    Ok(())
}

fn a_killed_parent_loses_nothing() -> Result<(), Failed> {
    let stage = Stage::new("sleep");
    let mut parent = stage.start_and_wait();
    let orphan = child_of(&parent);
    kill(parent.id());
    parent.wait().unwrap();
    let patience = Instant::now();
    while Path::new(&format!("/proc/{orphan}")).exists() && !is_zombie(orphan) {
        assert!(patience.elapsed() < Duration::from_secs(10), "the child outlived its parent");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(stage.records().is_empty());
    stage.script("");
    let output = stage.run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!((stage.statuses(), stage.trace()), (vec![Status::Ok], whole_trace()));
    Ok(())
}

/// An orphan is reaped by whoever adopts it, which may be nobody inside a container.
fn is_zombie(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && line.contains('Z'))
}

fn a_bad_spec_stops_everything_beforehand() -> Result<(), Failed> {
    let stage = Stage::new("");
    let bad = fixture::SPEC.replace("threads", "thread").replace("\"sample\"", "\"bad\"");
    std::fs::write(stage.folder.path().join("bad.toml"), bad).unwrap();
    let output = stage.run(&["bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `engine.threads`?"));
    let output = stage.run(&["--set", "engine.parameters=weak"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`weak` is no parameter set"));
    assert!(stage.trace().is_empty() && stage.records().is_empty() && stage.run_folders() == 0);
    Ok(())
}

/// A parent that was killed between its child's last act and the journal finds the record in the run folder.
fn a_finished_record_is_picked_up() -> Result<(), Failed> {
    let stage = Stage::new("");
    stage.run(&[]);
    let record = stage.records().remove(0);
    std::fs::remove_dir_all(stage.folder.path().join("results")).unwrap();
    let folder = stage.folder.path().join(".runs").join(record.identity.as_str());
    let workspace = Workspace::at(stage.folder.path());
    let cell = experiments::spec::Suite::load(Path::new("sample.toml"), &[], stage.folder.path()).unwrap();
    let cell = ResolvedCell::identify(cell.cells[0].clone(), stage.folder.path()).unwrap();
    assert_eq!(cell.identity, record.identity);
    let run = RunFolder::open(&workspace, &cell).unwrap();
    run.save("record.json", &serde_json::to_vec(&record).unwrap()).unwrap();
    drop(run);
    assert!(stage.run(&[]).status.success());
    assert_eq!((stage.records(), stage.trace()), (vec![record], whole_trace()));
    assert!(!folder.exists());
    Ok(())
}

/// Recording fails after the cell has run: the command fails, and the next one records without running again.
fn a_result_that_cannot_be_recorded_is_kept() -> Result<(), Failed> {
    let stage = Stage::new("");
    let results = stage.folder.path().join("results");
    std::fs::create_dir(&results).unwrap();
    // A link to nowhere can be neither entered nor created.
    std::os::unix::fs::symlink("nowhere", results.join("sample")).unwrap();
    let output = stage.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("error: cannot create `") && message.contains("results/sample`"), "{message}");
    assert_eq!((stage.trace(), stage.run_folders()), (whole_trace(), 1));
    std::fs::remove_file(results.join("sample")).unwrap();
    let output = stage.run(&[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("picking up the record"));
    assert_eq!((stage.statuses(), stage.trace(), stage.run_folders()), (vec![Status::Ok], whole_trace(), 0));
    Ok(())
}

fn two_processes_share_the_cells_of_a_suite() -> Result<(), Failed> {
    let stage = Stage::new("wait");
    stage.sweep();
    let first = stage.command(&[]).spawn().unwrap();
    stage.wait_for_eventful(1);
    let second = stage.command(&[]).spawn().unwrap();
    // The second one leaves the first cell to the first one and is in the second cell now.
    stage.wait_for_eventful(2);
    let request = RunRequest { specs: vec!["sample.toml".into()], ..RunRequest::default() };
    let planned = plan(&Workspace::at(stage.folder.path()), &request).unwrap();
    let intents: Vec<Intent> = planned.iter().map(|planned| planned.intent).collect();
    assert_eq!(intents, [Intent::Wait, Intent::Wait, Intent::Run]);
    stage.go();
    let outputs = [first, second].map(|process| process.wait_with_output().unwrap());
    assert!(outputs.iter().all(|output| output.status.success()), "{}", outputs.each_ref().map(stderr).concat());
    assert!(stderr(&outputs[1]).contains("another process is running it"), "{}", stderr(&outputs[1]));
    let mut cells: Vec<(usize, Status)> = stage.records().iter().map(|record| (record.cell, record.status)).collect();
    cells.sort_by_key(|(cell, _)| *cell);
    assert_eq!(cells, [(0, Status::Ok), (1, Status::Ok), (2, Status::Ok)], "nothing lost, nothing run twice");
    let mut trace = stage.trace();
    trace.sort();
    trace.dedup();
    assert_eq!((trace.len(), stage.trace().len()), (15, 15));
    // Whoever derived last has seen all records.
    let csv = std::fs::read_to_string(stage.folder.path().join("results/sample/sample.csv")).unwrap();
    assert_eq!((csv.lines().count(), stage.run_folders()), (4, 0));
    Ok(())
}

fn one_cell_runs_alone() -> Result<(), Failed> {
    let stage = Stage::new("");
    stage.sweep();
    assert!(stage.run(&["--cell", "1"]).status.success());
    assert_eq!(stage.records().iter().map(|record| record.cell).collect::<Vec<_>>(), [1]);
    let output = stage.run(&["--cell", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--cell 3: suite `sample` has 3 cells, counted from 0"), "{}", stderr(&output));
    assert!(stage.run(&[]).status.success());
    assert_eq!(stage.records().iter().map(|record| record.cell).collect::<Vec<_>>(), [1, 0, 2]);
    Ok(())
}

/// The layers of all three cells of a sweep, each once.
fn whole_sorted_trace(stage: &Stage) -> bool {
    let mut trace = stage.trace();
    trace.sort();
    let cells = ["16", "32", "64"].into_iter();
    trace == cells.flat_map(|cell| (1..=LAYERS).map(move |layer| format!("{cell} {layer}"))).collect::<Vec<_>>()
}

fn cells_run_beside_each_other() -> Result<(), Failed> {
    let stage = Stage::new("wait");
    stage.sweep_with("[limits]\nmemory_gib = 0.5");
    let output = stage.run_past_eventful(&["--jobs", "3"], 3);
    assert!(whole_sorted_trace(&stage), "{:?}", stage.trace());
    let beside: Vec<usize> = stage.records().iter().map(|record| record.provenance.cells_beside).collect();
    assert_eq!((beside, stage.run_folders()), (vec![2, 2, 2], 0));
    // Of a spec that states two threads, which may be all that this machine has.
    let share = |record: &CellRecord| if record.provenance.machine.cores > 2 { 2 } else { 1 };
    assert!(stage.records().iter().all(|record| record.provenance.threads == share(record)));
    // What a cell says bears its number.
    assert!((1..=3).all(|cell| stderr(&output).contains(&format!("  [{cell}] ok"))), "{}", stderr(&output));
    // Recorded is recorded, however many run at once.
    let again = stage.run(&[]);
    assert!(again.status.success() && stage.records().len() == 3, "{}", stderr(&again));
    Ok(())
}

fn cells_wait_for_memory() -> Result<(), Failed> {
    let stage = Stage::new("wait");
    // No machine has that: each runs, but none beside another.
    stage.sweep_with("[limits]\nmemory_gib = 1e6");
    let output = stage.run_past_eventful(&["--jobs", "2"], 1);
    assert!(stderr(&output).contains("waits for memory: it may hold 977 TiB"), "{}", stderr(&output));
    let cells: Vec<String> = stage.trace().iter().map(|line| line.split(' ').next().unwrap().to_string()).collect();
    // In whatever order: those that wait for one to end are equals.
    let turns = cells.chunk_by(|a, b| a == b).count();
    assert!(turns == 3 && whole_sorted_trace(&stage), "one after the other: {cells:?}");
    Ok(())
}

fn the_first_cell_tells_what_others_need() -> Result<(), Failed> {
    let stage = Stage::new("meet");
    stage.sweep();
    let output = stage.run(&["--jobs", "2"]);
    assert!(output.status.success() && whole_sorted_trace(&stage), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing is known of the memory"), "{}", stderr(&output));
    Ok(())
}

fn a_killed_parent_of_several_loses_nothing() -> Result<(), Failed> {
    let stage = Stage::new("sleep");
    stage.sweep_with("[limits]\nmemory_gib = 0.5");
    let mut parent = stage.command(&["--jobs", "3"]).spawn().unwrap();
    stage.wait_for_eventful(3);
    kill(parent.id());
    parent.wait().unwrap();
    stage.script("");
    let output = stage.run(&["--jobs", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(whole_sorted_trace(&stage), "{:?}", stage.trace());
    assert_eq!((stage.records().len(), stage.run_folders()), (3, 0));
    Ok(())
}

/// How a test gets a disk of its own that is small: a mount that no other process sees.
fn in_own_mounts(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(std::env::current_exe().unwrap());
    command.stdin(Stdio::null());
    command
}

fn can_mount() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut tried = in_own_mounts("mount -t tmpfs tmpfs .");
    tried.current_dir(folder.path()).stderr(Stdio::null());
    tried.status().is_ok_and(|status| status.success())
}

/// A disk that is really full: the command says so and fails, and once there is room the next one records without running again.
fn a_full_disk_loses_nothing() -> Result<(), Failed> {
    let stage = Stage::new("");
    std::fs::create_dir(stage.folder.path().join("results")).unwrap();
    let script = "set -e; mount -t tmpfs -o size=1m tmpfs results; \
                  head -c 2m /dev/zero > results/filler 2> /dev/null || true; \
                  code=0; \"$0\" run sample.toml || code=$?; echo first $code; \
                  rm results/filler; \
                  code=0; \"$0\" run sample.toml || code=$?; echo second $code; \
                  cp results/sample/sample.jsonl kept.jsonl";
    let output = in_own_mounts(script).current_dir(stage.folder.path()).output().unwrap();
    let (out, message) = (String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert!(out.contains("first 2\n") && out.contains("second 0\n"), "{out}{message}");
    assert!(
        message.contains("no space left while writing `") && message.contains("picking up the record"),
        "{message}"
    );
    let kept = std::fs::read_to_string(stage.folder.path().join("kept.jsonl")).unwrap();
    assert_eq!((kept.lines().count(), kept.ends_with('\n'), stage.trace()), (1, true, whole_trace()));
    Ok(())
}
