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
fn significant(value: f64, digits: i32) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    let decimals = (digits - 1 - magnitude).max(0) as usize;
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
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(small(3.61e-6), "3.6e-6");
        assert_eq!(small(0.0123), "0.0123");
        assert_eq!(bits(-12.34), "-12.3");
    }
}
