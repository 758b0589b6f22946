//! Filters by tags: a tree of comparisons that a subscriber sends, and that each publication's tags are held against.

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
