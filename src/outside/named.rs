//! Variables that texts of hooks name: `https://backend/${THRONG_VAR_PATH}`.
//!
//! Invariant: a text with their values is made where a request is, and nowhere else. What is printed, logged or told in an
//! error has their names: the values may be secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What the names of such variables begin with.
const PREFIXES: [&str; 2] = ["CENTRIFUGO_VAR_", "THRONG_VAR_"];

/// Variables by their names, and their values, of which `Debug` shows none. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NamedVariables(Arc<BTreeMap<String, String>>);

impl NamedVariables {
    /// Those of an environment that texts may name, also the empty ones.
    pub fn of(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(Arc::new(environment.into_iter().filter(|(name, _)| is_named(name)).collect()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with every `${CENTRIFUGO_VAR_…}` and `${THRONG_VAR_…}` replaced by the variable of that name.
    ///
    /// # Errors
    /// The name of one that is not set.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let (mut filled, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            filled.push_str(before);
            match after.split_once('}').filter(|(name, _)| is_named(name)) {
                Some((name, after)) => {
                    // Empty is a value here, which somebody chose.
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

/// Whether texts may name a variable that is called so.
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
