//! How combinations and outcomes are told apart: by colour, shape and dashes at once, and outcomes by letters.

use super::super::drawing::{Anchor, Colour, Drawing, TextStyle, colour};
use super::super::font::Face;
use super::super::panel::size;

/// Seven colours of Okabe and Ito's palette; its yellow is too light for lines on white.
const COLOURS: [Colour; 7] =
    [colour::BLUE, colour::ORANGE, colour::GREEN, colour::PURPLE, colour::INK, colour::SKY, colour::AMBER];

/// Half the size of a marker.
const REACH: f64 = 3.9;
/// Side of the box around an outcome's letter.
pub(super) const LETTER_BOX: f64 = 13.0;

/// The look of one combination: colours repeat after seven, shapes after four, so that 28 pairs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) colour: Colour,
    shape: usize,
    dashed: bool,
}

impl Look {
    pub(super) fn of(index: usize) -> Self {
        Self { colour: COLOURS[index % COLOURS.len()], shape: index % 4, dashed: (index / COLOURS.len()) % 2 == 1 }
    }

    pub(super) fn line(&self, drawing: &mut Drawing, from: (f64, f64), to: (f64, f64)) {
        match self.dashed {
            true => drawing.dashes(from, to, self.colour, 1.6),
            false => drawing.line(vec![from, to], self.colour, 1.8),
        }
    }

    pub(super) fn marker(&self, drawing: &mut Drawing, (x, y): (f64, f64)) {
        match self.shape {
            0 => drawing.disc((x, y), REACH, self.colour),
            1 => drawing.rectangle((x - 3.5, y - 3.5), (x + 3.5, y + 3.5), self.colour),
            2 => {
                let corners = [(x, y - 4.8), (x + 4.6, y + 3.4), (x - 4.6, y + 3.4)];
                drawing.polygon(corners.to_vec(), self.colour);
            }
            _ => {
                let corners = [(x, y - 5.0), (x + 5.0, y), (x, y + 5.0), (x - 5.0, y)];
                drawing.polygon(corners.to_vec(), self.colour);
            }
        }
    }

    /// From the least to the greatest of repetitions.
    pub(super) fn span(&self, drawing: &mut Drawing, from: (f64, f64), to: (f64, f64)) {
        if from != to {
            drawing.line(vec![from, to], self.colour, 1.1);
        }
    }

    /// A letter in a box: a cell without a result.
    pub(super) fn without(&self, drawing: &mut Drawing, (x, y): (f64, f64), word: &str) {
        let half = LETTER_BOX / 2.0;
        drawing.rectangle((x - half, y - half), (x + half, y + half), colour::WHITE);
        drawing.hollow((x - half, y - half), (x + half, y + half), self.colour, 1.2);
        let style = TextStyle::new(size::TICK - 1.0, self.colour, Anchor::Middle).bold();
        drawing.text((x, y), letter(word), style);
    }
}

/// The letter of an outcome; those that begin alike have others.
fn letter(word: &str) -> String {
    match word {
        "out-of-memory" => "M".into(),
        "not finite" => "N".into(),
        word => word.chars().next().unwrap_or('?').to_uppercase().collect(),
    }
}

/// One entry of a legend.
pub(super) enum Entry {
    /// A combination, as a line with markers or as a marker alone.
    Combination { look: Look, joined: bool, text: String },
    /// An outcome without a result and how many cells had it.
    Without { word: String, cells: usize },
    /// What a dashed line means.
    Line(String),
}

impl Entry {
    fn text(&self) -> String {
        match self {
            Self::Combination { text, .. } | Self::Line(text) => text.clone(),
            Self::Without { word, cells: 1 } => format!("{word}: 1 cell"),
            Self::Without { word, cells } => format!("{word}: {cells} cells"),
        }
    }

    fn symbol_width(&self) -> f64 {
        match self {
            Self::Combination { joined: false, .. } => 10.0,
            Self::Combination { .. } | Self::Line(_) => 26.0,
            Self::Without { .. } => LETTER_BOX,
        }
    }

    fn width(&self, face: &Face) -> f64 {
        self.symbol_width() + 6.0 + face.width(&self.text(), size::TEXT) + 20.0
    }

    fn draw(&self, drawing: &mut Drawing, (x, y): (f64, f64)) {
        let (width, middle) = (self.symbol_width(), x + self.symbol_width() / 2.0);
        match self {
            Self::Combination { look, joined, .. } => {
                if *joined {
                    look.line(drawing, (x, y), (x + width, y));
                }
                look.marker(drawing, (middle, y));
            }
            Self::Without { word, .. } => neutral().without(drawing, (middle, y), word),
            Self::Line(_) => drawing.dashes((x, y), (x + width, y), colour::INK, 1.3),
        }
        let style = TextStyle::new(size::TEXT, colour::INK, Anchor::Left);
        drawing.text((x + width + 6.0, y), self.text(), style);
    }
}

/// The look of what belongs to no combination.
fn neutral() -> Look {
    Look { colour: colour::INK, shape: 0, dashed: false }
}

/// Distance of a legend's rows.
const ROW: f64 = 19.0;

/// Where each entry stands: rows are filled up to the width.
fn places(entries: &[Entry], width: f64, face: &Face) -> Vec<(f64, usize)> {
    let (mut x, mut row) = (0.0, 0);
    let mut place = |entry: &Entry| {
        let taken = entry.width(face);
        if x > 0.0 && x + taken > width {
            (x, row) = (0.0, row + 1);
        }
        let place = (x, row);
        x += taken;
        place
    };
    entries.iter().map(&mut place).collect()
}

/// How high a legend will be.
pub(super) fn legend_height(entries: &[Entry], width: f64, face: &Face) -> f64 {
    places(entries, width, face).last().map_or(0.0, |(_, row)| (row + 1) as f64 * ROW)
}

/// Draws a legend whose first row has its middle at this height.
pub(super) fn legend(drawing: &mut Drawing, (left, top): (f64, f64), entries: &[Entry], width: f64, face: &Face) {
    for (entry, (x, row)) in entries.iter().zip(places(entries, width, face)) {
        entry.draw(drawing, (left + x, top + row as f64 * ROW));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_look_different() {
        let looks: Vec<Look> = (0..28).map(Look::of).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "combination {index} looks like an earlier one");
        }
    }

    #[test]
    fn outcomes_have_letters_of_their_own() {
        let words = ["failed", "out-of-memory", "timeout", "skipped", "refused", "invalid", "not finite"];
        let mut letters: Vec<String> = words.iter().map(|word| letter(word)).collect();
        letters.sort();
        letters.dedup();
        assert_eq!(letters.len(), words.len());
    }

    #[test]
    fn a_legend_fills_rows_and_overflows_none() {
        let face = Face::new(false).unwrap();
        let entries: Vec<Entry> = (0..9).map(|index| Entry::Line(format!("entry number {index}"))).collect();
        let wide = places(&entries, 400.0, &face);
        assert!(wide.iter().zip(&entries).all(|((x, _), entry)| x + entry.width(&face) <= 400.0));
        assert!(wide.last().unwrap().1 > 1 && wide.last().unwrap().1 < 8);
    }
}
