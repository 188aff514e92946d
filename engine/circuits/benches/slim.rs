//! `cargo bench -p fhe-circuits --bench slim`: an inverse square root of few values on `n16-llama`, slimly and by Paterson and Stockmeyer, at
//! degrees 16, 32, 64 and 128 (one less).
//!
//! Prints products, rotations and what `Meter` predicts beside criterion's times; `-- --test` runs each once. `RAYON_NUM_THREADS` sets the
//! threads. Needs about 4 GiB.

#[path = "../../ckks/benches/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion};
use fhe_circuits::approximation::{Approximation, Criterion as ErrorCriterion, Target};
use fhe_circuits::{Blocks, SlimApproximation};
use fhe_ckks::{CkksServer, Level, Parameters, SlotArithmetic};
use fhe_ring::{Backend, DeviceProfile};
use support::{Instance, uniform};

/// Ratios of windows on which relative errors near 2^-12 take degrees 16, 32, 64 and 128.
const WINDOWS: [(usize, f64, f64); 4] = [(16, 15.0, 2e-4), (32, 60.0, 2e-4), (64, 220.0, 2e-4), (128, 880.0, 2e-4)];
/// Of the slots of a half: tokens of a norm in all rows, or the heads and queries of SoftMax over lanes.
const PLACES: [(&str, usize, bool); 3] = [("rows", 64, true), ("rows, one side", 64, false), ("lanes", 2048, true)];

enum Function {
    Slim(&'static str, SlimApproximation),
    PatersonStockmeyer(Approximation),
}

impl Function {
    fn levels(&self) -> usize {
        match self {
            Self::Slim(_, slim) => slim.levels() + usize::from(slim.is_two_sided()),
            Self::PatersonStockmeyer(usual) => usual.levels(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Slim(place, slim) => format!("slim, {place}, {} folds", slim.polynomial().folds()),
            Self::PatersonStockmeyer(_) => "Paterson and Stockmeyer".into(),
        }
    }

    fn degree(&self) -> usize {
        match self {
            Self::Slim(_, slim) => slim.degree(),
            Self::PatersonStockmeyer(usual) => usual.degree(),
        }
    }

    fn error(&self) -> f64 {
        match self {
            Self::Slim(_, slim) => slim.error(),
            Self::PatersonStockmeyer(usual) => usual.error(),
        }
    }

    /// The function, joined.
    fn run<B: Backend>(&self, server: &CkksServer<B>, x: &<CkksServer<B> as SlotArithmetic>::Slots) {
        match self {
            Self::Slim(_, slim) => {
                black_box(slim.apply(server, x).expect("folded").joined(server).expect("joined"));
            }
            Self::PatersonStockmeyer(usual) => {
                black_box(usual.apply(server, x).expect("value"));
            }
        }
    }
}

fn functions(half: usize) -> Vec<Function> {
    let mut functions = Vec::new();
    for (degree, ratio, tolerance) in WINDOWS {
        let low = 1.0 / ratio;
        let root = move |y: f64| (0.5 * ((1.0 - low) * y + 1.0 + low)).powf(-0.5);
        let target = Target { criterion: ErrorCriterion::Relative, tolerance, limit: 0.1 };
        let levels = degree.ilog2() as usize;
        let usual = Approximation::fit_within("inverse root", "window", target, levels, root).expect("fitted");
        functions.push(Function::PatersonStockmeyer(usual));
        for (place, length, all) in PLACES {
            let count = half / length;
            let blocks = Blocks::new(half, length, if all { count } else { count / 2 }).expect("blocks");
            let slim =
                SlimApproximation::fit("inverse root", "window", target, blocks, levels + 1, root).expect("split");
            functions.push(Function::Slim(place, slim));
        }
    }
    functions
}

fn main() {
    let profile = DeviceProfile::ZEN4_2_THREADS;
    let parameters = Parameters::named("n16-llama").expect("a named set");
    let shape = parameters.shape();
    let functions = functions(shape.degree / 2);
    // Every evaluation ends where a product with a tensor that then descends would begin.
    let level = |function: &Function| Level(shape.slots_to_coefficients_levels + 1 + function.levels());
    let zeros = vec![0.0; shape.degree];
    let Instance { client, server, .. } = Instance::new(|planner, metered| {
        for function in &functions {
            let x = metered.encrypt_slots(&zeros, level(function)).expect("slots");
            let (before, operations) = (planner.backend().counts(), planner.counts());
            function.run(planner, &x);
            let operations = planner.counts() - operations;
            println!(
                "degree {:3}, {}: error 2^{:.1}, {} levels, {} products, {} rotations, predicted {:.3} s",
                function.degree(),
                function.name(),
                function.error().log2(),
                function.levels(),
                operations.products,
                operations.rotations,
                profile.predict(&(planner.backend().counts() - before)),
            );
        }
    });
    println!("keys {:.2} GiB; {} threads", server.key_bytes() as f64 / 2f64.powi(30), rayon::current_num_threads());
    let mut criterion =
        Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5)).configure_from_args();
    let mut group = criterion.benchmark_group("slim");
    for function in &functions {
        let numbers = uniform(64, 1);
        let values: Vec<f64> = (0..shape.degree).map(|slot| numbers[slot % 64]).collect();
        let x = client.encrypt_slots(&values, level(function)).expect("slots");
        let id = BenchmarkId::new(function.name(), function.degree());
        group.bench_function(id, |bencher| bencher.iter(|| function.run(&server, &x)));
    }
    group.finish();
    criterion.final_summary();
}
