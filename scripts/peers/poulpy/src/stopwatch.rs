//! Times an operation and prints what it took as one JSON object.

use std::fmt::Write;
use std::time::Instant;

/// Wall-clock and processor seconds of repeated runs, sorted.
pub(crate) struct Times {
    wall: Vec<f64>,
    processor: Vec<f64>,
}

/// Runs once to warm up, then `runs` times.
pub(crate) fn time(runs: usize, mut run: impl FnMut()) -> Times {
    run();
    let mut times = Times { wall: Vec::new(), processor: Vec::new() };
    for _ in 0..runs.max(1) {
        times.add(&mut run);
    }
    times
}

/// Runs once, without a warm-up, and returns what came of it.
pub(crate) fn time_once<T>(run: impl FnOnce() -> T) -> (T, Times) {
    let mut times = Times { wall: Vec::new(), processor: Vec::new() };
    let mut result = None;
    times.add(|| result = Some(run()));
    (result.expect("it ran"), times)
}

impl Times {
    fn add(&mut self, run: impl FnOnce()) {
        let (processor, start) = (processor_seconds(), Instant::now());
        run();
        self.wall.push(start.elapsed().as_secs_f64());
        self.processor.push(processor_seconds() - processor);
        self.wall.sort_by(f64::total_cmp);
        self.processor.sort_by(f64::total_cmp);
    }

    /// Prints the measurement of an operation. `facts` are further fields, each a name and a JSON value.
    pub(crate) fn report(&self, operation: &str, facts: &[(&str, String)]) {
        let runs = self.wall.len();
        let mut line = format!(
            "{{\"operation\":\"{operation}\",\"seconds\":{{\"median\":{:e},\"min\":{:e},\"max\":{:e}}},\"runs\":{runs},\
             \"processor_seconds\":{:e},\"memory_bytes\":{}",
            self.wall[runs / 2],
            self.wall[0],
            self.wall[runs - 1],
            self.processor[runs / 2],
            peak_memory_bytes(),
        );
        for (name, value) in facts {
            let _ = write!(line, ",\"{name}\":{value}");
        }
        println!("{line}}}");
    }
}

fn usage() -> libc::rusage {
    // SAFETY: `rusage` is plain integers, for which zero is a value; the call writes one through a valid pointer.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

/// User and system time of all threads so far.
fn processor_seconds() -> f64 {
    let usage = usage();
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn peak_memory_bytes() -> u64 {
    usage().ru_maxrss as u64 * 1024
}
