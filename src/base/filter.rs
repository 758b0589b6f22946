//! Conditions on names and values: a tree of comparisons, evaluated against a list of pairs.
//!
//! An evaluation never allocates, and visits each node of the tree at most once. Left out: the syntax of a tree and
//! its maximum size, which its parser decides.

use std::cmp::Ordering;

use super::heap;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All conditions hold.
    And(Vec<Self>),
    /// One of the conditions holds.
    Or(Vec<Self>),
    /// The condition does not hold.
    Not(Box<Self>),
    /// A comparison of a tag.
    Compare {
        /// Name of the tag.
        key: Box<str>,
        /// The comparison.
        test: Test,
    },
}

/// A comparison of a tag's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `eq`.
    Equal(Box<str>),
    /// `neq`.
    NotEqual(Box<str>),
    /// `in`.
    In(Box<[Box<str>]>),
    /// `nin`.
    NotIn(Box<[Box<str>]>),
    /// `ex`.
    Exists,
    /// `nex`.
    NotExists,
    /// `sw`.
    StartsWith(Box<str>),
    /// `ew`.
    EndsWith(Box<str>),
    /// `ct`.
    Contains(Box<str>),
    /// `lt`, as numbers.
    Less(Box<str>),
    /// `lte`, as numbers.
    LessOrEqual(Box<str>),
    /// `gt`, as numbers.
    Greater(Box<str>),
    /// `gte`, as numbers.
    GreaterOrEqual(Box<str>),
}

impl Filter {
    /// Whether a publication with these tags passes. A missing tag differs from every value, equals the empty text in
    /// a list, and fails all other comparisons; a numeric comparison fails when one of its sides is not a number.
    pub fn matches(&self, tags: &[(Box<str>, Box<str>)]) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(tags)),
            Self::Not(node) => !node.matches(tags),
            Self::Compare { key, test } => {
                test.holds(tags.iter().find(|(name, _)| name == key).map(|(_, value)| &**value))
            }
        }
    }

    /// Memory with its box, in bytes.
    pub fn bytes(&self) -> usize {
        heap::piece(size_of::<Self>()) + self.owned_bytes()
    }

    fn owned_bytes(&self) -> usize {
        match self {
            Self::And(nodes) | Self::Or(nodes) => {
                heap::list::<Self>(nodes.capacity()) + nodes.iter().map(Self::owned_bytes).sum::<usize>()
            }
            Self::Not(node) => node.bytes(),
            Self::Compare { key, test } => heap::piece(key.len()) + test.owned_bytes(),
        }
    }
}

impl Test {
    fn owned_bytes(&self) -> usize {
        match self {
            Self::In(values) | Self::NotIn(values) => {
                heap::list::<Box<str>>(values.len())
                    + values.iter().map(|value| heap::piece(value.len())).sum::<usize>()
            }
            Self::Equal(value)
            | Self::NotEqual(value)
            | Self::StartsWith(value)
            | Self::EndsWith(value)
            | Self::Contains(value)
            | Self::Less(value)
            | Self::LessOrEqual(value)
            | Self::Greater(value)
            | Self::GreaterOrEqual(value) => heap::piece(value.len()),
            Self::Exists | Self::NotExists => 0,
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let is = |test: fn(&str, &str) -> bool, other: &str| value.is_some_and(|value| test(value, other));
        let is_in = |values: &[Box<str>]| values.iter().any(|other| **other == *value.unwrap_or_default());
        let order = |other: &str| value.and_then(|value| compare_numbers(value, other));
        match self {
            Self::Equal(other) => is(|value, other| value == other, other),
            Self::NotEqual(other) => !is(|value, other| value == other, other),
            Self::In(values) => is_in(values),
            Self::NotIn(values) => !is_in(values),
            Self::Exists => value.is_some(),
            Self::NotExists => value.is_none(),
            Self::StartsWith(other) => is(|value, other| value.starts_with(other), other),
            Self::EndsWith(other) => is(|value, other| value.ends_with(other), other),
            Self::Contains(other) => is(|value, other| value.contains(other), other),
            Self::Less(other) => order(other).is_some_and(Ordering::is_lt),
            Self::LessOrEqual(other) => order(other).is_some_and(Ordering::is_le),
            Self::Greater(other) => order(other).is_some_and(Ordering::is_gt),
            Self::GreaterOrEqual(other) => order(other).is_some_and(Ordering::is_ge),
        }
    }
}

/// A decimal number, split so that numbers of any length are compared exactly.
struct Decimal<'a> {
    is_negative: bool,
    /// Digits before the point, without leading zeros.
    whole: &'a str,
    /// Digits after the point, without trailing zeros.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// Parses an optional sign, digits, and optionally a point and digits.
    fn parse(text: &'a str) -> Option<Self> {
        let (is_negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { is_negative: is_negative && !is_zero, whole, fraction })
    }
}

/// Compares two decimal numbers; `None` when one of them is not a number.
fn compare_numbers(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (Decimal::parse(a)?, Decimal::parse(b)?);
    let size = |n: &Decimal<'_>| n.whole.len();
    let order = size(&a).cmp(&size(&b)).then_with(|| (a.whole, a.fraction).cmp(&(b.whole, b.fraction)));
    Some(match (a.is_negative, b.is_negative) {
        (false, false) => order,
        (true, true) => order.reverse(),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_filter_holds_is_in_what_it_costs() {
        let text = || "x".repeat(100).into_boxed_str();
        let one = Filter::Compare { key: text(), test: Test::In((0..10).map(|_| text()).collect()) };
        let filter = Filter::And(vec![one, Filter::Not(Box::new(Filter::Or(Vec::new())))]);
        assert!((1100..3000).contains(&filter.bytes()), "{}", filter.bytes());
    }

    #[test]
    fn numbers_of_any_length_are_compared_exactly() {
        let ordered = [
            "-100000000000000000000000000000000000000001",
            "-100000000000000000000000000000000000000000",
            "-2.5",
            "-2.49999999999999999999999999999999999",
            "-0.1",
            "0",
            "0.00000000000000000000000000000000000001",
            "0.1",
            "0.11",
            "9",
            "10",
            "10.01",
            "18446744073709551616",
        ];
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare_numbers(a, b), Some(i.cmp(&j)), "{a} {b}");
            }
        }
        for (a, b) in [("-0", "0"), ("+1", "1.0"), ("007", "7"), ("-0.0", "+00")] {
            assert_eq!(compare_numbers(a, b), Some(Ordering::Equal), "{a} {b}");
        }
        for none in ["", "-", ".", "1.", ".5", "1e3", "0x1", " 1", "1 ", "--1", "1.2.3", "NaN", "١"] {
            assert_eq!(compare_numbers(none, "1"), None, "{none}");
            assert_eq!(compare_numbers("1", none), None, "{none}");
        }
    }
}
