//! Panels over a numeric setting: a line for each combination of the others.

use super::super::axis::Axis;
use super::super::drawing::{Anchor, Drawing, TextStyle, colour};
use super::super::font::Face;
use super::super::panel::{Frame, size};
use super::layout::{Header, MARGIN, Title};
use super::mark::{Entry, LETTER_BOX, Look};
use super::quantity::Quantity;
use super::{Outcome, Sweep, outcome, spread};
use crate::record::{Choice, Setting, short_names};

const COLUMNS: usize = 2;
const PANEL_WIDTH: f64 = 390.0;
const GAP: f64 = 30.0;
/// Room of a panel above its area for the heading, left of it and below it for axes.
const HEADING: f64 = 22.0;
const SIDE: f64 = 64.0;
const FOOT: f64 = 58.0;
const AREA: f64 = 190.0;
/// Room for the records that leave the numeric setting out.
const LEFT_OUT: f64 = 60.0;
/// Most that neighbouring lines are moved apart, so that equal values do not hide each other.
const APART: f64 = 5.0;

/// One place of a line: what its repetitions have come to.
struct Point<'a> {
    at: &'a Choice,
    values: Vec<f64>,
    without: Vec<String>,
}

/// A panel's lines, in the order of the groups.
fn series<'a>(sweep: &Sweep<'_>, along: &'a Setting, groups: &[Vec<String>], shown: &Quantity) -> Vec<Vec<Point<'a>>> {
    let combinations = sweep.combinations();
    let point = |group: &[String], at: &'a Choice| {
        let mut point = Point { at, values: Vec::new(), without: Vec::new() };
        for (index, record) in sweep.records.iter().enumerate() {
            if combinations[index] == group && along.choices[index] == *at {
                match outcome(record, shown) {
                    Some(Outcome::Value(value)) => point.values.push(value),
                    Some(Outcome::Without(word)) if !point.without.contains(&word) => point.without.push(word),
                    _ => {}
                }
            }
        }
        point
    };
    let line = |group: &Vec<String>| along.distinct().into_iter().map(|at| point(group, at)).collect();
    groups.iter().map(line).collect()
}

pub(super) fn draw(sweep: &Sweep<'_>, along: &Setting, title: &Title, face: &Face) -> Drawing {
    let groups = sweep.groups();
    let panels: Vec<_> = sweep.quantities.iter().map(|shown| (shown, series(sweep, along, &groups, shown))).collect();
    let columns = panels.len().min(COLUMNS);
    let inner = PANEL_WIDTH * columns as f64 + GAP * (columns - 1) as f64;
    let header = Header::new(title, sweep.legend(true), inner.max(2.0 * PANEL_WIDTH), face);
    let top = header.bottom(face);
    // Letters of cells without a result stand above the area, one over the other where they share a place.
    let stacked = |lines: &Vec<Vec<Point<'_>>>, at: &Choice| {
        let points = lines.iter().flatten().filter(|point| point.at == at);
        points.map(|point| point.without.len()).sum::<usize>()
    };
    let highest = panels.iter().flat_map(|(_, lines)| along.distinct().into_iter().map(|at| stacked(lines, at))).max();
    let strip = highest.unwrap_or_default() as f64 * (LETTER_BOX + 2.0);
    let pitch = HEADING + strip + AREA + FOOT;
    let rows = panels.len().div_ceil(columns);
    let width = 2.0 * MARGIN + inner.max(2.0 * PANEL_WIDTH);
    let mut drawing = Drawing::new(width.ceil(), (top + pitch * rows as f64).ceil());
    header.draw(&mut drawing, face);
    for (index, ((shown, lines), letter)) in panels.iter().zip('a'..).enumerate() {
        let from = MARGIN + (index % columns) as f64 * (PANEL_WIDTH + GAP);
        let top = top + (index / columns) as f64 * pitch;
        let area = top + HEADING + strip;
        let frame = Frame { left: from + SIDE, right: from + PANEL_WIDTH - 8.0, top: area, bottom: area + AREA };
        frame.heading(&mut drawing, from, top + 6.0, letter, &shown.heading);
        panel(&mut drawing, &frame, shown, along, lines, face);
    }
    drawing
}

fn panel(
    drawing: &mut Drawing,
    frame: &Frame,
    shown: &Quantity,
    along: &Setting,
    lines: &[Vec<Point<'_>>],
    face: &Face,
) {
    let values: Vec<f64> = lines.iter().flatten().flat_map(|point| point.values.iter().copied()).collect();
    let vertical = shown.axis(&values, 5);
    frame.vertical(drawing, &vertical, &shown.name, face);
    let horizontal = Horizontal::new(along, frame, face);
    horizontal.draw(drawing, frame, face);
    if let Some((line, _)) = shown.line {
        let y = vertical.place(line, frame.bottom, frame.top);
        drawing.dashes((frame.left, y), (frame.right, y), colour::INK, 1.3);
    }
    let apart = APART.min(0.5 * horizontal.closest() / lines.len() as f64);
    let mut stacked: Vec<(&Choice, usize)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let look = Look::of(index);
        let moved = apart * (index as f64 - (lines.len() - 1) as f64 / 2.0);
        let mut previous = None;
        for point in line {
            let x = horizontal.place(point.at) + moved;
            let y = |value: f64| vertical.place(value, frame.bottom, frame.top);
            match spread(&point.values) {
                Some((mean, least, greatest)) => {
                    let here = (x, y(mean));
                    if let Some(before) = previous {
                        look.line(drawing, before, here);
                    }
                    look.span(drawing, (x, y(least)), (x, y(greatest)));
                    // What was left out is no number: no line leads from it to the first.
                    previous = point.at.number().map(|_| here);
                }
                // A line does not bridge a cell without a result.
                None if !point.without.is_empty() => previous = None,
                None => {}
            }
            for word in &point.without {
                let below = stacked.iter().filter(|(at, _)| *at == point.at).count();
                stacked.push((point.at, index));
                let y = frame.top - (LETTER_BOX + 2.0) * (below as f64 + 0.5);
                look.without(drawing, (horizontal.place(point.at), y), word);
            }
        }
        for point in line {
            if let Some((mean, ..)) = spread(&point.values) {
                let place = vertical.place(mean, frame.bottom, frame.top);
                look.marker(drawing, (horizontal.place(point.at) + moved, place));
            }
        }
    }
}

/// The horizontal axis: a tick at every number of the sweep, and a place of its own for what left the setting out.
struct Horizontal {
    axis: Axis,
    /// The part of the area that the numbers have.
    numbers: Frame,
    values: Vec<f64>,
    left_out: Option<f64>,
    name: String,
}

impl Horizontal {
    fn new(along: &Setting, frame: &Frame, face: &Face) -> Self {
        let distinct = along.distinct();
        let left_out = distinct.contains(&&Choice::LeftOut).then_some(frame.left + LEFT_OUT / 2.0);
        let numbers = Frame { left: frame.left + if left_out.is_some() { LEFT_OUT } else { 0.0 }, ..*frame };
        let ticks: Vec<(f64, String)> =
            distinct.iter().filter_map(|choice| Some((choice.number()?, choice.to_string()))).collect();
        let mut axis = Axis::at(&ticks);
        let mut taken = f64::NEG_INFINITY;
        axis.ticks.retain(|(value, label)| {
            let (x, half) = (axis_place(&ticks, *value, &numbers), face.width(&label.base, size::TICK) / 2.0);
            let fits = x - half > taken + 4.0;
            if fits {
                taken = x + half;
            }
            fits
        });
        let values = ticks.iter().map(|(value, _)| *value).collect();
        Self { axis, numbers, values, left_out, name: format!("{}{}", along.key, unit(&along.key)) }
    }

    fn place(&self, at: &Choice) -> f64 {
        match at.number() {
            Some(value) => self.axis.place(value, self.numbers.left, self.numbers.right),
            None => self.left_out.unwrap_or(self.numbers.left),
        }
    }

    /// The least distance of two places.
    fn closest(&self) -> f64 {
        let places: Vec<f64> =
            self.values.iter().map(|value| self.axis.place(*value, self.numbers.left, self.numbers.right)).collect();
        places.windows(2).map(|pair| pair[1] - pair[0]).fold(LEFT_OUT, f64::min)
    }

    fn draw(&self, drawing: &mut Drawing, frame: &Frame, face: &Face) {
        for value in &self.values {
            let x = self.axis.place(*value, self.numbers.left, self.numbers.right);
            drawing.line(vec![(x, frame.top), (x, frame.bottom)], colour::BAND, 0.8);
        }
        self.numbers.horizontal(drawing, &self.axis, &self.name, face);
        if let Some(x) = self.left_out {
            drawing.line(vec![(frame.left, frame.bottom), (self.numbers.left, frame.bottom)], colour::INK, 1.0);
            drawing.line(vec![(x, frame.bottom), (x, frame.bottom + 4.0)], colour::INK, 1.0);
            let style = TextStyle::new(size::TICK, colour::INK, Anchor::Middle);
            drawing.text((x, frame.bottom + 13.0), Choice::LeftOut.to_string(), style);
            let edge = self.numbers.left;
            drawing.dashes((edge, frame.top), (edge, frame.bottom), colour::MUTED, 0.8);
        }
    }
}

/// As [`Axis::place`], for ticks that are being thinned out.
fn axis_place(ticks: &[(f64, String)], value: f64, numbers: &Frame) -> f64 {
    Axis::at(ticks).place(value, numbers.left, numbers.right)
}

/// The unit of a setting as its name tells it.
fn unit(key: &str) -> &'static str {
    match key {
        key if key.ends_with("tokens") => " (tokens)",
        key if key.ends_with("_bits") => " (bits)",
        key if key.ends_with("seconds") => " (s)",
        _ => "",
    }
}

impl Sweep<'_> {
    /// What tells combinations and outcomes apart; combinations without a legend of their own are named at their rows.
    pub(super) fn legend(&self, combinations: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        if combinations && !self.across.is_empty() {
            let names = self.names();
            for (index, group) in self.groups().iter().enumerate() {
                let parts = names.iter().zip(group).map(|(name, label)| format!("{name} = {label}"));
                let text = parts.collect::<Vec<_>>().join(", ");
                entries.push(Entry::Combination { look: Look::of(index), joined: true, text });
            }
        }
        let mut words: Vec<(String, usize)> = Vec::new();
        for record in self.records {
            let mut said: Vec<String> = Vec::new();
            for shown in &self.quantities {
                if let Some(Outcome::Without(word)) = outcome(record, shown)
                    && !said.contains(&word)
                {
                    said.push(word);
                }
            }
            for word in said {
                match words.iter_mut().find(|(known, _)| *known == word) {
                    Some((_, cells)) => *cells += 1,
                    None => words.push((word, 1)),
                }
            }
        }
        entries.extend(words.into_iter().map(|(word, cells)| Entry::Without { word, cells }));
        for (shown, letter) in self.quantities.iter().zip('a'..) {
            entries.extend(shown.line.map(|(_, text)| Entry::Line(format!("{text} ({letter})"))));
        }
        entries
    }

    /// What the settings across are called.
    pub(super) fn names(&self) -> Vec<String> {
        let all: Vec<&Setting> = self.across.iter().chain(&self.along).collect();
        short_names(&all).into_iter().take(self.across.len()).collect()
    }
}
