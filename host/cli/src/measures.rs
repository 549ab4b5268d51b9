//! Numbers and texts in the form a person reads: bytes, durations, cut and padded text.
//!
//! Widths are columns of a terminal, not bytes: CJK text takes two columns per character. Control characters of
//! strangers' texts never reach the terminal as they are.

use std::time::Duration;

use lockgate_domain::Timestamp;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `68 KiB`, `1.5 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value >= 99.95 {
        return format!("{value:.0} {unit}");
    }
    format!("{} {unit}", tenths(value))
}

/// `10G`, `250M`, `900`: counts of fuel and the like.
pub(crate) fn count(count: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    for (size, unit) in UNITS {
        if count >= size {
            let tenths = count / (size / 10);
            let (whole, tenth) = (tenths / 10, tenths % 10);
            return if tenth == 0 { format!("{whole}{unit}") } else { format!("{whole}.{tenth}{unit}") };
        }
    }
    count.to_string()
}

/// `850 µs`, `31 ms`, `4.5 s`, `2 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{} ms", tenths(micros as f64 / 1e3)),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        1_000_000..60_000_000 => format!("{} s", tenths(micros as f64 / 1e6)),
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// `3 min ago`, `in 2 days`: a moment as seen from `now`.
pub(crate) fn relative(moment: Timestamp, now: Timestamp) -> String {
    let (earlier, later) = (now.as_millis().min(moment.as_millis()), now.as_millis().max(moment.as_millis()));
    let seconds = (later - earlier) / 1000;
    let (number, unit) = match seconds {
        0 => return "now".into(),
        1..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        172_800..5_184_000 => (seconds / 86_400, "days"),
        _ => return moment.to_string().split('T').next().unwrap_or_default().to_owned(),
    };
    if moment > now { format!("in {number} {unit}") } else { format!("{number} {unit} ago") }
}

/// `2026-11-26 16:15:24 UTC`: a moment in full.
pub(crate) fn moment(moment: Timestamp) -> String {
    let text = moment.to_string();
    let seconds = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{} UTC", seconds.replace('T', " "))
}

/// One digit after the point, if it says anything.
fn tenths(value: f64) -> String {
    let digits = format!("{value:.1}");
    digits.strip_suffix(".0").map(str::to_owned).unwrap_or(digits)
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A stranger's text on one line: line breaks and runs of blanks become one blank, control characters are dropped.
pub(crate) fn one_line(text: &str) -> String {
    let visible: String = text.chars().filter(|c| c.is_whitespace() || !is_unprintable(*c)).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A stranger's text on its own lines, without control characters.
pub(crate) fn printable(text: &str) -> String {
    let tabs = text.replace('\t', "    ").replace("\r\n", "\n");
    tabs.chars().filter(|c| *c == '\n' || !is_unprintable(*c)).collect()
}

/// At most `limit` columns; what is cut shows as `…`.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    if text.width() <= limit {
        return text.to_owned();
    }
    let mut used = 1;
    let mut short = String::new();
    for character in text.chars() {
        used += character.width().unwrap_or(0);
        if used > limit {
            break;
        }
        short.push(character);
    }
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Control characters, and marks that reorder or hide the text around them.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        let check = |given: u64, expected: &str| assert_eq!(bytes(given), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1 KiB");
        check(69_900, "68.3 KiB");
        check(2 << 20, "2 MiB");
        check(268_435_456, "256 MiB");
        check((1 << 20) - 1, "1 MiB");
    }

    #[test]
    fn counts_read_well() {
        let check = |given: u64, expected: &str| assert_eq!(count(given), expected);
        check(999, "999");
        check(1_500, "1.5k");
        check(10_000_000_000, "10G");
        check(u64::MAX, "18446744T");
    }

    #[test]
    fn durations_read_well() {
        let check =
            |micros: u64, expected: &str| assert_eq!(duration(Duration::from_micros(micros)), expected);
        check(850, "850 µs");
        check(1_500, "1.5 ms");
        check(31_000, "31 ms");
        check(4_500_000, "4.5 s");
        check(30_000_000, "30 s");
        check(125_000_000, "2 min 5 s");
    }

    #[test]
    fn moments_read_well() {
        let now: Timestamp = "2026-11-26T16:15:24.5Z".parse().unwrap();
        let check = |given: &str, expected: &str| {
            assert_eq!(relative(given.parse().unwrap(), now), expected, "{given}");
        };
        check("2026-11-26T16:15:24Z", "now");
        check("2026-11-26T16:14:24Z", "60 s ago");
        check("2026-11-26T16:05:00Z", "10 min ago");
        check("2026-11-26T10:00:00Z", "6 h ago");
        check("2026-11-20T10:00:00Z", "6 days ago");
        check("2026-11-29T16:15:25Z", "in 3 days");
        check("2026-01-02T10:00:00Z", "2026-01-02");
        assert_eq!(moment(now), "2026-11-26 16:15:24 UTC");
    }

    #[test]
    fn texts_are_tamed_and_cut() {
        let check = |given: &str, limit: usize, expected: &str| {
            assert_eq!(shorten(&one_line(given), limit), expected, "{given:?}");
        };
        check("short", 10, "short");
        check("two\n  lines\tand more", 40, "two lines and more");
        check("exactly ten", 10, "exactly t…");
        check("end of word cut", 8, "end of…");
        check("日本語テキスト", 8, "日本語…");
        check("\u{1b}[31mred\u{7}", 20, "[31mred");
        check("a\u{202e}b", 20, "ab");
    }
}
