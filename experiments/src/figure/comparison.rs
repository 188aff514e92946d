//! A comparison as bars on logarithmic axes, a panel per operation. Filled bars were measured, hollow ones were not.

use super::axis::Axis;
use super::drawing::{Anchor, Colour, Drawing, TextStyle, colour};
use super::font::Face;
use super::panel::{Frame, Mark, legend, size};
use crate::comparison::{Compared, ComparisonSpec, Entry, OnMachine};
use crate::format;

const MARGIN: f64 = 22.0;
const PANEL_WIDTH: f64 = 640.0;
const GAP: f64 = 40.0;
const COLUMNS: usize = 2;
/// Panels start under title, facts and legend.
const TOP: f64 = 92.0;
/// Height of a bar with its surroundings.
const PITCH: f64 = 19.0;
const HALF_BAR: f64 = 6.5;
/// Room of a panel above its bars for the heading and below them for the axis.
const HEADING: f64 = 22.0;
const FOOT: f64 = 52.0;

/// One bar, or its absence.
struct Bar {
    name: String,
    seconds: Option<f64>,
    /// What stands behind it.
    text: String,
    fill: Colour,
    /// Whether it was measured on this machine.
    measured: bool,
    /// The target it is held against, in seconds.
    must: Option<f64>,
}

/// The chart of a machine.
pub(super) fn draw(spec: &ComparisonSpec, machine: &OnMachine) -> Result<Drawing, String> {
    let face = Face::new(false)?;
    let shown = machine.operations.iter().filter(|compared| compared.operation.chart && !compared.entries.is_empty());
    let panels: Vec<(&Compared, Vec<Bar>)> = shown.map(|compared| (compared, bars(spec, compared))).collect();
    // A panel goes under the column that is shortest so far.
    let mut heights = [TOP; COLUMNS];
    let places: Vec<(usize, f64)> = panels
        .iter()
        .map(|(_, bars)| {
            let column = (0..COLUMNS).min_by(|left, right| heights[*left].total_cmp(&heights[*right])).unwrap_or(0);
            let top = heights[column];
            heights[column] += HEADING + PITCH * bars.len() as f64 + FOOT;
            (column, top)
        })
        .collect();
    let width = 2.0 * MARGIN + PANEL_WIDTH * COLUMNS as f64 + GAP * (COLUMNS - 1) as f64;
    let mut drawing = Drawing::new(width, heights.into_iter().fold(0.0, f64::max) + MARGIN / 2.0);
    title(&mut drawing, spec, machine, &panels, &face);
    for ((compared, bars), (column, top)) in panels.iter().zip(places) {
        let left = MARGIN + column as f64 * (PANEL_WIDTH + GAP);
        panel(&mut drawing, &compared.operation.label, bars, (left, top), &face);
    }
    Ok(drawing)
}

fn title(
    drawing: &mut Drawing,
    spec: &ComparisonSpec,
    machine: &OnMachine,
    panels: &[(&Compared, Vec<Bar>)],
    face: &Face,
) {
    let style = TextStyle::new(size::TITLE, colour::INK, Anchor::Left).bold();
    drawing.text((MARGIN, 26.0), format!("{} beside others", spec.label(&spec.ours)), style);
    let facts = format!(
        "{}, {}  ·  time of one operation, logarithmic  ·  ×: times ours, measured alike with equally many threads",
        machine.machine.name(),
        format::bytes(machine.machine.memory_bytes)
    );
    drawing.text((MARGIN, 49.0), facts, TextStyle::new(size::TEXT, colour::MUTED, Anchor::Left));
    let any = |wanted: fn(&Entry) -> bool| panels.iter().any(|(compared, _)| compared.entries.iter().any(wanted));
    let ours = spec.label(&spec.ours);
    let mut entries = vec![(Mark::Patch, colour::BLUE, ours), (Mark::Patch, colour::GREEN, "others, measured here")];
    if any(|entry| matches!(entry, Entry::Predicted { .. })) {
        entries.push((Mark::Hollow, colour::BLUE, "predicted from counts"));
    }
    if any(|entry| matches!(entry, Entry::Reported(_))) {
        entries.push((Mark::Hollow, colour::ORANGE, "reported by others on their hardware"));
    }
    if panels.iter().any(|(_, bars)| bars.iter().any(|bar| bar.must.is_some())) {
        entries.push((Mark::Dashes, colour::INK, "must"));
    }
    legend(drawing, (MARGIN, 70.0), &entries, face);
}

fn bars(spec: &ComparisonSpec, compared: &Compared) -> Vec<Bar> {
    let threads = |count: usize| if count == 1 { "1 thread".to_string() } else { format!("{count} threads") };
    let name = |library: &str, count: usize| format!("{}, {}", spec.label(library), threads(count));
    let operation = &compared.operation;
    let must = |count: usize| {
        let target = operation.targets.iter().find(|target| target.threads == count);
        target.and_then(|target| target.must).map(|must| must / operation.unit.per_second())
    };
    let bar = |entry: &Entry| match entry {
        Entry::Measured { row, each, times_ours } => {
            let ours = row.library == spec.ours;
            let ratio = times_ours.map(|ratio| format!(", {}×", format::significant(ratio, 2)));
            Bar {
                name: name(&row.library, row.threads),
                seconds: Some(each.median),
                text: format!("{}{}", format::seconds(each.median), ratio.unwrap_or_default()),
                fill: if ours { colour::BLUE } else { colour::GREEN },
                measured: true,
                must: must(row.threads).filter(|_| ours),
            }
        }
        Entry::Predicted { row, seconds } => Bar {
            name: name(&row.library, row.threads),
            seconds: Some(*seconds),
            text: format::seconds(*seconds),
            fill: colour::BLUE,
            measured: false,
            must: None,
        },
        Entry::Reported(reported) => Bar {
            name: reported.system.clone(),
            seconds: Some(reported.seconds),
            text: format!("{}, {}", format::seconds(reported.seconds), reported.hardware),
            fill: colour::ORANGE,
            measured: false,
            must: None,
        },
        Entry::Missing { library, threads, .. } => Bar {
            name: threads.map_or_else(|| spec.label(library).to_string(), |count| name(library, count)),
            seconds: None,
            text: "not measured".into(),
            fill: colour::MUTED,
            measured: false,
            must: None,
        },
    };
    compared.entries.iter().map(bar).collect()
}

fn panel(drawing: &mut Drawing, heading: &str, bars: &[Bar], (left, top): (f64, f64), face: &Face) {
    let widest =
        |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| face.width(text, size::TEXT)).fold(0.0, f64::max);
    let area = Frame {
        left: left + widest(&mut bars.iter().map(|bar| &bar.name)) + 8.0,
        right: left + PANEL_WIDTH - widest(&mut bars.iter().map(|bar| &bar.text)) - 6.0,
        top: top + HEADING,
        bottom: top + HEADING + PITCH * bars.len() as f64,
    };
    drawing.text((left, top + 8.0), heading, TextStyle::new(size::HEADING, colour::INK, Anchor::Left).bold());
    let times = || bars.iter().flat_map(|bar| [bar.seconds, bar.must]).flatten();
    let (low, high) = (times().fold(f64::INFINITY, f64::min), times().fold(0.0, f64::max));
    let axis = if low <= high { Axis::decades(low, high, 6) } else { Axis::decades(1e-3, 1.0, 6) };
    area.uprights(drawing, &axis);
    for (index, bar) in bars.iter().enumerate() {
        let y = area.top + (index as f64 + 0.5) * PITCH;
        drawing.text((area.left - 8.0, y), bar.name.as_str(), TextStyle::new(size::TEXT, colour::INK, Anchor::Right));
        let end = bar.seconds.map_or(area.left, |seconds| axis.place(seconds, area.left, area.right));
        if bar.seconds.is_some() {
            let (from, to) = ((area.left, y - HALF_BAR), (end.max(area.left + 2.0), y + HALF_BAR));
            match bar.measured {
                true => drawing.rectangle(from, to, bar.fill),
                false => drawing.hollow(from, to, bar.fill, 1.4),
            }
        }
        if let Some(must) = bar.must {
            let x = axis.place(must, area.left, area.right);
            drawing.dashes((x, y - PITCH / 2.0), (x, y + PITCH / 2.0), colour::INK, 1.6);
        }
        let ink = if bar.measured { colour::INK } else { colour::MUTED };
        drawing.text((end + 6.0, y), bar.text.as_str(), TextStyle::new(size::TEXT, ink, Anchor::Left));
    }
    area.horizontal(drawing, &axis, "seconds", face);
}
