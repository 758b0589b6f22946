//! Configured replacements of codes: of a hook's HTTP status, and of a client's error.

/// One rule of such a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRule {
    /// The replaced status or code.
    pub from: u32,
    /// The replacement.
    pub to: CodeOutcome,
}

/// The replacement of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeOutcome {
    /// An error.
    Error {
        /// Code of the error.
        code: u32,
        /// Text of the error.
        message: String,
        /// Whether a retry may succeed.
        temporary: bool,
    },
    /// A disconnect.
    Disconnect {
        /// 3000–4999.
        code: u16,
        /// At most 123 bytes of ASCII.
        reason: String,
    },
    /// An HTTP response.
    Response {
        /// 100–599.
        status: u16,
        /// Body of the response; empty for the default text of the status.
        body: String,
    },
}

/// The first rule for a code, if there is one.
pub(crate) fn rule_for(rules: &[CodeRule], code: u32) -> Option<&CodeOutcome> {
    rules.iter().find(|rule| rule.from == code).map(|rule| &rule.to)
}
