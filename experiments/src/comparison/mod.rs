//! What is compared with what: measurements on one machine, predictions from counts, and figures that others published.
//!
//! The three stand side by side and are never mixed: an [`Entry`] is of one kind, and a ratio is only taken between two
//! measurements of one operation on one machine with equally many threads. What could not be measured is an entry
//! too, with its reason. Tables and charts are drawn from a [`Comparison`] and from nothing else.

mod measurement;
mod prediction;
mod reported;
mod spec;

pub(crate) use measurement::lines;
pub use measurement::{Basis, Measurement, Precision, SCHEMA, Spread};
pub use prediction::predict;
pub use reported::{Confidence, Reported};
pub use spec::{ComparisonSpec, Library, Operation, Target, Unit};

use crate::error::HarnessError;
use crate::machine::Machine;
use crate::record::Status;
use crate::workspace::Workspace;
use std::path::Path;

/// A comparison with everything it shows.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What was asked.
    pub spec: ComparisonSpec,
    /// What is known on each machine, the one with the newest row first.
    pub machines: Vec<OnMachine>,
}

/// What is known on one machine.
#[derive(Clone, Debug)]
pub struct OnMachine {
    /// The machine.
    pub machine: Machine,
    /// Every operation, in the order of the spec.
    pub operations: Vec<Compared>,
}

/// What is known of one operation.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The operation.
    pub operation: Operation,
    /// By library in the order of the spec and threads, what was reported last.
    pub entries: Vec<Entry>,
}

/// One line of a comparison.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Measured here.
    Measured {
        /// The row.
        row: Measurement,
        /// Time of one operation.
        each: Spread,
        /// How many times our time, measured alike, it takes; absent where ours is.
        times_ours: Option<f64>,
    },
    /// Computed from counts.
    Predicted {
        /// The row.
        row: Measurement,
        /// Seconds of one operation.
        seconds: f64,
    },
    /// Published by others.
    Reported(Reported),
    /// Not known.
    Missing {
        /// The library, by its name in records.
        library: String,
        /// What there should be a figure of.
        basis: Basis,
        /// Worker threads, where a row says so.
        threads: Option<usize>,
        /// The setting, where a row says so.
        parameters: String,
        /// Why there is none.
        reason: String,
    },
}

/// Our time held against a target.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// The target.
    pub target: Target,
    /// Our measured time in the operation's unit, where there is one.
    pub measured: Option<f64>,
}

/// Whether the committed suite of this name is a comparison.
pub(crate) fn is_suite(workspace: &Workspace, suite: &str) -> bool {
    spec::states_a_comparison(&std::fs::read_to_string(workspace.suite_spec(suite)).unwrap_or_default())
}

impl Comparison {
    /// Reads a spec, its records and its baselines; the spec's path is relative to the workspace.
    ///
    /// # Errors
    /// What is wrong with the spec, [`HarnessError::NoRecords`], or a damaged record.
    pub fn load(workspace: &Workspace, spec: &Path) -> Result<Self, HarnessError> {
        let spec = ComparisonSpec::load(spec, workspace.root())?;
        let records = workspace.root().join(&spec.records);
        let rows = if records.is_file() { measurement::read(&records)? } else { Vec::new() };
        if rows.is_empty() {
            return Err(HarnessError::NoRecords {
                suite: spec.name,
                path: spec.records,
                writer: "scripts/bench-peers",
            });
        }
        let mut published = Vec::new();
        for path in &spec.baselines {
            published.extend(reported::load(path, workspace.root())?);
        }
        Ok(Self::of(spec, rows, &published))
    }

    /// The comparison that a suite of this name is; `None` if it is an experiment.
    ///
    /// # Errors
    /// As [`Comparison::load`].
    pub fn of_suite(workspace: &Workspace, suite: &str) -> Result<Option<Self>, HarnessError> {
        if is_suite(workspace, suite) {
            Self::load(workspace, &workspace.suite_spec(suite)).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Puts rows and published figures together.
    pub fn of(spec: ComparisonSpec, rows: Vec<Measurement>, published: &[Reported]) -> Self {
        let rows = measurement::standing(rows);
        let mut machines: Vec<(String, &Machine)> = Vec::new();
        // Time stamps in UTC sort as text.
        let mut newest_first: Vec<&Measurement> = rows.iter().collect();
        newest_first.sort_by(|left, right| right.date.cmp(&left.date));
        for row in newest_first {
            if !machines.iter().any(|(name, _)| *name == row.machine.name()) {
                machines.push((row.machine.name(), &row.machine));
            }
        }
        let on_machine = |(name, machine): &(String, &Machine)| {
            let here: Vec<&Measurement> = rows.iter().filter(|row| row.machine.name() == *name).collect();
            let compared = |operation: &Operation| compare(&spec, operation, &here, published);
            OnMachine { machine: (*machine).clone(), operations: spec.operations.iter().map(compared).collect() }
        };
        let machines = machines.iter().map(on_machine).collect();
        Self { spec, machines }
    }
}

impl OnMachine {
    /// Every target with our time for it, in the order of the spec.
    pub fn verdicts(&self, ours: &str) -> Vec<Verdict<'_>> {
        let verdicts = self.operations.iter().flat_map(|compared| {
            let operation = &compared.operation;
            operation.targets.iter().map(move |target| {
                let measured = compared.entries.iter().find_map(|entry| match entry {
                    Entry::Measured { row, each, .. } if row.library == ours && row.threads == target.threads => {
                        Some(each.median * operation.unit.per_second())
                    }
                    _ => None,
                });
                Verdict { operation, target: *target, measured }
            })
        });
        verdicts.collect()
    }
}

impl Verdict<'_> {
    /// What became of the target, in words.
    pub fn outcome(&self) -> &'static str {
        let within = |limit: Option<f64>| limit.zip(self.measured).map(|(limit, measured)| measured <= limit);
        match (self.measured, within(self.target.must), within(self.target.goal)) {
            (None, ..) => "not measured",
            (_, Some(false), _) => "MUST NOT KEPT",
            (_, _, Some(true)) => "goal reached",
            (_, Some(true), _) => "must kept",
            _ => "goal not reached",
        }
    }
}

/// Everything that is known of an operation on one machine.
fn compare(spec: &ComparisonSpec, operation: &Operation, here: &[&Measurement], published: &[Reported]) -> Compared {
    let mut rows: Vec<&Measurement> = here.iter().copied().filter(|row| row.operation == operation.id).collect();
    let place = |library: &str| spec.libraries.iter().position(|known| known.id == library);
    rows.sort_by_key(|row| (place(&row.library).unwrap_or(usize::MAX), row.threads, row.basis));
    let ours = |threads: usize| {
        let mut alike = rows.iter().filter(|row| row.library == spec.ours && row.threads == threads);
        alike.find_map(|row| row.each().filter(|_| row.basis == Basis::Measured)).map(|each| each.median)
    };
    let mut entries: Vec<Entry> = rows.iter().map(|row| entry(row, spec, ours(row.threads))).collect();
    for library in &operation.libraries {
        if !rows.iter().any(|row| row.library == *library && row.basis == Basis::Measured) {
            let missing = Entry::Missing {
                library: library.clone(),
                basis: Basis::Measured,
                threads: None,
                parameters: String::new(),
                reason: format!("no row yet; `scripts/bench-peers --only {library}` makes it"),
            };
            let after = entries.iter().position(|entry| place(library_of(entry)) > place(library));
            entries.insert(after.unwrap_or(entries.len()), missing);
        }
    }
    let known = published.iter().filter(|reported| reported.operation == operation.id);
    entries.extend(known.cloned().map(Entry::Reported));
    Compared { operation: operation.clone(), entries }
}

/// The line of a row.
fn entry(row: &Measurement, spec: &ComparisonSpec, ours: Option<f64>) -> Entry {
    match (row.each(), row.basis) {
        (Some(each), Basis::Measured) => {
            let times_ours = ours.filter(|_| row.library != spec.ours).map(|ours| each.median / ours);
            Entry::Measured { row: row.clone(), each, times_ours }
        }
        (Some(each), Basis::Predicted) => Entry::Predicted { row: row.clone(), seconds: each.median },
        (None, basis) => Entry::Missing {
            library: row.library.clone(),
            basis,
            threads: Some(row.threads),
            parameters: row.parameters.clone(),
            reason: match (&row.reason, row.status) {
                (_, Status::Ok) => "the row holds no time".into(),
                (Some(reason), status) => format!("{status}: {reason}"),
                (None, status) => status.to_string(),
            },
        },
    }
}

/// The library of an entry that has one.
fn library_of(entry: &Entry) -> &str {
    match entry {
        Entry::Measured { row, .. } | Entry::Predicted { row, .. } => &row.library,
        Entry::Missing { library, .. } => library,
        Entry::Reported(_) => "",
    }
}
