//! What a shown number is worth, so that a column of `42.1 ms`, `12.3 s` and `6 min 04 s` sorts by duration.

/// Units as tables show them, in seconds, bytes or ones. The longest that fits a word is meant.
const UNITS: [(&str, f64); 20] = [
    ("µs", 1e-6),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("B", 1.0),
    ("KiB", 1024.0),
    ("MiB", 1048576.0),
    ("GiB", 1073741824.0),
    ("TiB", 1099511627776.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("GB/s", 1e9),
];

/// The number that a text starts with, times its unit; `None` if it starts with none. Of `a of b` it is the share, of a
/// duration in two units their sum; what follows (a limit, a spread) does not count.
pub(super) fn quantity(text: &str) -> Option<f64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (first, rest) = words.split_first()?;
    let value = number(first)?;
    match rest {
        ["of", whole, ..] => Some(value / number(whole)?),
        [unit, next, smaller, ..] if ["h", "min"].contains(unit) => match (number(next), scale(smaller)) {
            (Some(more), Some(smaller)) => Some(value * scale(unit)? + more * smaller),
            _ => Some(value * scale(unit)?),
        },
        [unit, ..] => Some(value * scale(unit).unwrap_or(1.0)),
        [] => Some(value),
    }
}

/// A number as tables write it: `1,234`, `-12.3`, `6.2e-4`, `2^-129`. A date is none.
fn number(word: &str) -> Option<f64> {
    if word == "exact" {
        // An error of zero, in bits.
        return Some(f64::NEG_INFINITY);
    }
    if let Some(exponent) = word.strip_prefix("2^") {
        return Some(exponent.parse::<f64>().ok()?.exp2());
    }
    let digits = word.trim_end_matches([',', ';', ':']).replace(',', "");
    let starts = |character: char| character.is_ascii_digit() || character == '-' || character == '.';
    digits.parse().ok().filter(|_| digits.starts_with(starts))
}

fn scale(unit: &str) -> Option<f64> {
    UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format;

    /// Every way in which tables write a number is read back, to the digits that were written.
    #[test]
    fn what_tables_write_is_read_back() {
        let close = |text: String, value: f64| {
            let read = quantity(&text).unwrap_or_else(|| panic!("{text} is no number"));
            assert!((read - value).abs() <= 0.01 * value.abs(), "{text} was read as {read}");
        };
        for seconds in [2e-5, 0.0421, 0.42, 12.3, 364.0, 8000.0] {
            close(format::seconds(seconds), seconds);
        }
        for bytes in [812, 3 << 10, 384 << 20, 9 << 30, 2 << 40] {
            close(format::bytes(bytes), bytes as f64);
        }
        for count in [12, 1_234, 44_941_836_288] {
            close(format::count(count), count as f64);
            close(format::scaled(count, " MACs"), count as f64);
            close(format::scaled(count, "B"), count as f64);
        }
        for small in [0.0, 3.6e-6, 0.0123, 1.5e7] {
            close(format::small(small), small);
        }
    }

    #[test]
    fn what_follows_a_number_does_not_count() {
        assert_eq!(quantity("4.8e-6 (must ≤ 0.00005)"), Some(4.8e-6));
        assert_eq!(quantity("131 (128 to 156)"), Some(131.0));
        assert_eq!(quantity("127 of 254 (50.0 %)"), Some(0.5));
        assert_eq!(quantity("14 x 42 bits"), Some(14.0));
        assert_eq!(quantity("2^-3"), Some(0.125));
        assert_eq!(quantity(&format::bits(f64::NEG_INFINITY)), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn words_and_dates_are_no_numbers() {
        for text in ["", "-", "ok", "not finite", "nan", "inf", "2026-11-26T09:07:21Z", "n16-llama"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
