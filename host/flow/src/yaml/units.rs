//! Sizes, times and counts as people write them: `256MiB`, `30s`, `10G`, or plain numbers.

use super::tree::Value;

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Plain: items, calls, fuel. `k`, `M`, `G` and `T` are powers of a thousand.
    Count,
    /// Bytes. `KiB` is 1024, `KB` is 1000.
    Bytes,
    /// Milliseconds.
    Time,
}

impl Unit {
    /// As messages say it, after "must be".
    pub(super) fn expected(self) -> &'static str {
        match self {
            Unit::Count => "a whole number",
            Unit::Bytes => "a size such as `256MiB`, or a number of bytes,",
            Unit::Time => "a time such as `30s`, or a number of milliseconds,",
        }
    }

    /// A value in the unit's base.
    pub(super) fn shown(self, value: u64) -> String {
        let in_steps = |steps: &[(u64, &str)]| {
            let step = steps.iter().find(|(step, _)| value >= *step && value.is_multiple_of(*step));
            step.map_or_else(|| value.to_string(), |(step, name)| format!("{}{name}", value / step))
        };
        match self {
            Unit::Count => value.to_string(),
            Unit::Bytes => in_steps(&[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]),
            Unit::Time => in_steps(&[(3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")]),
        }
    }

    fn factor(self, suffix: &str) -> Option<u64> {
        let suffix = suffix.to_ascii_lowercase();
        Some(match (self, suffix.as_str()) {
            (_, "") => 1,
            (Unit::Count, "k") | (Unit::Bytes, "kb") => 1000,
            (Unit::Count, "m") | (Unit::Bytes, "mb") => 1_000_000,
            (Unit::Count, "g") | (Unit::Bytes, "gb") => 1_000_000_000,
            (Unit::Count, "t") | (Unit::Bytes, "tb") => 1_000_000_000_000,
            (Unit::Bytes, "b") | (Unit::Time, "ms") => 1,
            (Unit::Bytes, "kib" | "ki") => 1 << 10,
            (Unit::Bytes, "mib" | "mi") => 1 << 20,
            (Unit::Bytes, "gib" | "gi") => 1 << 30,
            (Unit::Bytes, "tib" | "ti") => 1 << 40,
            (Unit::Time, "s") => 1000,
            (Unit::Time, "m" | "min") => 60_000,
            (Unit::Time, "h") => 3_600_000,
            _ => return None,
        })
    }
}

/// The value in the unit's base; none if it is not one.
pub(super) fn parse(value: &Value, unit: Unit) -> Option<u64> {
    match value {
        Value::Integer(value) => u64::try_from(*value).ok(),
        Value::Number(value) => whole(*value),
        Value::Text(text) => parse_text(text.trim(), unit),
        Value::Null | Value::Switch(_) | Value::List(_) | Value::Map(_) => None,
    }
}

/// A text such as `256MiB` in the unit's base; none if it is not one.
pub fn parse_text(text: &str, unit: Unit) -> Option<u64> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (digits, suffix) = text.split_at_checked(end)?;
    let digits = digits.replace('_', "");
    let factor = unit.factor(suffix.trim_start())?;
    if digits.contains('.') {
        return whole(digits.parse::<f64>().ok()? * factor as f64);
    }
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// A float that stands for a whole number, exactly.
fn whole(value: f64) -> Option<u64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = value.is_finite() && (0.0..=1e18).contains(&value) && value.fract() == 0.0;
    // Above 2^53 a float says only roughly what was meant, which is good enough for `1e18`.
    (is_whole && (value <= EXACT || value % 1000.0 == 0.0)).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_units() {
        let check = |text: &str, unit: Unit, expected: Option<u64>| {
            assert_eq!(parse(&Value::Text(text.to_owned()), unit), expected, "{text}");
        };
        check("256MiB", Unit::Bytes, Some(256 << 20));
        check("256 MiB", Unit::Bytes, Some(256 << 20));
        check("1.5GiB", Unit::Bytes, Some(3 << 29));
        check("2KB", Unit::Bytes, Some(2000));
        check("64Mi", Unit::Bytes, Some(64 << 20));
        check("100", Unit::Bytes, Some(100));
        check("100", Unit::Time, Some(100));
        check("30s", Unit::Time, Some(30_000));
        check("1.5s", Unit::Time, Some(1500));
        check("2m", Unit::Time, Some(120_000));
        check("10G", Unit::Count, Some(10_000_000_000));
        check("1_000", Unit::Count, Some(1000));
        for bad in ["", "s", "-1s", "1d", "1.s.2", "99999999999999999999", "20000000TiB", "0.3ms", "1e3x"] {
            check(bad, Unit::Time, None);
        }
        check("30s", Unit::Bytes, None);
        assert_eq!(parse(&Value::Number(1e10), Unit::Count), Some(10_000_000_000));
        assert_eq!(parse(&Value::Number(1.5), Unit::Count), None);
        assert_eq!(parse(&Value::Integer(-1), Unit::Count), None);
        assert_eq!((Unit::Time.shown(90_000), Unit::Bytes.shown(4 << 30)), ("90s".into(), "4GiB".into()));
    }
}
