//! Measures poulpy-ckks: bootstrapping by one of its presets, and single operations at a ciphertext width.
//!
//! usage: `poulpy-peer bootstrapping PRESET THREADS RUNS`
//!        `poulpy-peer operations WIDTH THREADS RUNS`
//!
//! One thread runs the plain IFMA backend, more run the rayon one, which takes `RAYON_NUM_THREADS`. Prints one JSON
//! object per measurement; an `operation` means the same for every library.

mod stopwatch;

/// The library's operations are generic over a backend type, with bounds too many to repeat here: each measuring file is
/// compiled once per backend and finds it as `super::Engine`. The path makes both look for it in this folder.
#[path = "."]
mod one_thread {
    pub(crate) type Engine = poulpy_cpu_avx512::NTT3x42Ifma;
    pub(crate) mod bootstrapping;
    pub(crate) mod operations;
}

#[path = "."]
mod many_threads {
    pub(crate) type Engine = poulpy_cpu_avx512::NTT3x42IfmaRayon;
    pub(crate) mod bootstrapping;
    pub(crate) mod operations;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [what, subject, threads, runs] => match (what, threads.parse(), runs.parse()) {
            ("bootstrapping", Ok(1), Ok(runs)) => one_thread::bootstrapping::measure(subject, runs),
            ("bootstrapping", Ok(_), Ok(runs)) => many_threads::bootstrapping::measure(subject, runs),
            ("operations", Ok(1), Ok(runs)) => one_thread::operations::measure(subject, runs),
            ("operations", Ok::<usize, _>(_), Ok(runs)) => many_threads::operations::measure(subject, runs),
            _ => Err(format!("`{}` is nothing this program measures", arguments.join(" "))),
        },
        _ => Err("usage: poulpy-peer bootstrapping PRESET THREADS RUNS | operations WIDTH THREADS RUNS".into()),
    };
    if let Err(message) = done {
        eprintln!("{message}");
        std::process::exit(2);
    }
}
