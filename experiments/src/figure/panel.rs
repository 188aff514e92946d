//! The frame of a panel: heading, axes, grid, legend. Its contents are drawn by whoever knows what they mean.

use super::axis::Axis;
use super::drawing::{Anchor, Colour, Drawing, TextStyle, colour};
use super::font::Face;

/// Letter sizes of all figures, in points.
pub(super) mod size {
    pub(crate) const TITLE: f64 = 16.0;
    pub(crate) const HEADING: f64 = 13.0;
    pub(crate) const TEXT: f64 = 11.5;
    pub(crate) const TICK: f64 = 11.0;
}

/// Room for tick labels between a vertical axis and its name.
const NAME_GAP: f64 = 52.0;

/// The plotting area of a panel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// A letter and a heading above the area.
    pub(super) fn heading(&self, drawing: &mut Drawing, from: f64, top: f64, letter: char, text: &str) {
        let style = TextStyle::new(size::HEADING, colour::INK, Anchor::Left).bold();
        drawing.text((from, top), format!("({letter})  {text}"), style);
    }

    /// Vertical axis: grid lines, tick labels, and its name read from below.
    pub(super) fn vertical(&self, drawing: &mut Drawing, axis: &Axis, name: &str, face: &Face) {
        for (value, label) in &axis.ticks {
            let y = axis.place(*value, self.bottom, self.top);
            drawing.line(vec![(self.left, y), (self.right, y)], colour::GRID, 0.8);
            let style = TextStyle::new(size::TICK, colour::INK, Anchor::Right);
            drawing.label((self.left - 7.0, y), label, style, face);
        }
        let middle = (self.left - NAME_GAP, (self.top + self.bottom) / 2.0);
        drawing.text(middle, name, TextStyle::new(size::TEXT, colour::INK, Anchor::Middle).upwards());
    }

    /// Grid lines at the ticks of a horizontal axis.
    pub(super) fn uprights(&self, drawing: &mut Drawing, axis: &Axis) {
        for (value, _) in &axis.ticks {
            let x = axis.place(*value, self.left, self.right);
            drawing.line(vec![(x, self.top), (x, self.bottom)], colour::GRID, 0.8);
        }
    }

    /// Horizontal axis: base line, ticks and their labels, and its name under them.
    pub(super) fn horizontal(&self, drawing: &mut Drawing, axis: &Axis, name: &str, face: &Face) {
        drawing.line(vec![(self.left, self.bottom), (self.right, self.bottom)], colour::INK, 1.0);
        let mut last = f64::NEG_INFINITY;
        for (value, label) in &axis.ticks {
            let x = axis.place(*value, self.left, self.right);
            drawing.line(vec![(x, self.bottom), (x, self.bottom + 4.0)], colour::INK, 1.0);
            let style = TextStyle::new(size::TICK, colour::INK, Anchor::Middle);
            // A label that would run into its neighbour is left out; its tick stays. Ticks may come in either order.
            let half = face.width(&label.base, size::TICK) / 2.0;
            if (x - last).abs() > 2.0 * half || label.exponent.is_some() {
                drawing.label((x, self.bottom + 13.0), label, style, face);
                last = x;
            }
        }
        let middle = ((self.left + self.right) / 2.0, self.bottom + 33.0);
        drawing.text(middle, name, TextStyle::new(size::TEXT, colour::INK, Anchor::Middle));
    }
}

/// What stands beside a name in a legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Line,
    Dashes,
    Dot,
    DottedLine,
    DottedDashes,
    Patch,
    Hollow,
}

/// Marks and names in a row.
pub(super) fn legend(drawing: &mut Drawing, at: (f64, f64), entries: &[(Mark, Colour, &str)], face: &Face) {
    let mut x = at.0;
    for (mark, colour, name) in entries {
        let width = if matches!(mark, Mark::Dot | Mark::Patch | Mark::Hollow) { 10.0 } else { 20.0 };
        let (from, to) = ((x, at.1), (x + width, at.1));
        match mark {
            Mark::Line | Mark::DottedLine => drawing.line(vec![from, to], *colour, 1.8),
            Mark::Dashes | Mark::DottedDashes => drawing.dashes(from, to, *colour, 1.6),
            Mark::Patch => drawing.rectangle((x, at.1 - 5.0), (x + width, at.1 + 5.0), *colour),
            Mark::Hollow => drawing.hollow((x, at.1 - 5.0), (x + width, at.1 + 5.0), *colour, 1.4),
            Mark::Dot => {}
        }
        if matches!(mark, Mark::Dot | Mark::DottedLine | Mark::DottedDashes) {
            drawing.disc((x + width / 2.0, at.1), 3.2, *colour);
        }
        drawing.text((x + width + 6.0, at.1), *name, TextStyle::new(size::TEXT, colour::INK, Anchor::Left));
        x += width + 6.0 + face.width(name, size::TEXT) + 18.0;
    }
}
