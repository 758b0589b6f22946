//! Filters by tags: a tree of comparisons that a subscriber sends, and that each publication's tags are held against.
//!
//! Every filter that a client sent is bounded in depth, nodes and values: comparing it costs no more than that, and
//! never allocates. What is not a filter is refused before it becomes one ([`Invalid`]). Left out: the two encodings'
//! own shapes, which become a `Node` first.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// Levels of the tree.
pub const DEPTH_MAX: usize = 16;
/// Nodes of the tree, leaves included.
pub const NODES_MAX: usize = 256;
/// Values of one `in` or `nin`.
pub const VALUES_MAX: usize = 256;
/// Bytes of an encoded filter: reading one takes some fifty times as much memory for a moment.
pub const BYTES_MAX: usize = 16 << 10;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All of them hold.
    And(Vec<Self>),
    /// One of them holds.
    Or(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A tag compared.
    Compare {
        /// Name of the tag.
        key: Box<str>,
        /// How.
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

/// Why what a client sent is not a filter: to be answered with error 107.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Not of a filter's shape.
    Shape,
    /// More than [`BYTES_MAX`] bytes, [`DEPTH_MAX`] levels, [`NODES_MAX`] nodes or [`VALUES_MAX`] values.
    TooLarge,
    /// An `op` that the protocol does not know.
    Operation,
    /// A `cmp` that the protocol does not know, or none.
    Comparison,
    /// A comparison without a key.
    Key,
    /// `val` or `vals` missing, or not for this comparison.
    Values,
    /// `and` and `or` without nodes, or `not` with none or several.
    Nodes,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "the filter is not a tree of nodes",
            Self::TooLarge => "the filter is too large",
            Self::Operation => "the filter has an unknown op",
            Self::Comparison => "the filter has an unknown cmp",
            Self::Key => "the filter compares a tag without a name",
            Self::Values => {
                "the filter has no val or vals where it needs them, or has them where it must not"
            }
            Self::Nodes => "the filter has too few or too many nodes in an operation",
        })
    }
}

impl std::error::Error for Invalid {}

/// A node as it is sent, in either encoding.
#[derive(Clone, Debug, Default)]
pub(super) struct Node<'a> {
    /// `and`, `or`, `not`; empty for a comparison.
    pub(super) op: Cow<'a, str>,
    pub(super) key: Cow<'a, str>,
    pub(super) cmp: Cow<'a, str>,
    pub(super) val: Cow<'a, str>,
    pub(super) vals: Vec<Cow<'a, str>>,
    pub(super) nodes: Vec<Self>,
}

impl Filter {
    /// The filter that a tree of nodes means.
    ///
    /// # Errors
    /// When it means none, or is too large.
    pub(super) fn new(root: &Node<'_>) -> Result<Self, Invalid> {
        let mut nodes_left = NODES_MAX;
        Self::of(root, DEPTH_MAX, &mut nodes_left)
    }

    fn of(node: &Node<'_>, depth_left: usize, nodes_left: &mut usize) -> Result<Self, Invalid> {
        let depth_left = depth_left.checked_sub(1).ok_or(Invalid::TooLarge)?;
        *nodes_left = nodes_left.checked_sub(1).ok_or(Invalid::TooLarge)?;
        if node.op.is_empty() {
            return Self::comparison(node);
        }
        let mut nodes = node.nodes.iter().map(|node| Self::of(node, depth_left, nodes_left));
        match &*node.op {
            "and" | "or" if node.nodes.is_empty() => Err(Invalid::Nodes),
            "and" => nodes.collect::<Result<_, _>>().map(Self::And),
            "or" => nodes.collect::<Result<_, _>>().map(Self::Or),
            "not" => match (nodes.next(), nodes.next()) {
                (Some(node), None) => Ok(Self::Not(Box::new(node?))),
                _ => Err(Invalid::Nodes),
            },
            _ => Err(Invalid::Operation),
        }
    }

    fn comparison(node: &Node<'_>) -> Result<Self, Invalid> {
        let val = || match node.val.is_empty() || !node.vals.is_empty() {
            true => Err(Invalid::Values),
            false => Ok(Box::from(&*node.val)),
        };
        let vals = || match node.vals.len() {
            0 => Err(Invalid::Values),
            _ if !node.val.is_empty() => Err(Invalid::Values),
            1..=VALUES_MAX => Ok(node.vals.iter().map(|val| Box::from(&**val)).collect()),
            _ => Err(Invalid::TooLarge),
        };
        let none = |test| match node.val.is_empty() && node.vals.is_empty() {
            true => Ok(test),
            false => Err(Invalid::Values),
        };
        let test = match &*node.cmp {
            "eq" => Test::Equal(val()?),
            "neq" => Test::NotEqual(val()?),
            "in" => Test::In(vals()?),
            "nin" => Test::NotIn(vals()?),
            "ex" => none(Test::Exists)?,
            "nex" => none(Test::NotExists)?,
            "sw" => Test::StartsWith(val()?),
            "ew" => Test::EndsWith(val()?),
            "ct" => Test::Contains(val()?),
            "lt" => Test::Less(val()?),
            "lte" => Test::LessOrEqual(val()?),
            "gt" => Test::Greater(val()?),
            "gte" => Test::GreaterOrEqual(val()?),
            _ => return Err(Invalid::Comparison),
        };
        if node.key.is_empty() && !matches!(test, Test::Exists | Test::NotExists) {
            return Err(Invalid::Key);
        }
        Ok(Self::Compare { key: Box::from(&*node.key), test })
    }

    /// Whether a publication with these tags is wanted. A tag that is not there is unequal to everything, is in a list
    /// as the empty text is, and fails all other comparisons; so do those of numbers with what is none.
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
}

impl Test {
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

/// A decimal number, taken apart so that numbers of any length are compared exactly.
struct Decimal<'a> {
    is_negative: bool,
    /// Digits before the point, without zeros in front.
    whole: &'a str,
    /// Digits after the point, without zeros at the end.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// A sign or none, digits, and perhaps a point and digits.
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

/// How two decimal numbers compare; `None` when one of them is none.
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

    fn leaf<'a>(key: &'a str, cmp: &'a str, val: &'a str) -> Node<'a> {
        Node { key: key.into(), cmp: cmp.into(), val: val.into(), ..Node::default() }
    }

    fn list<'a>(key: &'a str, cmp: &'a str, vals: &[&'a str]) -> Node<'a> {
        Node { vals: vals.iter().map(|&val| val.into()).collect(), ..leaf(key, cmp, "") }
    }

    fn branch<'a>(op: &'a str, nodes: Vec<Node<'a>>) -> Node<'a> {
        Node { op: op.into(), nodes, ..Node::default() }
    }

    fn matches(node: &Node<'_>) -> bool {
        let tags =
            [("ticker", "AAPL"), ("price", "150.25"), ("volume", "1000"), ("empty", ""), ("word", "ten")];
        let tags = tags.map(|(name, value)| (Box::from(name), Box::from(value)));
        Filter::new(node).unwrap().matches(&tags)
    }

    #[test]
    fn comparisons() {
        for (key, cmp, val, wanted) in [
            ("ticker", "eq", "AAPL", true),
            ("ticker", "eq", "AAP", false),
            ("none", "eq", "AAPL", false),
            ("ticker", "neq", "AAPL", false),
            ("ticker", "neq", "MSFT", true),
            ("none", "neq", "AAPL", true),
            ("ticker", "sw", "AA", true),
            ("ticker", "sw", "PL", false),
            ("none", "sw", "A", false),
            ("ticker", "ew", "PL", true),
            ("ticker", "ew", "AA", false),
            ("ticker", "ct", "AP", true),
            ("ticker", "ct", "PA", false),
            ("ticker", "ex", "", true),
            ("empty", "ex", "", true),
            ("none", "ex", "", false),
            ("ticker", "nex", "", false),
            ("none", "nex", "", true),
            ("price", "gt", "150", true),
            ("price", "gt", "150.250", false),
            ("price", "gte", "150.250", true),
            ("price", "gte", "150.2500001", false),
            ("volume", "lt", "1000.5", true),
            ("volume", "lt", "999", false),
            ("volume", "lte", "+01000", true),
            ("volume", "gt", "-5000", true),
            ("word", "gt", "1", false),
            ("word", "lte", "1", false),
            ("empty", "lt", "1", false),
            ("none", "lt", "1", false),
            ("volume", "lt", "many", false),
        ] {
            assert_eq!(matches(&leaf(key, cmp, val)), wanted, "{key} {cmp} {val}");
        }
        for (key, cmp, vals, wanted) in [
            ("ticker", "in", &["MSFT", "AAPL"][..], true),
            ("ticker", "in", &["MSFT"], false),
            ("none", "in", &["MSFT"], false),
            ("none", "in", &[""], true),
            ("ticker", "nin", &["MSFT"], true),
            ("ticker", "nin", &["MSFT", "AAPL"], false),
            ("none", "nin", &["MSFT"], true),
        ] {
            assert_eq!(matches(&list(key, cmp, vals)), wanted, "{key} {cmp} {vals:?}");
        }
    }

    #[test]
    fn operations() {
        let yes = || leaf("ticker", "eq", "AAPL");
        let no = || leaf("ticker", "eq", "MSFT");
        for (node, wanted) in [
            (branch("and", vec![yes(), yes()]), true),
            (branch("and", vec![yes(), no()]), false),
            (branch("or", vec![no(), yes()]), true),
            (branch("or", vec![no(), no()]), false),
            (branch("not", vec![no()]), true),
            (branch("not", vec![branch("or", vec![no(), yes()])]), false),
        ] {
            assert_eq!(matches(&node), wanted, "{node:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_told() {
        let yes = || leaf("ticker", "eq", "AAPL");
        for (node, wanted) in [
            (Node::default(), Invalid::Comparison),
            (leaf("a", "like", "b"), Invalid::Comparison),
            (leaf("", "eq", "b"), Invalid::Key),
            (leaf("a", "eq", ""), Invalid::Values),
            (Node { val: "b".into(), ..list("a", "eq", &["c"]) }, Invalid::Values),
            (Node { val: "b".into(), ..list("a", "in", &["c"]) }, Invalid::Values),
            (list("a", "in", &[]), Invalid::Values),
            (leaf("a", "ex", "b"), Invalid::Values),
            (list("a", "nex", &["b"]), Invalid::Values),
            (branch("xor", vec![yes()]), Invalid::Operation),
            (branch("and", vec![]), Invalid::Nodes),
            (branch("or", vec![]), Invalid::Nodes),
            (branch("not", vec![]), Invalid::Nodes),
            (branch("not", vec![yes(), yes()]), Invalid::Nodes),
            (branch("and", vec![yes(), branch("or", vec![leaf("", "eq", "b")])]), Invalid::Key),
        ] {
            assert_eq!(Filter::new(&node), Err(wanted), "{node:?}");
        }
    }

    #[test]
    fn filters_are_bounded() {
        let deep =
            |levels: usize| (1..levels).fold(leaf("a", "eq", "b"), |node, _| branch("not", vec![node]));
        assert!(Filter::new(&deep(DEPTH_MAX)).is_ok());
        assert_eq!(Filter::new(&deep(DEPTH_MAX + 1)), Err(Invalid::TooLarge));
        let wide = |nodes: usize| branch("or", vec![leaf("a", "eq", "b"); nodes - 1]);
        assert!(Filter::new(&wide(NODES_MAX)).is_ok());
        assert_eq!(Filter::new(&wide(NODES_MAX + 1)), Err(Invalid::TooLarge));
        assert!(Filter::new(&list("a", "in", &["b"; VALUES_MAX])).is_ok());
        assert_eq!(Filter::new(&list("a", "in", &["b"; VALUES_MAX + 1])), Err(Invalid::TooLarge));
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
