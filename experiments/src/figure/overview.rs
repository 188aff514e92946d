//! One run at a glance: where its time went, how the error grows through the layers, how well every position agrees
//! with the float model.

use super::axis::Axis;
use super::drawing::{Anchor, Colour, Drawing, TextStyle, colour};
use super::font::Face;
use super::panel::{Frame, Mark, legend, size};
use crate::format;
use crate::record::{Agreement, CLEAR_CIRCUIT, CellRecord, FLOAT, Footprint, LayerError, Party, PositionAgreement};

const HEIGHT: f64 = 430.0;
const MARGIN: f64 = 22.0;
const GAP: f64 = 34.0;
/// Panels start under the title and leave room for axis names.
const PANEL_TOP: f64 = 84.0;
const AREA_TOP: f64 = 128.0;
const AREA_BOTTOM: f64 = 376.0;
/// Width of the three panels: seconds, layers, positions.
const WIDTHS: [f64; 3] = [380.0, 330.0, 430.0];

/// The overview of a record, with the panels for which it holds numbers; `None` if it holds none, or is of single heads, which have no layers.
pub(super) fn draw(record: &CellRecord) -> Option<Drawing> {
    if record.softmax.is_some() {
        return None;
    }
    let face = Face::new(false).ok()?;
    let passed = |error| Some((LayerError::layers_passed(error)?, error));
    let errors: Vec<(f64, &LayerError)> = record.layer_errors.iter().filter_map(passed).collect();
    let float = record.agreement_with(FLOAT).filter(|agreement| !agreement.by_position.is_empty());
    let shown = [record.seconds.total > 0.0, errors.len() > 1, float.is_some()];
    let widths: Vec<f64> = WIDTHS.iter().zip(shown).filter(|(_, shown)| *shown).map(|(width, _)| *width).collect();
    if widths.is_empty() {
        return None;
    }
    let width = 2.0 * MARGIN + widths.iter().sum::<f64>() + GAP * (widths.len() - 1) as f64;
    let mut drawing = Drawing::new(width.max(560.0), HEIGHT);
    title(&mut drawing, record);
    let (mut left, mut letters) = (MARGIN, 'a'..='c');
    let mut place = |width: f64| {
        let from = left;
        left += width + GAP;
        (from, from + width, letters.next().unwrap_or('a'))
    };
    if shown[0] {
        seconds(&mut drawing, record, place(WIDTHS[0]), &face);
    }
    if shown[1] {
        layers(&mut drawing, record.model.layers, &errors, place(WIDTHS[1]), &face);
    }
    if let Some(float) = float {
        positions(&mut drawing, record, float, place(WIDTHS[2]), &face);
    }
    Some(drawing)
}

/// Horizontal extent of a panel and its letter.
type Place = (f64, f64, char);

fn title(drawing: &mut Drawing, record: &CellRecord) {
    let model = record.model.path.rsplit('/').next().unwrap_or_default();
    let prompts = match record.input.prompts {
        0 => String::new(),
        1 => " of one prompt".into(),
        several => format!(" of {several} prompts"),
    };
    let text = format!(
        "{model}, {} parameters, {}: {} tokens{prompts}, {}",
        format::count(record.model.parameters),
        if record.model.layers == 1 { "1 layer".into() } else { format!("{} layers", record.model.layers) },
        record.input.live_tokens,
        record.mode,
    );
    drawing.text((MARGIN, 26.0), text, TextStyle::new(size::TITLE, colour::INK, Anchor::Left).bold());
    let from = &record.provenance;
    let mut facts = vec![from.parameters.clone()];
    facts.extend(from.security_bits.map(|bits| format!("{bits:.0}-bit security")));
    facts.extend(from.insecure.then(|| "INSECURE PARAMETERS ALLOWED".to_string()));
    facts.extend(record.model.synthetic.as_ref().map(|_| "SYNTHETIC WEIGHTS".to_string()));
    let processor = from.machine.cpu.replace("(R)", "").replace("(TM)", "");
    facts.extend(from.machine.gpu.clone());
    facts.push(format!("{} threads of {}", from.threads, processor.split(" @").next().unwrap_or(&processor)));
    let named = [("half_bootstraps", "half bootstraps"), ("key_switches", "key switches")];
    facts.extend(
        named.iter().filter_map(|(key, name)| Some(format!("{} {name}", format::count(*record.counts.get(*key)?)))),
    );
    facts.extend(memory(&record.footprint));
    drawing.text((MARGIN, 49.0), facts.join("  ·  "), TextStyle::new(size::TEXT, colour::MUTED, Anchor::Left));
}

fn memory(footprint: &Footprint) -> Option<String> {
    let Footprint { peak_memory_bytes: process, device_memory_bytes: device, .. } = *footprint;
    let of_device = if device > 0 { format!(", {} of the GPU", format::bytes(device)) } else { String::new() };
    (process > 0).then(|| format!("{} peak memory{of_device}", format::bytes(process)))
}

/// A bar per phase, from the top in the order of the run.
fn seconds(drawing: &mut Drawing, record: &CellRecord, (from, to, letter): Place, face: &Face) {
    let phases: Vec<_> = record.seconds.phases().into_iter().filter(|(_, _, seconds)| *seconds > 0.0).collect();
    let label_width = phases.iter().map(|(name, _, _)| face.width(name, size::TEXT)).fold(0.0, f64::max);
    let texts: Vec<String> = phases.iter().map(|(_, _, value)| share_text(*value, record.seconds.total)).collect();
    let value_width = texts.iter().map(|text| face.width(text, size::TEXT)).fold(0.0, f64::max);
    let area = Frame {
        left: from + label_width + 8.0,
        right: to - value_width - 6.0,
        top: AREA_TOP - 14.0,
        bottom: AREA_BOTTOM,
    };
    let heading = format!("Time by phase, {} in all", format::seconds(record.seconds.total));
    area.heading(drawing, from, PANEL_TOP, letter, &heading);
    let longest = phases.iter().map(|(_, _, seconds)| *seconds).fold(0.0, f64::max);
    let axis = Axis::from_zero(longest, 4);
    let pitch = (area.bottom - area.top) / phases.len().max(1) as f64;
    let half = (0.34 * pitch).min(11.0);
    for (index, ((name, party, value), text)) in phases.iter().zip(&texts).enumerate() {
        let y = area.top + (index as f64 + 0.5) * pitch;
        let end = axis.place(*value, area.left, area.right);
        let fill = fill(*party);
        drawing.rectangle((area.left, y - half), (end.max(area.left + 1.0), y + half), fill);
        drawing.text((area.left - 8.0, y), *name, TextStyle::new(size::TEXT, colour::INK, Anchor::Right));
        drawing.text((end + 6.0, y), text.as_str(), TextStyle::new(size::TEXT, colour::INK, Anchor::Left));
    }
    area.horizontal(drawing, &axis, "seconds", face);
    let shown = |(party, _): &(Party, _)| phases.iter().any(|(_, other, _)| other == party);
    let named = [(Party::Server, "server"), (Party::Client, "client"), (Party::Harness, "harness")];
    let entries: Vec<_> =
        named.into_iter().filter(shown).map(|(party, name)| (Mark::Patch, fill(party), name)).collect();
    legend(drawing, (from, PANEL_TOP + 21.0), &entries, face);
}

fn fill(party: Party) -> Colour {
    match party {
        Party::Server => colour::BLUE,
        Party::Client => colour::GREEN,
        Party::Harness => colour::MUTED,
    }
}

/// A duration, with its share of the whole where that is not negligible.
fn share_text(value: f64, total: f64) -> String {
    let share = 100.0 * value / total;
    let duration = format::seconds(value);
    if share >= 0.5 { format!("{duration} ({share:.0} %)") } else { duration }
}

/// One of the errors that a site has.
type Bits = fn(&LayerError) -> f64;

/// Largest and mean relative error of the residual stream, with the layers it has passed.
fn layers(
    drawing: &mut Drawing,
    model_layers: usize,
    errors: &[(f64, &LayerError)],
    (from, to, letter): Place,
    face: &Face,
) {
    let frame = Frame { left: from + 64.0, right: to, top: AREA_TOP + 16.0, bottom: AREA_BOTTOM };
    frame.heading(drawing, from, PANEL_TOP, letter, "Error of the residual stream");
    let finite = || {
        errors
            .iter()
            .flat_map(|(_, error)| [error.max_error_bits, error.mean_error_bits])
            .filter(|bits| bits.is_finite())
    };
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let vertical = if low <= high { Axis::powers_of_two(low, high, 6) } else { Axis::powers_of_two(-20.0, 0.0, 6) };
    frame.vertical(drawing, &vertical, "error / rms of the token's row", face);
    let horizontal = Axis::integers(0, model_layers, 8, 0.03 * model_layers as f64);
    frame.horizontal(drawing, &horizontal, "decoder layers passed (half: after attention)", face);
    let mut row = 0.0;
    for (reference, dashed) in [(FLOAT, false), (CLEAR_CIRCUIT, true)] {
        let series: Vec<_> = errors.iter().filter(|(_, error)| error.against == reference).collect();
        if series.is_empty() {
            continue;
        }
        let picks: [(Bits, _); 2] =
            [(|error| error.max_error_bits, colour::ORANGE), (|error| error.mean_error_bits, colour::BLUE)];
        for (pick, colour) in picks {
            let mut points: Vec<_> = series
                .iter()
                .filter(|(_, error)| pick(error).is_finite())
                .map(|(passed, error)| {
                    let x = horizontal.place(*passed, frame.left, frame.right);
                    (x, vertical.place(pick(error), frame.bottom, frame.top))
                })
                .collect();
            points.sort_by(|left, right| left.0.total_cmp(&right.0));
            match dashed {
                true => points.windows(2).for_each(|pair| drawing.dashes(pair[0], pair[1], colour, 1.6)),
                false => drawing.line(points.clone(), colour, 1.8),
            }
            points.iter().for_each(|point| drawing.disc(*point, 3.4, colour));
        }
        let mark = if dashed { Mark::DottedDashes } else { Mark::DottedLine };
        let (max, mean) = (format!("max vs {reference}"), format!("mean vs {reference}"));
        let entries = [(mark, colour::ORANGE, max.as_str()), (mark, colour::BLUE, mean.as_str())];
        legend(drawing, (from, PANEL_TOP + 21.0 + row), &entries, face);
        row += 18.0;
    }
}

/// Divergence and logit error at every position, prompts told apart by bands.
fn positions(drawing: &mut Drawing, record: &CellRecord, float: &Agreement, (from, to, letter): Place, face: &Face) {
    let middle = (AREA_TOP + AREA_BOTTOM) / 2.0;
    let upper = Frame { left: from + 64.0, right: to, top: AREA_TOP, bottom: middle - 9.0 };
    let lower = Frame { top: middle + 9.0, bottom: AREA_BOTTOM, ..upper };
    let share = format!("{} of {} top-1 tokens agree", float.top1, float.positions);
    upper.heading(drawing, from, PANEL_TOP, letter, &format!("Agreement with float: {share}"));
    let horizontal = Axis::integers(0, float.by_position.len() - 1, 8, 0.5);
    for frame in [&upper, &lower] {
        bands(drawing, frame, &float.by_position, &horizontal);
    }
    let divergence = Series { agreement: float, quantity: |at| at.kl, limit: record.must.kl_mean, name: "KL (nats)" };
    let logits = Series {
        agreement: float,
        quantity: |at| at.top5_logit_error,
        limit: record.must.top5_logit_error_max,
        name: "top-5 logit error",
    };
    divergence.scatter(drawing, &upper, &horizontal, face);
    logits.scatter(drawing, &lower, &horizontal, face);
    let mean = divergence.axis().place(float.kl_mean, upper.bottom, upper.top);
    drawing.line(vec![(upper.left, mean), (upper.right, mean)], colour::BLUE, 1.2);
    drawing.line(vec![(upper.left, upper.bottom), (upper.right, upper.bottom)], colour::INK, 1.0);
    lower.horizontal(drawing, &horizontal, "live token, in block order (shading separates prompts)", face);
    let mut entries = vec![
        (Mark::Dot, colour::BLUE, "same top-1"),
        (Mark::Dot, colour::ORANGE, "other top-1"),
        (Mark::Line, colour::BLUE, "mean KL"),
    ];
    if record.must.kl_mean.is_some() || record.must.top5_logit_error_max.is_some() {
        entries.push((Mark::Dashes, colour::INK, "limit"));
    }
    legend(drawing, (from, PANEL_TOP + 21.0), &entries, face);
}

/// Every other prompt lies on a grey band.
fn bands(drawing: &mut Drawing, frame: &Frame, positions: &[PositionAgreement], axis: &Axis) {
    for (index, _) in positions.iter().enumerate().filter(|(_, at)| at.prompt % 2 == 1) {
        let edge = |value: f64| axis.place(value, frame.left, frame.right);
        drawing.rectangle(
            (edge(index as f64 - 0.5), frame.top),
            (edge(index as f64 + 0.5), frame.bottom),
            colour::BAND,
        );
    }
}

/// A quantity at every position, with the limit it is held against.
struct Series<'a> {
    agreement: &'a Agreement,
    quantity: fn(&PositionAgreement) -> f64,
    limit: Option<f64>,
    name: &'static str,
}

impl Series<'_> {
    /// A logarithmic axis over the positive values and the limit.
    fn axis(&self) -> Axis {
        let all = || self.agreement.by_position.iter().map(self.quantity).chain(self.limit);
        let drawable = || all().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = (drawable().fold(f64::INFINITY, f64::min), drawable().fold(0.0, f64::max));
        if low <= high { Axis::decades(low, high, 5) } else { Axis::decades(1e-6, 1.0, 5) }
    }

    fn scatter(&self, drawing: &mut Drawing, frame: &Frame, horizontal: &Axis, face: &Face) {
        let vertical = self.axis();
        frame.vertical(drawing, &vertical, self.name, face);
        if let Some(limit) = self.limit {
            let y = vertical.place(limit, frame.bottom, frame.top);
            drawing.dashes((frame.left, y), (frame.right, y), colour::INK, 1.3);
        }
        for (index, at) in self.agreement.by_position.iter().enumerate() {
            // What is not a number is no agreement: it is drawn at the top.
            let value = Some((self.quantity)(at)).filter(|value| !value.is_nan()).unwrap_or(f64::INFINITY);
            let x = horizontal.place(index as f64, frame.left, frame.right);
            let y = vertical.place(value, frame.bottom, frame.top);
            drawing.disc((x, y), 2.3, if at.top1 { colour::BLUE } else { colour::ORANGE });
        }
    }
}
