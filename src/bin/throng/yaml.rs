//! Writes a configuration in YAML, from its form in JSON.
//!
//! Mappings are in blocks; lists, and mappings within them, are in JSON's form, which YAML 1.2 includes
//! (<https://yaml.org/spec/1.2.2/>, 1.3). All texts are in quotes, so that none is read as another type.

use serde_json::{Map, Value};

/// Blanks before the keys of an inner mapping.
const INDENT: &str = "  ";

/// The document with these keys. Anything but an object is an empty document.
pub(crate) fn text(config: &Value) -> String {
    let mut text = String::new();
    if let Value::Object(keys) = config {
        block(&mut text, keys, 0);
    }
    text
}

fn block(text: &mut String, keys: &Map<String, Value>, depth: usize) {
    for (name, value) in keys {
        text.push_str(&INDENT.repeat(depth));
        // Names of headers and channels may have any character.
        let is_plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        text.push_str(&if is_plain { name.clone() } else { Value::from(name.as_str()).to_string() });
        if let Some(inner) = value.as_object().filter(|inner| !inner.is_empty()) {
            text.push_str(":\n");
            block(text, inner, depth + 1);
        } else {
            text.push_str(": ");
            text.push_str(&value.to_string());
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_a_block_and_texts_are_in_quotes() {
        let config = serde_json::json!({
            "a": {"b": "no", "c": {"d": 1}, "X-e": null},
            "f": [{"name": "x: y"}],
            "g": {},
        });
        let wanted = concat!(
            "a:\n  \"X-e\": null\n  b: \"no\"\n  c:\n    d: 1\n",
            "f: [{\"name\":\"x: y\"}]\ng: {}\n"
        );
        assert_eq!(text(&config), wanted);
    }
}
