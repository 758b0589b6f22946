//! Filters by tags from subscribers: nodes of either encoding, converted into a [`Filter`].
//!
//! Every filter of a client is bounded in depth, nodes and values. Invalid input is refused during the conversion
//! ([`Invalid`]). Left out: the parsing of the two encodings, which produces `Node`s, and the evaluation of a filter.

use std::borrow::Cow;
use std::fmt;

pub use crate::base::filter::{Filter, Test};

/// Maximum of levels of the tree.
pub const DEPTH_MAX: usize = 16;
/// Maximum of nodes of the tree, leaves included.
pub const NODES_MAX: usize = 256;
/// Maximum of values of one `in` or `nin`.
pub const VALUES_MAX: usize = 256;
/// Maximum of bytes of an encoded filter: reading one takes some fifty times as much memory for a moment.
pub const BYTES_MAX: usize = 16 << 10;

/// The fault of an invalid filter, to be answered with error 107.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// It does not have the structure of a filter.
    Shape,
    /// More than [`BYTES_MAX`] bytes, [`DEPTH_MAX`] levels, [`NODES_MAX`] nodes or [`VALUES_MAX`] values.
    TooLarge,
    /// An unknown `op`.
    Operation,
    /// A missing or unknown `cmp`.
    Comparison,
    /// A comparison without a key.
    Key,
    /// `val` or `vals` is missing, or does not fit the comparison.
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

/// A node of either encoding.
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

/// Converts a tree of nodes into a filter.
///
/// # Errors
/// When the tree is invalid or too large.
pub(super) fn read(root: &Node<'_>) -> Result<Filter, Invalid> {
    let mut nodes_left = NODES_MAX;
    of(root, DEPTH_MAX, &mut nodes_left)
}

fn of(node: &Node<'_>, depth_left: usize, nodes_left: &mut usize) -> Result<Filter, Invalid> {
    let depth_left = depth_left.checked_sub(1).ok_or(Invalid::TooLarge)?;
    *nodes_left = nodes_left.checked_sub(1).ok_or(Invalid::TooLarge)?;
    if node.op.is_empty() {
        return comparison(node);
    }
    let mut nodes = node.nodes.iter().map(|node| of(node, depth_left, nodes_left));
    match &*node.op {
        "and" | "or" if node.nodes.is_empty() => Err(Invalid::Nodes),
        "and" => nodes.collect::<Result<_, _>>().map(Filter::And),
        "or" => nodes.collect::<Result<_, _>>().map(Filter::Or),
        "not" => match (nodes.next(), nodes.next()) {
            (Some(node), None) => Ok(Filter::Not(Box::new(node?))),
            _ => Err(Invalid::Nodes),
        },
        _ => Err(Invalid::Operation),
    }
}

fn comparison(node: &Node<'_>) -> Result<Filter, Invalid> {
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
    Ok(Filter::Compare { key: Box::from(&*node.key), test })
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
        read(node).unwrap().matches(&tags)
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
            assert_eq!(read(&node), Err(wanted), "{node:?}");
        }
    }

    #[test]
    fn filters_are_bounded() {
        let deep =
            |levels: usize| (1..levels).fold(leaf("a", "eq", "b"), |node, _| branch("not", vec![node]));
        assert!(read(&deep(DEPTH_MAX)).is_ok());
        assert_eq!(read(&deep(DEPTH_MAX + 1)), Err(Invalid::TooLarge));
        let wide = |nodes: usize| branch("or", vec![leaf("a", "eq", "b"); nodes - 1]);
        assert!(read(&wide(NODES_MAX)).is_ok());
        assert_eq!(read(&wide(NODES_MAX + 1)), Err(Invalid::TooLarge));
        assert!(read(&list("a", "in", &["b"; VALUES_MAX])).is_ok());
        assert_eq!(read(&list("a", "in", &["b"; VALUES_MAX + 1])), Err(Invalid::TooLarge));
    }
}
