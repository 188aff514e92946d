//! Numbers for people: as many digits as mean something, with their unit.

/// A duration: `0.42 s`, `12.3 s`, `6 min 04 s`, `2 h 05 min`.
pub fn seconds(value: f64) -> String {
    match value {
        value if !value.is_finite() => "not finite".into(),
        value if value < 0.0005 => format!("{:.0} µs", value * 1e6),
        value if value < 0.1 => format!("{} ms", significant(value * 1e3, 3)),
        value if value < 120.0 => format!("{} s", significant(value, 3)),
        value if value < 7200.0 => {
            let whole = value.round() as u64;
            format!("{} min {:02} s", whole / 60, whole % 60)
        }
        value => {
            let minutes = (value / 60.0).round() as u64;
            format!("{} h {:02} min", minutes / 60, minutes % 60)
        }
    }
}

/// A size in binary units: `812 B`, `3.21 GiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (0..UNITS.len() - 1).find(|step| value >> (10 * (step + 1)) == 0).unwrap_or(UNITS.len() - 1);
    match step {
        0 => format!("{value} B"),
        step => format!("{} {}", significant(value as f64 / f64::from(1u32 << 10).powi(step as i32), 3), UNITS[step]),
    }
}

/// A large number in decimal steps of a unit: `812 MACs`, `44.9 G MACs` (unit ` MACs`), `170 GB` (unit `B`).
pub fn scaled(value: u64, unit: &str) -> String {
    const STEPS: [&str; 5] = ["", "k", "M", "G", "T"];
    let fits = |step: &usize| (value as f64) < 999.5 * 1e3f64.powi(*step as i32);
    let step = (0..STEPS.len() - 1).find(fits).unwrap_or(STEPS.len() - 1);
    let number = if step == 0 { value.to_string() } else { significant(value as f64 / 1e3f64.powi(step as i32), 3) };
    format!("{number} {}", format!("{}{unit}", STEPS[step]).trim_start()).trim_end().into()
}

/// An integer with thousands separated: `1,234,567`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A small number: `3.6e-6`, `0.0123`, `0`.
pub fn small(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if !value.is_finite() => "not finite".into(),
        value if value.abs() < 1e-3 || value.abs() >= 1e5 => format!("{value:.1e}"),
        value => significant(value, 3),
    }
}

/// An error in bits: `-12.3`.
pub fn bits(value: f64) -> String {
    match value {
        value if value == f64::NEG_INFINITY => "exact".into(),
        value if !value.is_finite() => "not finite".into(),
        value => format!("{value:.1}"),
    }
}

/// A value rounded to a number of significant digits, without an exponent.
pub fn significant(value: f64, digits: usize) -> String {
    // The exponent is that of the rounded value: 999.7 to three digits is 1000, not 999.
    let rounded = format!("{value:.precision$e}", precision = digits - 1);
    let exponent: i32 = rounded.rsplit('e').next().and_then(|exponent| exponent.parse().ok()).unwrap_or_default();
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_sensibly() {
        assert_eq!(seconds(0.000_02), "20 µs");
        assert_eq!(seconds(0.0421), "42.1 ms");
        assert_eq!(seconds(12.345), "12.3 s");
        assert_eq!(seconds(364.2), "6 min 04 s");
        assert_eq!(seconds(7500.0), "2 h 05 min");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(3 << 30), "3.00 GiB");
        assert_eq!(scaled(812, " MACs"), "812 MACs");
        assert_eq!(scaled(44_941_836_288, " MACs"), "44.9 G MACs");
        assert_eq!(scaled(999_700, "B"), "1.00 MB");
        assert_eq!(scaled(104_538_832_896, ""), "105 G");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(small(3.61e-6), "3.6e-6");
        assert_eq!(small(0.0123), "0.0123");
        assert_eq!((small(0.99999), small(9.999)), ("1.00".into(), "10.0".into()));
        assert_eq!(bits(-12.34), "-12.3");
    }
}
