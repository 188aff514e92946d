//! How wide the ranges of a model are, and what polynomials over them would need.

use fhe_circuits::Functions;
use fhe_circuits::approximation::{Criterion, Target, needed_degree};
use fhe_model::Site;
use fhe_model::calibration::{Extents, Interval, LayerRanges, ModelRanges};
use fhe_model::encrypted::CircuitOptions;

use super::inputs::Inputs;
use crate::record::{CellRecord, NeededDegree, SiteRange};

/// The largest degree tried: more levels than any bootstrap leaves.
const LARGEST: usize = (1 << 14) - 1;

/// Writes what is known of a cell's ranges into its record, whether or not a circuit carries them.
pub(super) fn describe(inputs: &Inputs, functions: Functions, record: &mut CellRecord) {
    record.ranges = sites(inputs.ranges.extents());
    // Exact functions need none.
    if functions == Functions::Polynomial {
        let epsilon = inputs.weights.config().rms_norm_eps;
        record.needed_degrees = needed(&inputs.ranges.model(), epsilon, CircuitOptions::default().tolerance);
    }
}

/// Every site over all layers, in the order of the computation within a layer.
fn sites(extents: &Extents) -> Vec<SiteRange> {
    let mut sites: Vec<(Site, Interval, Option<f64>)> = Vec::new();
    for (location, intervals) in extents.iter() {
        let seen = intervals.iter().copied().filter(|interval| !interval.is_empty());
        let Some(seen) = seen.reduce(Interval::hull) else { continue };
        let ratio = (seen.lo > 0.0).then(|| seen.ratio());
        match sites.iter_mut().find(|(site, ..)| *site == location.site) {
            Some((_, hull, largest)) => {
                *hull = hull.hull(seen);
                *largest = largest.zip(ratio).map(|(a, b)| a.max(b));
            }
            None => sites.push((location.site, seen, ratio)),
        }
    }
    let range = |(site, Interval { lo, hi }, ratio): (Site, Interval, Option<f64>)| SiteRange {
        site: site.to_string(),
        low: lo,
        high: hi,
        ratio,
    };
    sites.into_iter().map(range).collect()
}

/// The degrees that the widest windows ask for, margins included.
fn needed(ranges: &ModelRanges, epsilon: f64, tolerance: f64) -> Vec<NeededDegree> {
    let layers = || ranges.layers.iter().enumerate();
    let relative = Target { criterion: Criterion::Relative, tolerance, limit: tolerance };
    let widest = |window: &dyn Fn(&LayerRanges) -> Option<Interval>| {
        let windows = layers().filter_map(|(layer, ranges)| Some((Some(layer), window(ranges)?)));
        windows.max_by(|(_, a), (_, b)| a.ratio().total_cmp(&b.ratio()))
    };
    let shifted = |window: Interval| Interval::new(window.lo + epsilon, window.hi + epsilon);
    let norms = layers()
        .flat_map(|(layer, ranges)| [ranges.attention_mean_square, ranges.ffn_mean_square].map(|w| (Some(layer), w)))
        .chain([(None, ranges.final_mean_square)])
        .map(|(layer, window)| (layer, shifted(window)))
        .max_by(|(_, a), (_, b)| a.ratio().total_cmp(&b.ratio()));
    let at = |window: Interval| move |y: f64| window.centre() + window.half_width() * y;
    let silu = layers().map(|(layer, ranges)| (layer, ranges.gate)).max_by(|(_, a), (_, b)| a.total_cmp(b));
    let of = |function: &str, layer: Option<usize>, target: Target, f: &dyn Fn(f64) -> f64| {
        let degree = needed_degree(target, LARGEST, f);
        let levels = (degree.unwrap_or(LARGEST) + 1).ilog2() as usize;
        NeededDegree { function: function.into(), layer, degree, largest_tried: LARGEST, levels }
    };
    let root = norms.map(|(layer, window)| {
        of("inverse root of a mean square", layer, relative, &move |y| at(window)(y).sqrt().recip())
    });
    let reciprocal = |function: &str, window: &dyn Fn(&LayerRanges) -> Option<Interval>| {
        let (layer, window) = widest(window)?;
        Some(of(function, layer, relative, &move |y| at(window)(y).recip()))
    };
    let denominators = reciprocal("reciprocal of a SoftMax denominator", &|ranges| Some(ranges.denominator));
    let sums = reciprocal("reciprocal of the first sum of squares in three rounds", &|ranges| ranges.quartered_sum);
    let silu = silu.map(|(layer, bound)| {
        let target = Target { criterion: Criterion::Absolute(bound), tolerance, limit: tolerance };
        of("SiLU", Some(layer), target, &move |y| bound * y / (1.0 + (-bound * y).exp()))
    });
    root.into_iter().chain(denominators).chain(sums).chain(silu).collect()
}
