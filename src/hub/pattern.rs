//! Regular expressions of the configuration, in the syntax of RE2, which Go and Centrifugo use.
//!
//! A pattern must mean the same here as in RE2. The syntaxes of RE2 and of the crate `regex` differ in places: in RE2
//! `\d`, `\w`, `\s` and `\b` match ASCII only, `\Q…\E` quotes, a class contains no classes or operators, and a brace
//! without a repetition is a literal brace. So patterns are translated, piece by piece, before they are compiled.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use regex::bytes::{Regex, RegexBuilder};

/// RE2's maximum of repetitions.
const REPEATS_MAX: u32 = 1000;

/// A regular expression for names, compiled once; the default is no pattern: then a channel's name must be ASCII. Two
/// patterns are equal when their texts are.
#[derive(Clone, Default)]
pub struct NamePattern(Option<Compiled>);

#[derive(Clone)]
struct Compiled {
    /// The configured text.
    text: Box<str>,
    regex: Regex,
}

impl NamePattern {
    /// Compiles `pattern`; an empty one is the default.
    ///
    /// # Errors
    /// A description of the syntax error.
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.is_empty() {
            return Ok(Self::default());
        }
        let regex = RegexBuilder::new(&translate(pattern)?).octal(true).build();
        let regex = regex.map_err(|error| last_line(&error.to_string()))?;
        Ok(Self(Some(Compiled { text: pattern.into(), regex })))
    }

    /// Whether this is the default.
    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it matches somewhere in `text`; the default matches any text.
    pub fn matches(&self, text: &str) -> bool {
        self.0.as_ref().is_none_or(|compiled| compiled.regex.is_match(text.as_bytes()))
    }

    /// The matches of its named groups in `text`, by name; `None` where the pattern does not match.
    pub fn captures<'p>(&'p self, text: &str) -> Option<Vec<(&'p str, String)>> {
        let Some(Compiled { regex, .. }) = &self.0 else { return Some(Vec::new()) };
        let captured = regex.captures(text.as_bytes())?;
        let group = |name: &'p str| {
            let matched = captured.name(name).map_or(&b""[..], |matched| matched.as_bytes());
            (name, String::from_utf8_lossy(matched).into_owned())
        };
        Some(regex.capture_names().flatten().map(group).collect())
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|compiled| compiled.regex.capture_names().flatten())
    }

    /// The pattern as written; empty for the default.
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |compiled| &compiled.text)
    }

    /// Whether the group of this name is a choice of fixed texts, as in `(?P<name>one|two)`: no class, no repetition,
    /// no other special construct.
    pub fn lists_values(&self, name: &str) -> bool {
        let text = self.as_str();
        let has_class =
            text.contains('[') || "dDwWsSpP".chars().any(|class| text.contains(&format!("\\{class}")));
        let opening = [format!("(?P<{name}>"), format!("(?<{name}>")];
        let body = opening.iter().find_map(|open| text.split_once(open.as_str())).map(|(_, body)| body);
        !has_class && body.is_some_and(is_list)
    }
}

/// Whether a group's body, up to its parenthesis, is a choice of fixed texts.
fn is_list(body: &str) -> bool {
    let mut depth = 0_u32;
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            ')' if depth == 0 => return true,
            ')' => depth -= 1,
            '(' => {
                let mut inner = chars.clone();
                if inner.next() == Some('?') {
                    if inner.next() != Some(':') {
                        return false;
                    }
                    chars = inner;
                }
                depth += 1;
            }
            '\\' if chars.next().is_none_or(|quoted| quoted.is_alphanumeric()) => return false,
            '.' | '*' | '+' | '?' | '{' | '}' | '^' | '$' => return false,
            _ => {}
        }
    }
    false
}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for NamePattern {}

/// The last line of the crate's error, which spans several lines and ends with the cause.
fn last_line(error: &str) -> String {
    let last = error.lines().last().unwrap_or(error).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

type Source<'a> = Peekable<Chars<'a>>;

/// Translates a pattern into the syntax of the crate.
///
/// # Errors
/// For constructs that RE2 rejects and the crate would accept.
fn translate(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut source = pattern.chars().peekable();
    while let Some(c) = source.next() {
        match c {
            '\\' => escape(&mut source, &mut out)?,
            '[' => class(&mut source, &mut out)?,
            '(' => group(&mut source, &mut out)?,
            '{' => brace(&mut source, &mut out)?,
            other => out.push(other),
        }
    }
    Ok(out)
}

/// Translates an escape sequence outside of a class, behind its backslash.
fn escape(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    match source.next() {
        Some('Q') => {
            quoted(source, out);
            Ok(())
        }
        Some(boundary @ ('b' | 'B')) => {
            out.push_str(&format!("(?-u:\\{boundary})"));
            Ok(())
        }
        Some('C') => Err("\\C, a byte, is not supported".to_owned()),
        Some(letter) if shorthand(letter).is_some() => {
            out.push_str(&format!("[{}]", shorthand(letter).unwrap_or_default()));
            Ok(())
        }
        other => plain_escape(other, source, out),
    }
}

/// Translates the quoted text up to `\E`, or to the end, as literal characters.
fn quoted(source: &mut Source<'_>, out: &mut String) {
    while let Some(c) = source.next() {
        if c == '\\' && source.peek() == Some(&'E') {
            source.next();
            return;
        }
        literal(c, out);
    }
}

/// Writes a literal character.
fn literal(c: char, out: &mut String) {
    out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
}

/// The inside of the class that a letter behind a backslash stands for.
fn shorthand(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "0-9",
        'D' => "^0-9",
        'w' => "0-9A-Za-z_",
        'W' => "^0-9A-Za-z_",
        's' => "\\t\\n\\x0C\\r\\x20",
        'S' => "^\\t\\n\\x0C\\r\\x20",
        _ => return None,
    })
}

/// Translates an escape sequence that means the same within a class and outside.
fn plain_escape(c: Option<char>, source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    match c {
        None => Err("a backslash stands at the end".to_owned()),
        Some(kind @ ('p' | 'P')) => property(kind, source, out),
        // A single digit would be a back reference, which RE2 lacks.
        Some('1'..='7') if !source.peek().is_some_and(|next| ('0'..='7').contains(next)) => {
            Err("back references are not supported".to_owned())
        }
        Some(c) if c.is_ascii_alphanumeric() || !c.is_ascii() => {
            out.push('\\');
            out.push(c);
            Ok(())
        }
        Some(c) => {
            literal(c, out);
            Ok(())
        }
    }
}

/// Translates a Unicode property: `\pL`, `\p{Greek}`, `\p{^Greek}`.
fn property(kind: char, source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    let (mut is_negated, mut name) = (kind == 'P', String::new());
    match source.next() {
        Some('{') => loop {
            match source.next() {
                Some('}') => break,
                Some('^') if name.is_empty() => is_negated = !is_negated,
                Some(c) => name.push(c),
                None => return Err("a property without an end".to_owned()),
            }
        },
        Some(letter) => name.push(letter),
        None => return Err("a property without a name".to_owned()),
    }
    // The crate has other syntax with these characters.
    if name.contains(['=', ':', '!']) {
        return Err(format!("{name:?} is no property of Unicode"));
    }
    out.push_str(&format!("\\{}{{{name}}}", if is_negated { 'P' } else { 'p' }));
    Ok(())
}

/// Translates a class behind its opening bracket. Within, a bracket, `&&`, `--` and `~~` are literal.
fn class(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if source.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        match source.next() {
            None => return Err("a class without its closing bracket".to_owned()),
            Some(']') if !is_first => break,
            Some('[') if source.peek() == Some(&':') => posix(source, out),
            Some('\\') => match source.next() {
                Some(letter) if shorthand(letter).is_some() => {
                    out.push_str(&format!("[{}]", shorthand(letter).unwrap_or_default()));
                }
                other => plain_escape(other, source, out)?,
            },
            Some('-') if !out.ends_with('-') || out.ends_with("\\-") => out.push('-'),
            Some(c) => literal(c, out),
        }
        is_first = false;
    }
    out.push(']');
    Ok(())
}

/// Translates a named class such as `[:alpha:]`, or a literal bracket and colon.
fn posix(source: &mut Source<'_>, out: &mut String) {
    let rest: String = source.clone().collect();
    let Some((name, _)) = rest.split_once(":]") else { return literal('[', out) };
    let is_name =
        name.trim_start_matches(':').trim_start_matches('^').bytes().all(|b| b.is_ascii_alphabetic());
    if !is_name {
        return literal('[', out);
    }
    for _ in 0..name.chars().count() + 2 {
        source.next();
    }
    out.push('[');
    out.push_str(name);
    out.push_str(":]");
}

/// Translates a group's name and flags behind its opening parenthesis.
fn group(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    out.push('(');
    if source.next_if_eq(&'?').is_none() {
        return Ok(());
    }
    out.push('?');
    let rest: String = source.clone().take(2).collect();
    if rest.starts_with('<') || rest == "P<" {
        return Ok(());
    }
    let flags: String = source.clone().take_while(|c| !matches!(c, ':' | ')')).collect();
    if flags.chars().all(|flag| "imsU-".contains(flag)) {
        Ok(())
    } else {
        Err(format!("(?{flags} begins no group"))
    }
}

/// Translates an opening brace: a repetition, or a literal brace.
fn brace(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    let rest: String = source.clone().take_while(|c| *c != '}').collect();
    let is_closed = source.clone().any(|c| c == '}');
    let (least, most) = rest.split_once(',').unwrap_or((&rest, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !(is_closed && is_number(least) && (most.is_empty() || is_number(most))) {
        literal('{', out);
        return Ok(());
    }
    let is_over = |text: &str| !text.is_empty() && text.parse::<u32>().map_or(true, |n| n > REPEATS_MAX);
    if is_over(least) || is_over(most) {
        return Err(format!("more than {REPEATS_MAX} repetitions"));
    }
    out.push('{');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(pattern: &str, texts: &[(&str, bool)]) {
        let compiled = NamePattern::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        for (text, is_match) in texts {
            assert_eq!(compiled.matches(text), *is_match, "{pattern} on {text:?}");
        }
    }

    /// The expected results are those of Go's `regexp`.
    #[test]
    fn patterns_mean_what_they_mean_in_re2() {
        matches(r"^\p{L}+$", &[("Grüße", true), ("жук", true), ("a1", false)]);
        matches(r"^\pL\PL$", &[("é1", true), ("éé", false)]);
        matches(r"^\p{Cyrillic}+$", &[("жук", true), ("zuk", false)]);
        matches(r"^\p{^Greek}$", &[("a", true), ("α", false)]);
        matches(r"^\P{^Greek}$", &[("a", false), ("α", true)]);
        matches(r"^[\p{Han}\d]+$", &[("漢1", true), ("a", false)]);
        matches(r"^\Qa.b*\E+$", &[("a.b*", true), ("a.b**", true), ("axb", false)]);
        matches(r"^\Qa[", &[("a[", true), ("a", false)]);
        matches(r"^\d+$", &[("12", true), ("١٢", false)]);
        matches(r"^\w+$", &[("a_1", true), ("é", false)]);
        matches(r"^\s$", &[(" ", true), ("\u{b}", false), ("\u{a0}", false)]);
        matches(r"^\D\W\S$", &[("é!a", true), ("1!a", false)]);
        matches(r"\bé", &[("aé", true), (" é", false)]);
        matches(r"(?i)^straße$", &[("STRASSE", false), ("STRAßE", true)]);
        matches(r"(?i)^k$", &[("K", true), ("\u{212a}", true)]);
        matches(r"^.$", &[("é", true), ("\n", false)]);
        matches(r"(?s)^.$", &[("\n", true)]);
        matches(r"^a{,2}$", &[("a{,2}", true), ("aa", false)]);
        matches(r"^a{2}{$", &[("aa{", true)]);
        matches(r"^a{x}$", &[("a{x}", true)]);
        matches(r"^[a&&b]+$", &[("a&b", true), ("c", false)]);
        matches(r"^[a[b]$", &[("[", true), ("b", true), ("c", false)]);
        matches(r"^[]a]$", &[("]", true)]);
        matches(r"^[^]a]$", &[("]", false), ("b", true)]);
        matches(r"^[+--]$", &[("+", true), (",", true), ("-", true), (".", false)]);
        matches(r"^[a\-z]$", &[("-", true), ("b", false)]);
        matches(r"^[[:alpha:][:^digit:]]$", &[("a", true), ("é", true), ("1", false)]);
        matches(r"^[\w.~-]+$", &[("a.~-", true), ("é", false)]);
        matches(r"^\<\_\>$", &[("<_>", true)]);
        matches(r"^\x41\x{42}\103$", &[("ABC", true)]);
        matches(r"^(?P<a>x)(?<b>y)(?:z)$", &[("xyz", true)]);
        matches(r"^(?-s:.)(?U:a+)", &[("ba", true)]);
        matches(r"\Aa\z", &[("a", true), ("a\n", false)]);
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_reason() {
        for (pattern, reason) in [
            ("[", "a class without its closing bracket"),
            ("(", "unclosed group"),
            ("a)", "unopened group"),
            ("*", "repetition operator missing expression"),
            (r"\", "a backslash stands at the end"),
            (r"\y", "unrecognized escape sequence"),
            (r"(a)\1", "back references are not supported"),
            (r"\C", "\\C, a byte, is not supported"),
            (r"\p{Nonsense}", "Unicode property not found"),
            (r"\p{sc=Greek}", "\"sc=Greek\" is no property of Unicode"),
            ("(?x)a", "(?x begins no group"),
            ("(?=a)", "(?=a begins no group"),
            ("a{1001}", "more than 1000 repetitions"),
            ("a{2,1}", "invalid repetition count range, the start must be <= the end"),
            ("[b-a]", "invalid character class range, the start must be <= the end"),
        ] {
            assert_eq!(NamePattern::new(pattern).unwrap_err(), reason, "{pattern}");
        }
    }

    #[test]
    fn groups_have_names() {
        let pattern = NamePattern::new(r"^https://(?P<tenant>one|two)\.(?<zone>eu|us)\.test$").unwrap();
        assert_eq!(pattern.groups().collect::<Vec<_>>(), ["tenant", "zone"]);
        let found = pattern.captures("https://two.eu.test").unwrap();
        assert_eq!(found, [("tenant", "two".to_owned()), ("zone", "eu".to_owned())]);
        assert_eq!(pattern.captures("https://three.eu.test"), None);
    }

    #[test]
    fn a_group_lists_its_values_or_does_not() {
        for (pattern, is_list) in [
            ("(?P<t>one|two)", true),
            ("(?<t>one)", true),
            (r"x.*(?P<t>a\.b|c(?:d|e))", true),
            ("(?P<t>.+)", false),
            ("(?P<t>a*)", false),
            ("(?P<t>a?)", false),
            (r"(?P<t>\w)", false),
            ("(?P<t>[ab])", false),
            ("[ab](?P<t>a)", false),
            (r"\d(?P<t>a)", false),
            ("(?P<t>(?i)a)", false),
            ("(?P<u>a)", false),
        ] {
            assert_eq!(NamePattern::new(pattern).unwrap().lists_values("t"), is_list, "{pattern}");
        }
    }
}
