//! Journals and run folders lose nothing and notice damage.

use crate::fixture;

use experiments::atomic::{Disk, OsDisk};
use experiments::checkpoint::RunFolder;
use experiments::error::HarnessError;
use experiments::identity::ResolvedCell;
use experiments::journal::Journal;
use experiments::lock::{self, Lock};
use experiments::randomness::{Randomness, noise_seed, seed_of};
use experiments::record::CellRecord;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

/// A disk that takes a few bytes and is then full.
struct FullDisk(usize);

impl Disk for FullDisk {
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(&bytes[..self.0.min(bytes.len())])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }
}

#[test]
fn a_record_survives_its_journal() {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "sample");
    assert!(journal.read().unwrap().records.is_empty());
    let record = fixture::record(fixture::SPEC, folder.path());
    journal.append(&record, &OsDisk).unwrap();
    journal.append(&record, &OsDisk).unwrap();
    assert!(journal.read().unwrap().records == [record.clone(), record]);
}

#[test]
fn a_torn_last_line_is_dropped_and_nothing_else() {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "sample");
    let record = fixture::record(fixture::SPEC, folder.path());
    journal.append(&record, &OsDisk).unwrap();
    let whole = std::fs::read(journal.path()).unwrap();
    for cut in [1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(journal.path(), [&whole[..], &whole[..cut]].concat()).unwrap();
        let contents = journal.read().unwrap();
        assert_eq!((contents.records.len(), contents.torn.is_some()), (1, true));
    }
    journal.append(&record, &OsDisk).unwrap();
    assert_eq!(std::fs::read(journal.path()).unwrap(), [&whole[..], &whole[..]].concat());
}

#[test]
fn rejects_a_damaged_line_by_number_and_another_schema() {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "sample");
    let record = fixture::record(fixture::SPEC, folder.path());
    journal.append(&record, &OsDisk).unwrap();
    let line = std::fs::read_to_string(journal.path()).unwrap();
    for damage in ["{\"schema\":2}", "{\"schema\":1}", "{}", "half a rec"] {
        std::fs::write(journal.path(), format!("{line}{damage}\n{line}")).unwrap();
        let error = journal.read().unwrap_err();
        assert!(matches!(error, HarnessError::RecordDamaged { line: 2, .. }), "{damage}: {error}");
        assert!(error.to_string().contains("sample.jsonl:2: not a record: "), "{error}");
    }
    std::fs::write(journal.path(), line.replace("{\"schema\":2", "{\"schema\":99")).unwrap();
    assert!(matches!(journal.read(), Err(HarnessError::RecordSchema { line: 1, found: 99, .. })));
}

#[test]
fn rejects_to_record_on_a_full_disk_and_keeps_what_there_was() {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "sample");
    let record = fixture::record(fixture::SPEC, folder.path());
    journal.append(&record, &OsDisk).unwrap();
    let before = std::fs::read(journal.path()).unwrap();
    for room in [0, 17, before.len()] {
        let error = journal.append(&record, &FullDisk(room)).unwrap_err();
        assert!(matches!(error, HarnessError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("no space left"));
        assert_eq!(std::fs::read(journal.path()).unwrap(), before);
    }
    let left = std::fs::read_dir(journal.path().parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "a temporary file was left behind");
}

#[test]
fn what_a_killed_writer_left_is_deleted() {
    let (folder, workspace) = fixture::workspace();
    let journal = Journal::of(&workspace, "sample");
    let record = fixture::record(fixture::SPEC, folder.path());
    journal.append(&record, &OsDisk).unwrap();
    let results = journal.path().parent().unwrap().to_path_buf();
    std::fs::write(results.join(".sample.jsonl.Ab3dE6.tmp"), "half a rec").unwrap();
    std::fs::write(results.join(".other.tmp"), "somebody else's").unwrap();
    journal.append(&record, &OsDisk).unwrap();
    let mut left: Vec<_> = std::fs::read_dir(&results).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".other.tmp", "sample.jsonl"]);
    assert_eq!(journal.read().unwrap().records.len(), 2);
}

#[test]
fn concurrent_writers_lose_nothing() {
    let (folder, workspace) = fixture::workspace();
    let record = fixture::record(fixture::SPEC, folder.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    Journal::of(&workspace, "sample").append(&record, &OsDisk).unwrap();
                }
            });
        }
    });
    assert_eq!(Journal::of(&workspace, "sample").read().unwrap().records.len(), 20);
}

#[test]
fn checkpoints_come_back_until_the_folder_is_finished() {
    let (folder, workspace) = fixture::workspace();
    let cell = fixture::resolved(fixture::SPEC, folder.path());
    let run = RunFolder::open(&workspace, &cell).unwrap();
    assert_eq!(run.load("layer-0").unwrap(), None);
    run.save("layer-0", b"residual").unwrap();
    run.save("layer-0", b"residual of a second attempt").unwrap();
    drop(run);
    let run = RunFolder::open(&workspace, &cell).unwrap();
    assert_eq!(run.load("layer-0").unwrap().unwrap(), b"residual of a second attempt");
    let path = run.path().to_path_buf();
    run.finish().unwrap();
    assert!(!path.exists());
}

#[test]
fn only_the_owner_can_read_a_run_folder() {
    let (folder, workspace) = fixture::workspace();
    let run = RunFolder::open(&workspace, &fixture::resolved(fixture::SPEC, folder.path())).unwrap();
    run.seed().unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(run.path()), mode(&workspace.runs())), (0o700, 0o700));
    assert_eq!(mode(&run.path().join("seed")), 0o600);
}

#[test]
fn a_seed_is_random_once_or_the_specs_for_ever() {
    let (folder, workspace) = fixture::workspace();
    let cell = fixture::resolved(fixture::SPEC, folder.path());
    let random = |cell: &ResolvedCell| RunFolder::open(&workspace, cell).unwrap().seed().unwrap();
    let first = random(&cell);
    assert_eq!(random(&cell), first, "a resumed run must find its keys again");
    RunFolder::open(&workspace, &cell).unwrap().finish().unwrap();
    assert_ne!(random(&cell), first, "a new run must not");

    let mut seeded = fixture::resolved(&format!("{}seed = 7\n", fixture::SPEC), folder.path());
    let stated = random(&seeded);
    RunFolder::open(&workspace, &seeded).unwrap().finish().unwrap();
    assert_eq!(random(&seeded), stated);
    seeded.cell.repetition = 1;
    assert_ne!(random(&seeded), stated);
}

#[test]
fn cells_of_a_sweep_make_secrets_of_their_own_from_one_seed() {
    let (folder, _) = fixture::workspace();
    let sweep = "\n[sweep.product]\n\"input.block_tokens\" = [16, 32]\n";
    let cells = fixture::resolved_cells(&format!("{}seed = 7\n{sweep}", fixture::SPEC), folder.path());
    let seeds: Vec<_> = cells.iter().map(|cell| seed_of(&cell.cell).unwrap()).collect();
    assert_ne!(seeds[0], seeds[1]);
    let mut elsewhere = cells[0].cell.clone();
    elsewhere.config.engine.device = "cuda:0,1".parse().unwrap();
    elsewhere.config.engine.threads = Some(64);
    elsewhere.config.limits.seconds = Some(1.0);
    assert_eq!(seed_of(&elsewhere).unwrap(), seeds[0], "who computes, and how fast, is not what is asked");
    for (cell, seed) in cells.iter().zip(&seeds) {
        let of_cell = seed.iter().map(|byte| format!("{byte:02x}")).collect();
        let recorded = CellRecord::begin(cell).provenance.randomness;
        assert_eq!(recorded, Randomness::Seed { stated: 7, of_cell });
    }
    let unseeded = fixture::resolved(fixture::SPEC, folder.path());
    assert_eq!(seed_of(&unseeded.cell), None);
    assert_eq!(CellRecord::begin(&unseeded).provenance.randomness, Randomness::OperatingSystem);
}

#[test]
fn noise_that_a_spec_states_no_seed_for_has_one_that_is_recorded() {
    let (folder, _) = fixture::workspace();
    let noisy = fixture::SPEC.replace("mode = \"encrypted\"", "mode = \"clear\"") + "noise = \"modelled\"\n";
    let cell = fixture::resolved(&noisy, folder.path());
    let Randomness::Seed { stated: 0, of_cell } = CellRecord::begin(&cell).provenance.randomness else { panic!() };
    let first: String = noise_seed(&cell.cell).to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(of_cell.starts_with(&first));
}

#[test]
fn rejects_damaged_checkpoints() {
    let (folder, workspace) = fixture::workspace();
    let run = RunFolder::open(&workspace, &fixture::resolved(fixture::SPEC, folder.path())).unwrap();
    run.save("layer-0", &[7; 100]).unwrap();
    let path = run.path().join("layer-0");
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for bad in [&whole[..whole.len() - 1], &whole[..10], b"", &flipped[..]] {
        std::fs::write(&path, bad).unwrap();
        assert!(matches!(run.load("layer-0"), Err(HarnessError::CheckpointDamaged { .. })));
    }
    std::fs::write(run.path().join("layer-1"), &whole).unwrap();
    assert!(matches!(run.load("layer-1"), Err(HarnessError::CheckpointDamaged { .. })), "another one's contents");
    std::fs::write(&path, &whole).unwrap();
    assert!(run.load("layer-0").unwrap().is_some());
}

#[test]
fn rejects_a_checkpoint_that_does_not_fit_on_the_disk() {
    let (folder, workspace) = fixture::workspace();
    let run = RunFolder::open(&workspace, &fixture::resolved(fixture::SPEC, folder.path())).unwrap();
    run.save("layer-0", b"old").unwrap();
    assert!(matches!(run.save_on(&FullDisk(20), "layer-0", b"new"), Err(HarnessError::DiskFull { .. })));
    assert_eq!(run.load("layer-0").unwrap().unwrap(), b"old");
}

#[test]
fn rejects_names_that_leave_the_folder() {
    let (folder, workspace) = fixture::workspace();
    let run = RunFolder::open(&workspace, &fixture::resolved(fixture::SPEC, folder.path())).unwrap();
    for name in ["", "..", "../x", "a/b", ".hidden", "Layer"] {
        assert!(matches!(run.save(name, b""), Err(HarnessError::CheckpointName { .. })), "{name}");
    }
}

#[test]
fn rejects_a_second_claim_until_the_first_is_given_up() {
    let (folder, workspace) = fixture::workspace();
    let name = lock::of_claim(&fixture::resolved(fixture::SPEC, folder.path()).identity);
    let held = Lock::try_take(&workspace, &name).unwrap().unwrap();
    assert!(Lock::try_take(&workspace, &name).unwrap().is_none());
    assert!(Lock::try_take(&workspace, &lock::of_journal("sample")).unwrap().is_some(), "another lock is free");
    drop(held);
    assert!(Lock::wait(&workspace, &name).is_ok());
}

#[test]
fn rejects_a_second_process_in_a_run_folder() {
    let (folder, workspace) = fixture::workspace();
    let cell = fixture::resolved(fixture::SPEC, folder.path());
    let _held = RunFolder::open(&workspace, &cell).unwrap();
    assert!(matches!(RunFolder::open(&workspace, &cell), Err(HarnessError::CellBusy { .. })));
}
