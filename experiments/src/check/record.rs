//! What every record of an experiment must hold to be believed: where it comes from, how it ended, what it measured.

use super::samples;
use crate::identity::hashes_of;
use crate::machine::Machine;
use crate::provenance::CodeVersion;
use crate::record::{CLEAR_CIRCUIT, CellRecord, FLOAT, Provenance, Status};
use crate::spec::Mode;

/// Bits of security below which a record must say that it is insecure.
const SECURE_BITS: f64 = 128.0;
/// Phases are disjoint parts of the total; clocks that are read one after the other leave this much.
const CLOCK_TOLERANCE: f64 = 1e-3;

/// What is wrong with a record of a suite's journal, each with its dotted key.
pub(super) fn problems(record: &CellRecord, suite: &str) -> Vec<String> {
    let mut problems = Problems::default();
    if record.suite != suite {
        problems.add("suite", format!("is `{}`, but this is the journal of `{suite}`", record.suite));
    }
    origin(&record.provenance, &mut problems);
    identity(record, &mut problems);
    match (&record.reason, record.status) {
        (Some(reason), Status::Ok) => problems.add("reason", format!("is `{reason}`, but the cell ended ok")),
        (None, status) if status != Status::Ok => {
            problems.add("reason", format!("is missing; a cell that ended as {status} says why"));
        }
        _ => {}
    }
    time(record, &mut problems);
    if record.status == Status::Ok {
        measured(record, &mut problems);
    }
    samples::check(record, &mut problems);
    problems.found
}

/// Sentences that begin with a key.
#[derive(Default)]
pub(super) struct Problems {
    found: Vec<String>,
}

impl Problems {
    pub(super) fn add(&mut self, key: &str, problem: impl AsRef<str>) {
        self.found.push(format!("`{key}` {}", problem.as_ref()));
    }

    fn require_text(&mut self, key: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(key, "is empty, and nothing else says it");
        }
    }

    fn require_positive(&mut self, key: &str, found: u64) {
        if found == 0 {
            self.add(key, "is 0, a positive number is required");
        }
    }

    pub(super) fn into_vec(self) -> Vec<String> {
        self.found
    }

    pub(super) fn require_time_stamp(&mut self, key: &str, text: &str) {
        if humantime::parse_rfc3339(text).is_err() {
            self.add(key, format!("is `{text}`, a time such as 2026-01-02T03:04:05Z is required"));
        }
    }

    pub(super) fn require_machine(&mut self, key: &str, machine: &Machine) {
        self.require_text(&format!("{key}.cpu"), &machine.cpu);
        self.require_text(&format!("{key}.arch"), &machine.arch);
        self.require_text(&format!("{key}.vector_extension"), &machine.vector_extension);
        self.require_positive(&format!("{key}.cores"), machine.cores as u64);
        self.require_positive(&format!("{key}.memory_bytes"), machine.memory_bytes);
    }

    pub(super) fn require_commit(&mut self, key: &str, commit: &str) {
        if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.add(key, format!("is `{commit}`, the 40 hexadecimal digits of a commit are required"));
        }
    }
}

fn origin(from: &Provenance, problems: &mut Problems) {
    code(&from.code, problems);
    problems.require_machine("provenance.machine", &from.machine);
    problems.require_text("provenance.data.model", &from.data.model);
    problems.require_text("provenance.data.prompts", &from.data.prompts);
    problems.require_text("provenance.parameters", &from.parameters);
    problems.require_positive("provenance.threads", from.threads as u64);
    problems.require_time_stamp("provenance.started_at", &from.started_at);
}

/// Outside a repository the hash of the sources, which is over the lock file too, is all there is.
fn code(code: &CodeVersion, problems: &mut Problems) {
    if !(code.dirty && code.commit.is_empty()) {
        problems.require_commit("provenance.code.commit", &code.commit);
        problems.require_text("provenance.code.lock_hash", &code.lock_hash);
    }
    problems.require_text("provenance.code.source_hash", &code.source_hash);
    problems.require_text("provenance.code.compiler", &code.compiler);
    problems.require_text("provenance.code.profile", &code.profile);
}

/// Configuration, code, data and machine class hash to what the record is called: none of them was changed afterwards.
fn identity(record: &CellRecord, problems: &mut Problems) {
    let (config_hash, identity) = hashes_of(record);
    if config_hash != record.config_hash {
        let problem =
            format!("is {}, but the record's `config` and `repetition` hash to {config_hash}", record.config_hash);
        problems.add("config_hash", problem);
    } else if identity != record.identity {
        let problem = format!(
            "is {}, but the record's configuration, code, data and machine class hash to {identity}",
            record.identity
        );
        problems.add("identity", problem);
    }
}

fn time(record: &CellRecord, problems: &mut Problems) {
    let seconds = &record.seconds;
    let phases = seconds.phases();
    let all = phases.iter().map(|(name, _, seconds)| (*name, *seconds)).chain([("total", seconds.total)]);
    for (name, found) in all.filter(|(_, found)| !found.is_finite() || *found < 0.0) {
        problems.add("seconds", format!("has {found} for `{name}`, a number of seconds is required"));
    }
    let parts: f64 = phases.iter().filter(|(name, ..)| *name != "other").map(|(_, _, seconds)| seconds).sum();
    if parts > seconds.total * (1.0 + CLOCK_TOLERANCE) {
        problems.add("seconds.total", format!("is {} s, but its phases sum up to {parts} s", seconds.total));
    }
}

/// What a cell of its mode must have measured if it ended ok.
fn measured(record: &CellRecord, problems: &mut Problems) {
    let from = &record.provenance;
    let alone = record.softmax.is_some();
    problems.require_text("provenance.parameter_fingerprint", &from.parameter_fingerprint);
    match from.security_bits {
        None if record.mode == Mode::Clear => {}
        None => problems.add("provenance.security_bits", "is missing, but there are keys"),
        Some(bits) if bits < SECURE_BITS && !from.insecure => {
            let problem = format!("is {bits}, below {SECURE_BITS}, and `provenance.insecure` does not say so");
            problems.add("provenance.security_bits", problem);
        }
        Some(_) => {}
    }
    if record.seconds.total <= 0.0 {
        problems.add("seconds.total", "is 0, but the cell ran");
    }
    problems.require_positive("footprint.peak_memory_bytes", record.footprint.peak_memory_bytes);
    if record.counts.is_empty() && !alone {
        problems.add("counts", "is empty, but the circuit executed operations");
    }
    let references: &[&str] = match record.mode {
        Mode::Encrypted => &[FLOAT, CLEAR_CIRCUIT],
        Mode::Clear => &[FLOAT],
        Mode::Metered => &[],
    };
    for reference in references.iter().filter(|reference| !alone && record.agreement_with(reference).is_none()) {
        problems.add(
            "agreement",
            format!("has nothing against the {reference}, which a cell of this mode is compared with"),
        );
    }
    // Where every head was refused, there was nothing to make keys for.
    let encrypted = record.softmax.as_ref().is_none_or(|softmax| softmax.ran > 0);
    if record.mode == Mode::Encrypted && encrypted {
        problems.require_positive("footprint.key_bytes", record.footprint.key_bytes);
    }
    if record.mode == Mode::Metered && record.predicted.is_none() {
        problems.add("predicted", "is missing, but predicting is what a metered cell is for");
    }
}
