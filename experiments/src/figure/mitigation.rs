//! What mitigation does to outliers: ranges of every site, and the degrees that polynomials over them need, one colour a toggle.

use fhe_model::Site;

use super::axis::Axis;
use super::drawing::{Anchor, Colour, Drawing, TextStyle, colour};
use super::font::Face;
use super::panel::{Frame, Mark, legend, size};
use crate::record::{CellRecord, NeededDegree, SiteRange, Status};

const ROW: f64 = 32.0;
/// Between the lanes of a row, one a series.
const LANE: f64 = 6.0;
const TOP: f64 = 126.0;
const PANEL_TOP: f64 = 58.0;
const LEGEND: f64 = 84.0;
const MARGIN: f64 = 22.0;
/// Sites in the order shown, with the name of what is drawn.
const SITES: [(Site, &str); 9] = [
    (Site::ResidualAfterFfn, "residual, after a layer"),
    (Site::DownProjection, "what a feed-forward network adds"),
    (Site::GatedProduct, "input of the down projection"),
    (Site::Gate, "argument of SiLU"),
    (Site::Query, "queries"),
    (Site::Key, "keys"),
    (Site::Score, "scores"),
    (Site::AttentionMeanSquare, "mean square before attention, ratio in a layer"),
    (Site::FfnMeanSquare, "mean square before the feed-forward network, ratio"),
];

/// One setting of the toggles.
struct Series<'a> {
    record: &'a CellRecord,
    name: &'static str,
    colour: Colour,
}

/// The figure of records that differ in prepending or rotating and hold ranges; `None` of fewer than two.
pub(super) fn draw(records: &[&CellRecord]) -> Option<Drawing> {
    let face = Face::new(false).ok()?;
    let mut series: Vec<Series<'_>> = Vec::new();
    for &record in records.iter().filter(|record| !record.ranges.is_empty()) {
        let (name, colour) = toggles(record);
        if !series.iter().any(|other| other.name == name) {
            series.push(Series { record, name, colour });
        }
    }
    if series.len() < 2 {
        return None;
    }
    let mut degrees: Vec<&str> = Vec::new();
    for needed in series.iter().flat_map(|series| &series.record.needed_degrees) {
        if !degrees.contains(&needed.function.as_str()) {
            degrees.push(&needed.function);
        }
    }
    let bottom = TOP + ROW * SITES.len() as f64;
    let mut drawing = Drawing::new(1160.0, bottom + 58.0);
    let model = series[0].record.model.path.rsplit('/').next().unwrap_or_default();
    let title = format!("{model}: outliers with and without prepended tokens and rotations");
    drawing.text((MARGIN, 26.0), title, TextStyle::new(size::TITLE, colour::INK, Anchor::Left).bold());
    let entries: Vec<_> = series.iter().map(|series| (Mark::Dot, series.colour, series.name)).collect();
    legend(&mut drawing, (MARGIN, LEGEND), &entries, &face);
    let sites = Frame { left: MARGIN + 300.0, right: 640.0, top: TOP, bottom };
    sites.heading(&mut drawing, MARGIN, PANEL_TOP, 'a', "Largest magnitude over all layers, as calibration saw it");
    magnitudes(&mut drawing, &sites, &series, &face);
    let needs = Frame { left: 920.0, right: 1080.0, top: TOP, bottom: TOP + ROW * degrees.len().max(1) as f64 };
    needs.heading(&mut drawing, 668.0, PANEL_TOP, 'b', "Degree that a polynomial needs over the widest range");
    needed(&mut drawing, &needs, &series, &degrees, &face);
    Some(drawing)
}

/// What is on, and its colour.
fn toggles(record: &CellRecord) -> (&'static str, Colour) {
    let is_on = |key: &str| record.config.get(key).and_then(serde_json::Value::as_bool).unwrap_or(false);
    match (is_on("mitigation.prepend"), is_on("mitigation.rotate")) {
        (false, false) => ("neither", colour::ORANGE),
        (false, true) => ("rotated", colour::MUTED),
        (true, false) => ("prepended", colour::BLUE),
        (true, true) => ("prepended and rotated", colour::GREEN),
    }
}

fn shown(range: &SiteRange) -> f64 {
    let is_ratio = [Site::AttentionMeanSquare, Site::FfnMeanSquare].iter().any(|site| range.site == site.to_string());
    range.ratio.filter(|_| is_ratio).unwrap_or(range.high.abs().max(range.low.abs()))
}

fn magnitudes(drawing: &mut Drawing, frame: &Frame, series: &[Series<'_>], face: &Face) {
    let value = |series: &Series<'_>, site: Site| {
        series.record.ranges.iter().find(|range| range.site == site.to_string()).map(shown).filter(|value| *value > 0.0)
    };
    let all = || series.iter().flat_map(|series| SITES.iter().filter_map(|(site, _)| value(series, *site)));
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    if low > high {
        return;
    }
    let axis = Axis::decades(low, high, 8);
    Frame { top: frame.top - 6.0, ..*frame }.uprights(drawing, &axis);
    for (row, (site, name)) in SITES.iter().enumerate() {
        let y = middle(frame, row);
        drawing.text((frame.left - 10.0, y), *name, TextStyle::new(size::TEXT, colour::INK, Anchor::Right));
        let place = |value: f64| axis.place(value, frame.left, frame.right);
        let places: Vec<(Option<f64>, Colour)> =
            series.iter().map(|series| (value(series, *site).map(place), series.colour)).collect();
        marks(drawing, y, &places);
    }
    frame.horizontal(drawing, &axis, "magnitude, or ratio", face);
}

fn needed(drawing: &mut Drawing, frame: &Frame, series: &[Series<'_>], functions: &[&str], face: &Face) {
    let of = |series: &Series<'_>, function: &str| -> Option<NeededDegree> {
        series.record.needed_degrees.iter().find(|needed| needed.function == function).cloned()
    };
    let bits = |needed: &NeededDegree| ((needed.degree.unwrap_or(needed.largest_tried) + 1) as f64).log2();
    let tried = series.iter().flat_map(|series| &series.record.needed_degrees).map(|needed| needed.largest_tried).max();
    let axis = Axis::powers_of_two(4.0, (tried.unwrap_or(255) as f64 + 1.0).log2(), 5);
    Frame { top: frame.top - 6.0, ..*frame }.uprights(drawing, &axis);
    for (row, function) in functions.iter().enumerate() {
        let y = middle(frame, row);
        for (line, part) in wrapped(function).into_iter().enumerate() {
            let at = (frame.left - 10.0, y - 6.0 + 12.0 * line as f64);
            drawing.text(at, part, TextStyle::new(size::TICK, colour::INK, Anchor::Right));
        }
        let place = |needed: NeededDegree| {
            // Beyond what was tried is beyond the end.
            let beyond = if needed.degree.is_none() { 12.0 } else { 0.0 };
            axis.place(bits(&needed), frame.left, frame.right) + beyond
        };
        let places: Vec<(Option<f64>, Colour)> =
            series.iter().map(|series| (of(series, function).map(place), series.colour)).collect();
        marks(drawing, y, &places);
    }
    frame.horizontal(drawing, &axis, "degree + 1; beyond the axis: higher than was tried", face);
    let mut y = frame.bottom + 62.0;
    for series in series {
        let verdict = match series.record.status {
            Status::Ok => "a circuit of these parameters carries it".into(),
            status => format!("{status}"),
        };
        let text = format!("{}: {verdict}", series.name);
        drawing.text((668.0, y), text, TextStyle::new(size::TEXT, series.colour, Anchor::Left));
        y += 17.0;
    }
}

fn middle(frame: &Frame, row: usize) -> f64 {
    frame.top + (row as f64 + 0.5) * ROW - 4.0
}

/// Dots on one row, each in the lane of its series, and how far they are apart.
fn marks(drawing: &mut Drawing, y: f64, places: &[(Option<f64>, Colour)]) {
    let known = || places.iter().filter_map(|(x, _)| *x);
    let (from, to) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    if from < to {
        drawing.line(vec![(from, y), (to, y)], colour::GRID, 2.2);
    }
    let first = y - LANE * (places.len().saturating_sub(1) as f64) / 2.0;
    for (lane, (x, colour)) in places.iter().enumerate() {
        if let Some(x) = x {
            drawing.disc((*x, first + LANE * lane as f64), 4.0, *colour);
        }
    }
}

/// At most two lines, broken at the space nearest the middle.
fn wrapped(text: &str) -> Vec<&str> {
    let spaces = text.match_indices(' ').map(|(at, _)| at);
    match spaces.min_by_key(|at| at.abs_diff(text.len() / 2)).filter(|_| text.len() > 24) {
        Some(at) => vec![&text[..at], &text[at + 1..]],
        None => vec![text],
    }
}
