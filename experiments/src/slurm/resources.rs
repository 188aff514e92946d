//! What a task asks Slurm for: enough for its cell, as far as anything is known of it.

use crate::runner::PlannedCell;
use crate::spec::ComputeDevice;
use std::fmt;

/// What a cell took before, or was predicted to, times this: another node is another machine.
const TIME_MARGIN: f64 = 2.0;
/// Steps in which a task asks for time, so that cells that take about as long are one array.
const MINUTES: u64 = 10;
/// A cell with a limit is stopped at it by its own parent, who then needs a moment to record that.
const SECONDS_TO_RECORD: f64 = 60.0;
/// The same of memory: the parent's own.
const GIB_TO_RECORD: f64 = 1.0;

/// What a task asks for; what is absent is left to Slurm's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resources {
    /// Processors: the cell's threads.
    pub processors: usize,
    /// Memory.
    pub memory_gib: Option<u64>,
    /// Time.
    pub minutes: Option<u64>,
    /// GPUs.
    pub gpus: usize,
}

impl Resources {
    /// Those of a cell: of its limits, of its last record, of a prediction, whichever is known first.
    pub fn of(planned: &PlannedCell) -> Self {
        let (config, expected) = (&planned.cell.cell.config, &planned.expected);
        let gib = |bytes: u64| bytes as f64 / f64::from(1u32 << 30);
        let own = if config.limits.memory_gib.is_some() { GIB_TO_RECORD } else { 0.0 };
        let memory_gib = expected.memory_bytes(config).map(|bytes| gib(bytes) + own);
        // Which device a node resembles nobody knows here: the slowest, then.
        let predicted = expected.predicted_here(config);
        let slowest = || predicted?.seconds.iter().map(|on| TIME_MARGIN * on.seconds).reduce(f64::max);
        let seconds = config.limits.seconds.map(|limit| limit + SECONDS_TO_RECORD);
        let seconds = seconds.or_else(|| expected.last_ok().map(|record| TIME_MARGIN * record.seconds.total));
        Self {
            processors: config.threads(),
            memory_gib: memory_gib.map(|gib| (gib.ceil() as u64).max(1)),
            minutes: seconds
                .or_else(slowest)
                .map(|seconds| ((seconds / 60.0).ceil() as u64).next_multiple_of(MINUTES).max(MINUTES)),
            gpus: match config.engine.device {
                ComputeDevice::Cpu => 0,
                ComputeDevice::Cuda(gpus) => gpus.count(),
            },
        }
    }

    /// As options of sbatch.
    pub(super) fn options(&self) -> Vec<String> {
        let memory = self.memory_gib.map(|gib| format!("--mem={gib}G"));
        let time = self.minutes.map(|minutes| format!("--time={minutes}"));
        let gpus = (self.gpus > 0).then(|| format!("--gres=gpu:{}", self.gpus));
        [Some(format!("--cpus-per-task={}", self.processors)), memory, time, gpus].into_iter().flatten().collect()
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.processors == 1 { "" } else { "s" };
        write!(f, "{} processor{plural}", self.processors)?;
        self.memory_gib.map_or(Ok(()), |gib| write!(f, ", {gib} GiB"))?;
        self.minutes.map_or(Ok(()), |minutes| write!(f, ", {minutes} minutes"))?;
        match self.gpus {
            0 => Ok(()),
            1 => f.write_str(", a GPU"),
            gpus => write!(f, ", {gpus} GPUs"),
        }
    }
}
