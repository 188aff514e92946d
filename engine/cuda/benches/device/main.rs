//! `cargo bench -p fhe-cuda --features cuda --bench device -- [PART..] [--set SET] [--records FOLDER] [--commit HASH]
//! [--date DATE]`: what must be run on a machine with a GPU. `scripts/gpu-check` runs all of it.
//!
//! Parts, all of them by default but the first:
//!
//! * `smoke`: a few conformance cases, short enough for compute-sanitizer;
//! * `conformance`: the whole suite against the CPU backend;
//! * `kernels`: times of single kernels, with the share that they have of the time that their bytes need;
//! * `bootstrapping`: half and full bootstrapping of the parameter set, `n16-llama` by default, compared with the CPU word
//!   by word. Needs 40 GiB on the host and 24 GiB on the device.
//!
//! Figures are printed, and written to `FOLDER/<device>.toml` if one is named.

#![allow(missing_docs)] // a program

mod bootstrapping;
mod conformance;
mod kernels;
mod profile;
mod record;

use std::{path::PathBuf, process::ExitCode};

use fhe_cuda::{CudaError, Driver};
use record::Record;

struct Options {
    parts: Vec<String>,
    set: String,
    records: Option<PathBuf>,
    commit: String,
    date: String,
}

const PARTS: [&str; 4] = ["smoke", "conformance", "kernels", "bootstrapping"];

fn options() -> Result<Options, String> {
    let unknown = || String::from("unknown");
    let mut options =
        Options { parts: Vec::new(), set: "n16-llama".into(), records: None, commit: unknown(), date: unknown() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            // Cargo passes it to every bench.
            "--bench" => {}
            "--set" => options.set = value()?,
            "--records" => options.records = Some(value()?.into()),
            "--commit" => options.commit = value()?,
            "--date" => options.date = value()?,
            part if PARTS.contains(&part) => options.parts.push(argument),
            _ => return Err(format!("`{argument}` is no part; there are {}", PARTS.join(", "))),
        }
    }
    if options.parts.is_empty() {
        options.parts = PARTS[1..].iter().map(|&part| part.into()).collect();
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), CudaError> {
    let mut record = Record::new(&Driver::new(0)?, &options.commit, &options.date)?;
    for part in &options.parts {
        match part.as_str() {
            "smoke" => conformance::smoke(&mut record)?,
            "conformance" => conformance::all(&mut record)?,
            "kernels" => kernels::measure(&mut record)?,
            _ => bootstrapping::measure(&mut record, &options.set)?,
        }
        // After each part, so that one that fails later takes nothing along.
        if let Some(folder) = &options.records {
            record.write(folder);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let result = options().and_then(|options| run(&options).map_err(|error| error.to_string()));
    if let Err(reason) = result {
        eprintln!("{reason}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
