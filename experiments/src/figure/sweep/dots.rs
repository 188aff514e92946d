//! A row for each combination of settings that are no numbers: its settings on the left, a dot in every panel.

use super::super::drawing::{Anchor, Drawing, TextStyle, colour};
use super::super::font::Face;
use super::super::panel::{Frame, size};
use super::layout::{Header, MARGIN, Title, broken};
use super::mark::{LETTER_BOX, Look};
use super::quantity::Quantity;
use super::{Outcome, Sweep, outcome, spread};

const PANEL_WIDTH: f64 = 165.0;
const GAP: f64 = 38.0;
const COLUMN_GAP: f64 = 16.0;
/// Height of a row.
const PITCH: f64 = 21.0;
/// Height of a line of a heading.
const LINE: f64 = 17.0;
const FOOT: f64 = 46.0;

pub(super) fn draw(sweep: &Sweep<'_>, title: &Title, face: &Face) -> Drawing {
    let groups = sweep.groups();
    let names = sweep.names();
    let columns = table_columns(&names, &groups, face);
    let table: f64 = columns.iter().map(|width| width + COLUMN_GAP).sum();
    let inner = table + (PANEL_WIDTH + GAP) * sweep.quantities.len() as f64 - GAP;
    let header = Header::new(title, sweep.legend(false), inner.max(560.0), face);
    let headings: Vec<Vec<String>> =
        sweep.quantities.iter().zip('a'..).map(|(shown, letter)| heading(shown, letter, face)).collect();
    let top = header.bottom(face) + 8.0;
    let area = top + LINE * headings.iter().map(Vec::len).max().unwrap_or_default() as f64 + 2.0;
    let bottom = area + PITCH * groups.len() as f64;
    let mut drawing = Drawing::new((2.0 * MARGIN + inner.max(560.0)).ceil(), (bottom + FOOT).ceil());
    header.draw(&mut drawing, face);
    rows(&mut drawing, (MARGIN, area), inner, &groups);
    let mut left = MARGIN;
    for (index, (name, width)) in names.iter().zip(&columns).enumerate() {
        let style = TextStyle::new(size::TEXT, colour::INK, Anchor::Left);
        drawing.text((left, area - LINE / 2.0 - 2.0), name.as_str(), style.bold());
        for (row, group) in groups.iter().enumerate() {
            drawing.text((left, area + PITCH * (row as f64 + 0.5)), group[index].as_str(), style);
        }
        left += width + COLUMN_GAP;
    }
    for (shown, lines) in sweep.quantities.iter().zip(&headings) {
        for (index, line) in lines.iter().enumerate() {
            let style = TextStyle::new(size::HEADING, colour::INK, Anchor::Left).bold();
            drawing.text((left, top + LINE * (index as f64 + 0.5)), line.as_str(), style);
        }
        let frame = Frame { left: left + 6.0, right: left + PANEL_WIDTH, top: area, bottom };
        panel(&mut drawing, &frame, shown, sweep, &groups, face);
        left += PANEL_WIDTH + GAP;
    }
    drawing
}

/// The width that each setting needs.
fn table_columns(names: &[String], groups: &[Vec<String>], face: &Face) -> Vec<f64> {
    let widest = |(index, name): (usize, &String)| {
        let labels = groups.iter().map(|group| face.width(&group[index], size::TEXT));
        // Names are bold, which is wider.
        labels.fold(1.1 * face.width(name, size::TEXT), f64::max)
    };
    names.iter().enumerate().map(widest).collect()
}

/// A panel's heading in lines of its width, bold letters being wider.
fn heading(shown: &Quantity, letter: char, face: &Face) -> Vec<String> {
    let words: Vec<String> = shown.heading.split(' ').map(String::from).collect();
    let mut lines = broken(&words, " ", PANEL_WIDTH - 30.0, 1.1 * size::HEADING, face);
    if let Some(first) = lines.first_mut() {
        *first = format!("({letter})  {first}");
    }
    lines
}

/// Every other row lies on a grey band.
fn rows(drawing: &mut Drawing, (left, area): (f64, f64), width: f64, groups: &[Vec<String>]) {
    for row in (0..groups.len()).step_by(2) {
        let top = area + PITCH * row as f64;
        drawing.rectangle((left - 4.0, top), (left + width + 4.0, top + PITCH), colour::BAND);
    }
}

fn panel(
    drawing: &mut Drawing,
    frame: &Frame,
    shown: &Quantity,
    sweep: &Sweep<'_>,
    groups: &[Vec<String>],
    face: &Face,
) {
    let combinations = sweep.combinations();
    let mut results: Vec<(Vec<f64>, Vec<String>)> = vec![Default::default(); groups.len()];
    for (record, combination) in sweep.records.iter().zip(&combinations) {
        let Some(row) = groups.iter().position(|group| group == combination) else { continue };
        match outcome(record, shown) {
            Some(Outcome::Value(value)) => results[row].0.push(value),
            Some(Outcome::Without(word)) if !results[row].1.contains(&word) => results[row].1.push(word),
            _ => {}
        }
    }
    // Cells without a result stand behind the edge that is the far one for a value.
    let strip = results.iter().map(|(_, words)| words.len()).max().unwrap_or_default() as f64 * (LETTER_BOX + 2.0);
    let frame = Frame { right: frame.right - strip, ..*frame };
    let values: Vec<f64> = results.iter().flat_map(|(values, _)| values.iter().copied()).collect();
    let axis = shown.axis(&values, 3);
    frame.uprights(drawing, &axis);
    if let Some((line, _)) = shown.line {
        let x = axis.place(line, frame.left, frame.right);
        drawing.dashes((x, frame.top), (x, frame.bottom), colour::INK, 1.3);
    }
    let look = Look::of(0);
    for (row, (values, words)) in results.iter().enumerate() {
        let y = frame.top + PITCH * (row as f64 + 0.5);
        if let Some((mean, least, greatest)) = spread(values) {
            let x = |value: f64| axis.place(value, frame.left, frame.right);
            look.span(drawing, (x(least), y), (x(greatest), y));
            look.marker(drawing, (x(mean), y));
        }
        for (index, word) in words.iter().enumerate() {
            look.without(drawing, (frame.right + (LETTER_BOX + 2.0) * (index as f64 + 0.5), y), word);
        }
    }
    frame.horizontal(drawing, &axis, &shown.name, face);
}
