//! What the configuration makes of a code: of a hook's HTTP status, of the error that refuses a client.

/// One line of such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRule {
    /// The status or code that it is for.
    pub from: u32,
    /// What is told in its place.
    pub to: CodeOutcome,
}

/// What is told in place of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeOutcome {
    /// An error.
    Error {
        /// Its number.
        code: u32,
        /// Its text.
        message: String,
        /// Whether the same may succeed later.
        temporary: bool,
    },
    /// The connection ends.
    Disconnect {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes of ASCII.
        reason: String,
    },
    /// A response of HTTP.
    Response {
        /// 100–599.
        status: u16,
        /// Its text; empty for that of the code.
        body: String,
    },
}

/// The rule for a code, if there is one: the first.
pub fn rule_for(rules: &[CodeRule], code: u32) -> Option<&CodeOutcome> {
    rules.iter().find(|rule| rule.from == code).map(|rule| &rule.to)
}
