//! Variables that texts in the options of hooks may name: `https://backend/${THRONG_VAR_PATH}`.
//!
//! Invariant: values are inserted only where a request is made. Text that is printed, logged or part of an error
//! contains the names only: the values may be secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Prefixes of the names of such variables.
const PREFIXES: [&str; 2] = ["CENTRIFUGO_VAR_", "THRONG_VAR_"];

/// Variables and their values; `Debug` does not show the values. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NamedVariables(Arc<BTreeMap<String, String>>);

impl NamedVariables {
    /// Selects the variables of an environment that texts may name, empty ones included.
    pub fn of(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Arc::new(environment.into_iter().filter(|(name, _)| is_named(name)).collect()))
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces every `${CENTRIFUGO_VAR_…}` and `${THRONG_VAR_…}` in a text by the variable of that name.
    ///
    /// # Errors
    /// The name of a variable that is not set.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            match after.split_once('}').filter(|(name, _)| is_named(name)) {
                Some((name, after)) => {
                    // An empty value is valid: it was set explicitly.
                    filled.push_str(self.0.get(name).ok_or_else(|| name.to_owned())?);
                    rest = after;
                }
                None => {
                    filled.push_str("${");
                    rest = after;
                }
            }
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

impl fmt::Debug for NamedVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether texts may name a variable of this name.
fn is_named(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_filled_once_and_names_without_a_variable_told() {
        let set = [
            ("CENTRIFUGO_VAR_A", "a${THRONG_VAR_B}"),
            ("THRONG_VAR_B", ""),
            ("THRONG_VAR_", "x"),
            ("HOME", "secret"),
        ];
        let variables = NamedVariables::of(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for (text, filled) in [
            ("/${CENTRIFUGO_VAR_A}/${THRONG_VAR_B}x", Ok("/a${THRONG_VAR_B}/x")),
            ("$x ${x} ${HOME} ${THRONG_VAR_} ${", Ok("$x ${x} ${HOME} ${THRONG_VAR_} ${")),
            ("${THRONG_VAR_NONE}", Err("THRONG_VAR_NONE")),
        ] {
            let wanted = filled.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(variables.fill(text), wanted, "{text}");
        }
        assert_eq!(format!("{variables:?}"), r#"{"CENTRIFUGO_VAR_A", "THRONG_VAR_B"}"#);
    }
}
