//! Durations in the form of Centrifugo's configuration: `30s`, `1h30m`, `500ms`, `1.5h`.

/// Units in nanoseconds; a longer name stands before its own prefix.
const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
const NANOS_OF_MS: u64 = 1_000_000;

/// Parses a duration to milliseconds; `None` if it is invalid, negative, or not a whole number of milliseconds.
pub(super) fn parse(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos: u64 = 0;
    loop {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, of_unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(scaled(number, *of_unit)?)?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    nanos.is_multiple_of(NANOS_OF_MS).then_some(nanos / NANOS_OF_MS)
}

/// Multiplies a decimal number by `unit`, without rounding through a float.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut of_digit = unit;
    for digit in fraction.bytes() {
        // Digits beyond a nanosecond are dropped.
        of_digit /= 10;
        nanos = nanos.checked_add(u64::from(digit - b'0') * of_digit)?;
    }
    Some(nanos)
}

/// Formats a duration; the inverse of [`parse`].
pub(super) fn text(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let parts = [(ms / 3_600_000, "h"), (ms / 60_000 % 60, "m"), (ms / 1000 % 60, "s"), (ms % 1000, "ms")];
    parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_in_go() {
        for (text, ms) in [
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("1000ms", Some(1000)),
            ("720h", Some(2_592_000_000)),
            ("1.5h", Some(5_400_000)),
            (".5s", Some(500)),
            ("1.s", Some(1000)),
            ("+3s", Some(3000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1m0.25s", Some(60_250)),
            ("2000us", Some(2)),
            ("2000µs", Some(2)),
            ("3000000ns", Some(3)),
            ("1us", None),
            ("30", None),
            ("-1s", None),
            ("", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("30 s", None),
            ("30S", None),
            ("1h30", None),
            ("99999999999h", None),
        ] {
            assert_eq!(parse(text), ms, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        for ms in [0, 1, 999, 1000, 1500, 59_999, 60_000, 3_600_000, 90_061_001, 2_592_000_000] {
            assert_eq!(parse(&text(ms)), Some(ms), "{}", text(ms));
        }
        assert_eq!((text(5_400_000), text(25_000)), ("1h30m".to_owned(), "25s".to_owned()));
    }
}
