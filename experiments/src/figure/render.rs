//! From shapes to files, through plotters' back ends.
//!
//! SVG keeps text as text. The PNG is drawn three times larger than it is stored and averaged down, and its letters are
//! set from the embedded face with fractional positions, which plotters' own bitmap text lacks.

use super::drawing::{Anchor, Colour, Drawing, Shape, TextStyle, colour};
use super::font::{FAMILY, Face};
use plotters::prelude::{BitMapBackend, RGBColor, SVGBackend, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontFamily, FontStyle, FontTransform, IntoTextStyle};
use plotters_backend::{BackendColor, DrawingBackend};

/// SVG user units per point; plotters places shapes on whole units.
const SVG_UNITS: f64 = 4.0;
/// PNG pixels per point.
const PIXELS: usize = 2;
/// Samples per PNG pixel and direction.
const SAMPLES: usize = 3;
/// Pixels per metre at 2 pixels per point.
const PIXELS_PER_METRE: u32 = (72.0 * PIXELS as f64 / 0.0254) as u32;
/// plotters' font size in terms of points per em.
const PLOTTERS_SIZE: f64 = 1.24;

/// The drawing as an SVG document, sized in points.
pub(super) fn svg(drawing: &Drawing) -> Result<String, String> {
    let mut text = String::new();
    let (width, height) = ((drawing.width * SVG_UNITS) as u32, (drawing.height * SVG_UNITS) as u32);
    {
        let mut backend = SVGBackend::with_string(&mut text, (width, height));
        draw_shapes(&mut backend, drawing, SVG_UNITS, svg_text)?;
        backend.present().map_err(|error| error.to_string())?;
    }
    let units = format!("width=\"{width}\" height=\"{height}\"");
    let points = format!("width=\"{}pt\" height=\"{}pt\"", drawing.width, drawing.height);
    Ok(text.replacen(&units, &points, 1))
}

fn svg_text<DB: DrawingBackend>(backend: &mut DB, at: (f64, f64), text: &str, style: &TextStyle) -> Result<(), String> {
    let horizontal = match style.anchor {
        Anchor::Left => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::Right => HPos::Right,
    };
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let transform = if style.upwards { FontTransform::Rotate270 } else { FontTransform::None };
    let font = (FontFamily::Name(FAMILY), style.size * SVG_UNITS * PLOTTERS_SIZE, weight);
    let ink = rgb(style.colour);
    let set = font.into_text_style(&(1, 1)).color(&ink).pos(Pos::new(horizontal, VPos::Center));
    backend.draw_text(text, &set.transform(transform), units(at, SVG_UNITS)).map_err(|error| error.to_string())
}

/// The drawing as a PNG file.
pub(super) fn png(drawing: &Drawing) -> Result<Vec<u8>, String> {
    let (width, height) = (drawing.width as usize * PIXELS, drawing.height as usize * PIXELS);
    let (fine_width, fine_height) = (width * SAMPLES, height * SAMPLES);
    let mut fine = vec![255u8; fine_width * fine_height * 3];
    {
        let mut backend = BitMapBackend::with_buffer(&mut fine, (fine_width as u32, fine_height as u32));
        let (regular, bold) = (Face::new(false)?, Face::new(true)?);
        let scale = (PIXELS * SAMPLES) as f64;
        draw_shapes(&mut backend, drawing, scale, |backend: &mut BitMapBackend<'_>, at, text, style| {
            bitmap_text(
                backend,
                (at.0 * scale, at.1 * scale),
                text,
                style,
                scale,
                if style.bold { &bold } else { &regular },
            )
        })?;
        backend.present().map_err(|error| error.to_string())?;
    }
    encode(&averaged(&fine, width, height), width, height)
}

fn bitmap_text(
    backend: &mut BitMapBackend<'_>,
    at: (f64, f64),
    text: &str,
    style: &TextStyle,
    scale: f64,
    face: &Face,
) -> Result<(), String> {
    let size = style.size * scale;
    let width = face.width(text, size);
    let start = match style.anchor {
        Anchor::Left => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::Right => -width,
    };
    let drop = face.baseline_drop(size);
    let mut failure = None;
    face.rasterise(text, size, |x, y, coverage| {
        let (along, across) = (start + f64::from(x), drop + f64::from(y));
        let (x, y) = if style.upwards { (at.0 + across, at.1 - along) } else { (at.0 + along, at.1 + across) };
        let ink = BackendColor { alpha: f64::from(coverage.min(1.0)), rgb: style.colour };
        if let Err(error) = backend.draw_pixel((x.round() as i32, y.round() as i32), ink) {
            failure = Some(error.to_string());
        }
    });
    failure.map_or(Ok(()), Err)
}

/// Everything but the text is the same for both back ends.
fn draw_shapes<DB: DrawingBackend>(
    backend: &mut DB,
    drawing: &Drawing,
    scale: f64,
    draw_text: impl Fn(&mut DB, (f64, f64), &str, &TextStyle) -> Result<(), String>,
) -> Result<(), String> {
    let failed = |error: plotters_backend::DrawingErrorKind<DB::ErrorType>| error.to_string();
    backend.ensure_prepared().map_err(failed)?;
    let corner = units((drawing.width, drawing.height), scale);
    backend.draw_rect((0, 0), corner, &rgb(colour::WHITE), true).map_err(failed)?;
    for shape in &drawing.shapes {
        match shape {
            Shape::Line { points, colour, width } => {
                let stroke = ShapeStyle::from(&rgb(*colour)).stroke_width((width * scale).round() as u32);
                let path: Vec<_> = points.iter().map(|point| units(*point, scale)).collect();
                backend.draw_path(path, &stroke).map_err(failed)?;
            }
            Shape::Box { from, to, colour } => {
                backend.draw_rect(units(*from, scale), units(*to, scale), &rgb(*colour), true).map_err(failed)?;
            }
            Shape::Disc { centre, radius, colour } => {
                let radius = (radius * scale).round() as u32;
                backend.draw_circle(units(*centre, scale), radius, &rgb(*colour), true).map_err(failed)?;
            }
            Shape::Polygon { corners, colour } => {
                let path: Vec<_> = corners.iter().map(|corner| units(*corner, scale)).collect();
                backend.fill_polygon(path, &rgb(*colour)).map_err(failed)?;
            }
            Shape::Text { at, text, style } => draw_text(backend, *at, text, style)?,
        }
    }
    Ok(())
}

fn rgb(colour: Colour) -> RGBColor {
    RGBColor(colour.0, colour.1, colour.2)
}

fn units(point: (f64, f64), scale: f64) -> (i32, i32) {
    ((point.0 * scale).round() as i32, (point.1 * scale).round() as i32)
}

/// Each pixel is the mean of its samples.
fn averaged(fine: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut image = vec![0u8; width * height * 3];
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let mut sum = 0usize;
                for sample in 0..SAMPLES * SAMPLES {
                    let (row, column) = (y * SAMPLES + sample / SAMPLES, x * SAMPLES + sample % SAMPLES);
                    sum += usize::from(fine[(row * width * SAMPLES + column) * 3 + channel]);
                }
                image[(y * width + x) * 3 + channel] = (sum / (SAMPLES * SAMPLES)) as u8;
            }
        }
    }
    image
}

fn encode(image: &[u8], width: usize, height: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Best);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: PIXELS_PER_METRE,
        yppu: PIXELS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    let failed = |error: png::EncodingError| error.to_string();
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(image).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
