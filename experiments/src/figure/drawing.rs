//! A picture as a list of shapes, in points from the upper left corner.

use super::axis::Label;
use super::font::Face;

/// Red, green, blue.
pub(super) type Colour = (u8, u8, u8);

/// Colours of Okabe and Ito's palette, which colour-blind readers can tell apart, and greys.
pub(super) mod colour {
    use super::Colour;

    pub(crate) const INK: Colour = (34, 34, 34);
    pub(crate) const MUTED: Colour = (105, 105, 105);
    pub(crate) const GRID: Colour = (226, 226, 226);
    pub(crate) const BAND: Colour = (245, 245, 245);
    pub(crate) const BLUE: Colour = (0, 114, 178);
    pub(crate) const ORANGE: Colour = (213, 94, 0);
    pub(crate) const GREEN: Colour = (0, 158, 115);
    pub(crate) const PURPLE: Colour = (204, 121, 167);
    pub(crate) const SKY: Colour = (86, 180, 233);
    pub(crate) const AMBER: Colour = (230, 159, 0);
    pub(crate) const WHITE: Colour = (255, 255, 255);
}

/// Which side of a text its position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Left,
    Middle,
    Right,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct TextStyle {
    pub(super) size: f64,
    pub(super) colour: Colour,
    pub(super) bold: bool,
    pub(super) anchor: Anchor,
    /// Turned a quarter counter-clockwise, to be read from below.
    pub(super) upwards: bool,
}

impl TextStyle {
    pub(super) fn new(size: f64, colour: Colour, anchor: Anchor) -> Self {
        Self { size, colour, bold: false, anchor, upwards: false }
    }

    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub(super) fn upwards(self) -> Self {
        Self { upwards: true, ..self }
    }
}

/// One shape.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Line {
        points: Vec<(f64, f64)>,
        colour: Colour,
        width: f64,
    },
    Box {
        from: (f64, f64),
        to: (f64, f64),
        colour: Colour,
    },
    Disc {
        centre: (f64, f64),
        radius: f64,
        colour: Colour,
    },
    /// Filled.
    Polygon {
        corners: Vec<(f64, f64)>,
        colour: Colour,
    },
    /// The position is the middle of the lower-case letters' height.
    Text {
        at: (f64, f64),
        text: String,
        style: TextStyle,
    },
}

/// A picture.
#[derive(Clone, Debug)]
pub(super) struct Drawing {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) shapes: Vec<Shape>,
}

impl Drawing {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(super) fn line(&mut self, points: Vec<(f64, f64)>, colour: Colour, width: f64) {
        self.shapes.push(Shape::Line { points, colour, width });
    }

    /// A straight dashed line.
    pub(super) fn dashes(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour, width: f64) {
        const DASH: f64 = 5.0;
        const GAP: f64 = 3.0;
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at = |distance: f64| {
            let part = (distance / length).min(1.0);
            (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1))
        };
        for dash in 0..(length / (DASH + GAP)).ceil() as usize {
            let start = dash as f64 * (DASH + GAP);
            self.line(vec![at(start), at(start + DASH)], colour, width);
        }
    }

    pub(super) fn rectangle(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour) {
        self.shapes.push(Shape::Box { from, to, colour });
    }

    /// The outline of a rectangle, drawn inside its edges.
    pub(super) fn hollow(&mut self, from: (f64, f64), to: (f64, f64), colour: Colour, width: f64) {
        let (left, top, right, bottom) =
            (from.0 + width / 2.0, from.1 + width / 2.0, to.0 - width / 2.0, to.1 - width / 2.0);
        let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        self.line(corners, colour, width);
    }

    pub(super) fn disc(&mut self, centre: (f64, f64), radius: f64, colour: Colour) {
        self.shapes.push(Shape::Disc { centre, radius, colour });
    }

    pub(super) fn polygon(&mut self, corners: Vec<(f64, f64)>, colour: Colour) {
        self.shapes.push(Shape::Polygon { corners, colour });
    }

    pub(super) fn text(&mut self, at: (f64, f64), text: impl Into<String>, style: TextStyle) {
        self.shapes.push(Shape::Text { at, text: text.into(), style });
    }

    /// A tick's label, its exponent raised and smaller.
    pub(super) fn label(&mut self, at: (f64, f64), label: &Label, style: TextStyle, face: &Face) {
        const SMALLER: f64 = 0.76;
        const RAISED: f64 = 0.37;
        let Some(exponent) = &label.exponent else { return self.text(at, &label.base, style) };
        let small = TextStyle { size: style.size * SMALLER, anchor: Anchor::Left, ..style };
        let base = face.width(&label.base, style.size);
        let whole = base + face.width(exponent, small.size);
        let start = match style.anchor {
            Anchor::Left => at.0,
            Anchor::Middle => at.0 - whole / 2.0,
            Anchor::Right => at.0 - whole,
        };
        self.text((start, at.1), &label.base, TextStyle { anchor: Anchor::Left, ..style });
        self.text((start + base, at.1 - RAISED * style.size), exponent, small);
    }
}
