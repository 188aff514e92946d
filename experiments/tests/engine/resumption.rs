//! A run that is killed goes on after its last layer and ends as if nothing had happened.

use crate::stage::{Stage, stderr};
use experiments::record::{CellRecord, Status};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Kills the process of a cell once its first layer is stored.
fn kill_after_first_layer(stage: &Stage) -> PathBuf {
    let mut parent = stage.command(&[]).spawn().unwrap();
    // However long that takes: a run that goes wrong ends.
    let stored = loop {
        let stored = stage.run_folders().into_iter().find(|folder| folder.join("observations-1").is_file());
        if let Some(stored) = stored {
            break stored;
        }
        assert!(parent.try_wait().unwrap().is_none(), "the run ended before its first layer");
        std::thread::sleep(Duration::from_millis(2));
    };
    kill(children_of(&parent)[0]);
    assert_eq!(parent.wait().unwrap().code(), Some(1));
    assert!(!stored.join("observations-2").exists(), "the kill came too late to test anything");
    stored
}

/// The children of a process, from the kernel's list.
fn children_of(parent: &Child) -> Vec<u32> {
    let file = format!("/proc/{0}/task/{0}/children", parent.id());
    let list = std::fs::read_to_string(file).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

fn kill(process: u32) {
    assert!(Command::new("kill").args(["-KILL", &process.to_string()]).status().unwrap().success());
}

/// What must not depend on how often a run was interrupted.
fn outcome(record: &CellRecord) -> CellRecord {
    let mut outcome = record.clone();
    outcome.provenance.started_at.clear();
    outcome.provenance.resumptions = 0;
    outcome.seconds = Default::default();
    outcome.footprint.peak_memory_bytes = 0;
    outcome
}

#[test]
fn a_killed_run_ends_like_one_that_was_not() {
    let stage = Stage::new();
    let folder = kill_after_first_layer(&stage);

    // Without its residual the state is refused, not computed around.
    let (residual, aside) = (folder.join("residual-1-0"), folder.join("aside"));
    std::fs::rename(&residual, &aside).unwrap();
    let refused = stage.run(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let message = stderr(&refused);
    assert!(message.contains("residual-1-0` is damaged (it is missing)") && message.contains("--force"), "{message}");
    std::fs::rename(&aside, &residual).unwrap();

    let resumed = stage.succeed(&[]);
    assert!(stderr(&resumed).contains("resuming after layer 1 of 2"), "{}", stderr(&resumed));
    stage.succeed(&["--force"]);
    let records = stage.records();
    let statuses: Vec<Status> = records.iter().map(|record| record.status).collect();
    assert_eq!(statuses, [Status::Failed, Status::Failed, Status::Ok, Status::Ok]);
    let (resumed, whole) = (&records[2], &records[3]);
    assert_eq!((resumed.provenance.resumptions, whole.provenance.resumptions), (1, 0));
    assert_eq!(resumed.counts, whole.counts);
    assert_eq!(resumed.kernels, whole.kernels);
    assert_eq!(resumed.agreement, whole.agreement);
    assert!(outcome(resumed) == outcome(whole));
    // The seconds are those of both parts: never less than what they are made of.
    let parts: f64 = resumed.seconds.phases().iter().map(|(_, _, seconds)| seconds).sum();
    assert!((parts - resumed.seconds.total).abs() <= 1e-6 * parts, "{parts} of {}", resumed.seconds.total);
    assert!(stage.run_folders().is_empty());
}

const KILLS: usize = 50;

/// Kills parent or child, in turn, after a random part of the time that a whole run takes; a run that ends before its kill is compared with an
/// undisturbed one and begins anew.
#[test]
#[ignore = "some minutes: cargo kill-test"]
fn a_run_killed_at_fifty_random_moments_ends_like_one_that_was_not() {
    let stage = Stage::new();
    stage.succeed(&[]);
    let start = Instant::now();
    stage.succeed(&["--force"]);
    let whole_time = start.elapsed();
    let whole = outcome(stage.records().last().unwrap());
    let mut random = StdRng::seed_from_u64(50);
    let (mut kills, mut ended, mut resumptions, mut anew) = (0, 0, 0, true);
    while kills < KILLS {
        if anew {
            // With a record of it nothing would run.
            std::fs::remove_dir_all(stage.path().join("results")).unwrap();
        }
        let mut parent = stage.command(&[]).spawn().unwrap();
        std::thread::sleep(whole_time.mul_f64(random.random_range(0.0..1.1)));
        anew = parent.try_wait().unwrap().is_some();
        if !anew {
            let child = children_of(&parent).into_iter().next();
            match child.filter(|_| kills % 2 == 0) {
                Some(child) => kill(child),
                None => kill(parent.id()),
            }
            kills += 1;
            parent.wait().unwrap();
            // A child whose parent is gone ends by itself.
            let patience = Instant::now();
            while child.is_some_and(|child| Path::new(&format!("/proc/{child}")).exists()) {
                assert!(patience.elapsed() < Duration::from_secs(60), "a child outlived its parent");
                std::thread::sleep(Duration::from_millis(2));
            }
            continue;
        }
        let output = parent.wait_with_output().unwrap();
        assert!(output.status.success(), "after {kills} kills: {}", stderr(&output));
        let record = stage.records().pop().unwrap();
        assert_eq!(record.status, Status::Ok, "{:?}", record.reason);
        assert!(outcome(&record) == whole, "after {kills} kills");
        ended += 1;
        resumptions += record.provenance.resumptions;
    }
    stage.succeed(&[]);
    let last = stage.records().into_iter().rev().find(|record| record.status == Status::Ok).unwrap();
    assert!(outcome(&last) == whole, "after the last kill");
    println!("{KILLS} kills, {ended} runs ended before theirs, {resumptions} resumptions in these");
    assert!(resumptions + last.provenance.resumptions > 0, "no run was ever resumed: nothing was tested");
}
