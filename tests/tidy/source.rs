//! A Rust file as tokens, just deep enough to see paths, functions and test modules.
//!
//! The invariant: comments and literals never become tokens, so a word in a sentence or in a string is no finding.
//! It knows no types and resolves no re-exports; a macro's body is read like ordinary code.

/// One token and the line (from 1) that it stands on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

/// A path as written, expanded: groups are flattened, and `self` and `super` are replaced by `crate` and the
/// modules that they stand for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_tests: bool,
    /// Whether it is a visibility, which precedes an item.
    pub(crate) is_visibility: bool,
}

/// A function: its first line and its number of lines, signature and braces included.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) line_count: usize,
}

pub(crate) fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Splits `text` into words, numbers, `::` and single punctuation characters.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let (length, is_token) = match bytes[at] {
            b'/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            b'/' if rest.starts_with("/*") => (block_comment_length(rest), false),
            b'"' => (string_length(rest), false),
            b'\'' => quote_length(rest),
            b':' if rest.starts_with("::") => (2, true),
            byte if byte.is_ascii_whitespace() => (1, false),
            byte if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 => {
                match literal_prefix_length(rest) {
                    Some(length) => (length, false),
                    None => (word_length(rest), true),
                }
            }
            _ => (1, true),
        };
        if is_token {
            tokens.push(Token { text: rest[..length].trim_start_matches("r#"), line });
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn word_length(rest: &str) -> usize {
    let raw = if rest.starts_with("r#") { 2 } else { 0 };
    let end = rest[raw..].find(|c: char| !(c.is_alphanumeric() || c == '_'));
    end.map_or(rest.len(), |end| end + raw)
}

/// Length of a string or byte literal that starts with letters (`b"…"`, `r#"…"#`, `b'x'`), if one starts here.
fn literal_prefix_length(rest: &str) -> Option<usize> {
    let letters =
        rest.find(|c: char| !matches!(c, 'b' | 'c' | 'r')).filter(|&count| matches!(count, 1 | 2))?;
    let after = &rest[letters..];
    if rest[..letters].ends_with('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if !after[hashes..].starts_with('"') {
            return None;
        }
        let close = format!("\"{}", "#".repeat(hashes));
        let body = letters + hashes + 1;
        return Some(rest[body..].find(&close).map_or(rest.len(), |end| body + end + close.len()));
    }
    if after.starts_with('"') {
        return Some(letters + string_length(after));
    }
    (rest.starts_with("b'")).then(|| letters + quote_length(after).0)
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or a lifetime, which counts as a token.
fn quote_length(rest: &str) -> (usize, bool) {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            let end = rest[escaped + 1..].find('\'').map_or(rest.len(), |end| escaped + 1 + end + 1);
            (end, false)
        }
        (Some(_), Some((close, '\''))) => (close + 1, false),
        _ => (1 + word_length(&rest[1..]), true),
    }
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// An inline `mod name { … }` that surrounds the token being looked at.
struct Inline {
    name: String,
    depth: usize,
    is_test: bool,
}

/// Every path in the file of module `module` (`["net", "sys"]`; empty for the crate's root), expanded.
pub(crate) fn paths(tokens: &[Token<'_>], module: &[String]) -> Vec<Path> {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let (mut found, mut inline, mut depth) = (Vec::new(), Vec::<Inline>::new(), 0);
    let mut flattened_to = 0; // a group's members belong to its head and start no path of their own
    for at in 0..tokens.len() {
        match word(at) {
            "mod" if word(at + 2) == "{" => {
                let is_test = at >= 7 && is_cfg_test(tokens, at - 7);
                inline.push(Inline { name: word(at + 1).to_owned(), depth, is_test });
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|innermost| innermost.depth == depth);
            }
            _ => {}
        }
        let previous = if at == 0 { "" } else { word(at - 1) };
        let continues = previous == "." || previous == "::" && at >= 2 && continues_path(word(at - 2));
        let used = previous == "use" || previous == "::" && at >= 2 && word(at - 2) == "use";
        let alone = used && matches!(word(at + 1), ";" | "as");
        // `pub(in …)` is a visibility, not an import.
        let is_visibility = previous == "in" && at >= 3 && word(at - 2) == "(" && word(at - 3) == "pub";
        if at < flattened_to || continues || !is_segment(word(at)) || !(word(at + 1) == "::" || alone) {
            continue;
        }
        let mut here = module.to_vec();
        here.extend(inline.iter().map(|inline| inline.name.clone()));
        let in_tests = inline.iter().any(|inline| inline.is_test);
        let mut flat = Vec::new();
        flattened_to = flatten(tokens, at, &[], &mut flat);
        found.extend(flat.into_iter().map(|segments| Path {
            segments: absolute(segments, &here),
            line: tokens[at].line,
            in_tests,
            is_visibility,
        }));
    }
    found
}

/// Whether a `::` after this token continues a path, rather than starting a global one (`use ::std`).
fn continues_path(before: &str) -> bool {
    is_segment(before) || before == ">"
}

fn is_segment(text: &str) -> bool {
    is_word(text) && !matches!(text, "use" | "in" | "as" | "return" | "impl" | "for" | "dyn" | "mut" | "else")
}

/// Collects the paths of the tree that starts at `at`; returns the first token after it.
fn flatten(tokens: &[Token<'_>], at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text);
    let (mut segments, mut at) = (prefix.to_vec(), at);
    loop {
        if word(at) == "{" {
            at += 1;
            while at < tokens.len() && word(at) != "}" {
                at = flatten(tokens, at, &segments, found);
                while at < tokens.len() && !matches!(word(at), "," | "}") {
                    at += 1; // `as Name`
                }
                at += usize::from(word(at) == ",");
            }
            return at + 1;
        }
        if !(is_word(word(at)) || word(at) == "*") {
            break;
        }
        segments.push(word(at).to_owned());
        at += 1;
        if word(at) != "::" {
            break;
        }
        at += 1;
    }
    if segments.len() > prefix.len() {
        found.push(segments);
    }
    at
}

fn absolute(segments: Vec<String>, here: &[String]) -> Vec<String> {
    let mut base = match segments[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => here.to_vec(),
        _ => return segments,
    };
    let relative = segments.iter().take_while(|word| matches!(word.as_str(), "crate" | "self" | "super"));
    let skipped = relative.clone().count();
    for _ in relative.filter(|word| *word == "super") {
        base.pop();
    }
    let mut path = vec!["crate".to_owned()];
    path.append(&mut base);
    path.extend_from_slice(&segments[skipped..]);
    path
}

fn is_cfg_test(tokens: &[Token<'_>], at: usize) -> bool {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    tokens[at..].iter().zip(attribute).filter(|(token, expected)| token.text == *expected).count()
        == attribute.len()
}

/// Number of lines before the file's test module; all lines when it has none.
pub(crate) fn lines_before_tests(text: &str, tokens: &[Token<'_>]) -> usize {
    (0..tokens.len())
        .find(|&at| is_cfg_test(tokens, at) && tokens.get(at + 7).is_some_and(|token| token.text == "mod"))
        .map_or_else(|| text.lines().count(), |at| tokens[at].line - 1)
}

/// Every function that has a body.
pub(crate) fn functions(tokens: &[Token<'_>]) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "fn") {
        let Some(name) = tokens.get(at + 1).filter(|name| is_word(name.text)) else { continue };
        let mut nesting = 0_isize;
        let end = tokens[at..].iter().find(|part| {
            match part.text {
                "(" | "[" => nesting += 1,
                ")" | "]" => nesting -= 1,
                _ => {}
            }
            nesting == 0 && matches!(part.text, "{" | ";")
        });
        if end.is_none_or(|end| end.text == ";") {
            continue;
        }
        let mut depth = 0_usize;
        let close = tokens[at..].iter().find(|part| {
            match part.text {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => return false,
            }
            depth == 0
        });
        let line_count = close.map_or(0, |close| close.line - token.line + 1);
        found.push(Function { name: name.text.to_owned(), line: token.line, line_count });
    }
    found
}
