//! The one typeface of all figures, carried in the binary so that a picture does not depend on the machine.
//!
//! IBM Plex Sans, SIL Open Font Licence 1.1 (`experiments/fonts/OFL.txt`).

use ab_glyph::{Font, FontRef, Glyph, ScaleFont, VariableFont, point};

const FILE: &[u8] = include_bytes!("../../fonts/IBMPlexSans.ttf");

/// The name that an SVG asks for, with what may stand in for it.
pub(super) const FAMILY: &str = "IBM Plex Sans, Helvetica, Arial, sans-serif";

/// The typeface in one weight.
pub(super) struct Face {
    font: FontRef<'static>,
}

impl Face {
    /// Regular or bold.
    pub(super) fn new(bold: bool) -> Result<Self, String> {
        let mut font = FontRef::try_from_slice(FILE).map_err(|error| error.to_string())?;
        font.set_variation(b"wght", if bold { 700.0 } else { 400.0 });
        Ok(Self { font })
    }

    /// Width of a text at a size in points per em, kerning included.
    pub(super) fn width(&self, text: &str, size: f64) -> f64 {
        self.layout(text, size).1
    }

    /// Half the height of a lower-case letter: how far the baseline lies under the middle of a line.
    pub(super) fn baseline_drop(&self, size: f64) -> f64 {
        let glyph = self.font.glyph_id('x').with_scale(self.scale(size));
        self.font.outline_glyph(glyph).map_or(size / 4.0, |outline| f64::from(-outline.px_bounds().min.y) / 2.0)
    }

    /// The glyphs of a text on a baseline that starts at the origin, and its width.
    fn layout(&self, text: &str, size: f64) -> (Vec<Glyph>, f64) {
        let scaled = self.font.as_scaled(self.scale(size));
        let mut x = 0.0;
        let mut previous = None;
        let mut glyphs = Vec::new();
        for character in text.chars() {
            let id = self.font.glyph_id(character);
            x += previous.map_or(0.0, |previous| scaled.kern(previous, id));
            glyphs.push(id.with_scale_and_position(self.scale(size), point(x, 0.0)));
            x += scaled.h_advance(id);
            previous = Some(id);
        }
        (glyphs, f64::from(x))
    }

    /// Hands out the coverage of every pixel that a text touches, relative to the start of its baseline.
    pub(super) fn rasterise(&self, text: &str, size: f64, mut pixel: impl FnMut(i32, i32, f32)) {
        for glyph in self.layout(text, size).0 {
            if let Some(outline) = self.font.outline_glyph(glyph) {
                let (left, top) = (outline.px_bounds().min.x as i32, outline.px_bounds().min.y as i32);
                outline.draw(|x, y, coverage| pixel(left + x as i32, top + y as i32, coverage));
            }
        }
    }

    /// The library's scale is the line height; sizes here are points per em.
    fn scale(&self, size: f64) -> f32 {
        let units = self.font.units_per_em().unwrap_or(1000.0);
        size as f32 * self.font.height_unscaled() / units
    }

    #[cfg(test)]
    fn has(&self, character: char) -> bool {
        self.font.glyph_id(character).0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_character_of_the_figures_is_in_the_face() {
        let face = Face::new(false).unwrap();
        for character in "µ·≤−×…".chars() {
            assert!(face.has(character), "{character} is missing");
        }
    }

    #[test]
    fn bold_is_wider() {
        let (regular, bold) = (Face::new(false).unwrap(), Face::new(true).unwrap());
        assert!(bold.width("bootstrapping", 12.0) > regular.width("bootstrapping", 12.0));
    }
}
