//! What stands above the panels of a sweep, and how much room it takes.

use super::super::drawing::{Anchor, Drawing, TextStyle, colour};
use super::super::font::Face;
use super::super::panel::size;
use super::mark::{Entry, legend, legend_height};

pub(super) const MARGIN: f64 = 22.0;
/// Distance of lines of facts.
const LINE: f64 = 18.0;
/// The title's middle, and that of the first line of facts.
const TITLE: f64 = 26.0;
const FACTS: f64 = 49.0;

/// What the figure is of.
pub(super) struct Title {
    pub(super) text: String,
    pub(super) facts: Vec<String>,
}

/// Title, facts and legend, broken into lines of a width.
pub(super) struct Header<'a> {
    title: &'a Title,
    lines: Vec<String>,
    entries: Vec<Entry>,
    width: f64,
}

impl<'a> Header<'a> {
    pub(super) fn new(title: &'a Title, entries: Vec<Entry>, width: f64, face: &Face) -> Self {
        Self { title, lines: broken(&title.facts, "  ·  ", width, size::TEXT, face), entries, width }
    }

    /// Where the panels may begin.
    pub(super) fn bottom(&self, face: &Face) -> f64 {
        FACTS + LINE * self.lines.len() as f64 + legend_height(&self.entries, self.width, face) + 6.0
    }

    pub(super) fn draw(&self, drawing: &mut Drawing, face: &Face) {
        let style = TextStyle::new(size::TITLE, colour::INK, Anchor::Left).bold();
        drawing.text((MARGIN, TITLE), self.title.text.as_str(), style);
        let style = TextStyle::new(size::TEXT, colour::MUTED, Anchor::Left);
        for (index, line) in self.lines.iter().enumerate() {
            drawing.text((MARGIN, FACTS + LINE * index as f64), line.as_str(), style);
        }
        let first = FACTS + LINE * self.lines.len() as f64 + 3.0;
        legend(drawing, (MARGIN, first), &self.entries, self.width, face);
    }
}

/// Parts put together in lines no wider than asked; a single part may be.
pub(super) fn broken(parts: &[String], between: &str, width: f64, size: f64, face: &Face) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if face.width(&format!("{line}{between}{part}"), size) <= width => {
                line.push_str(between);
                line.push_str(part);
            }
            _ => lines.push(part.clone()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_parts_alone() {
        let face = Face::new(false).unwrap();
        let parts = ["one part", "another part", "a part that is longer than any line may be"].map(String::from);
        let lines = broken(&parts, " · ", 150.0, 11.5, &face);
        assert_eq!(lines, ["one part · another part", "a part that is longer than any line may be"]);
        assert!(broken(&[], " · ", 150.0, 11.5, &face).is_empty());
    }
}
