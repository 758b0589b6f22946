//! Maximum width of prose in documents. Tables, code blocks, comments and unbreakable text (a long link) may be
//! wider.

/// Characters that a line of prose may have.
pub(crate) const PROSE_WIDTH_MAX: usize = 120;

/// The numbers of the lines that are too wide, from 1.
pub(crate) fn wide_lines(text: &str) -> Vec<usize> {
    let mut is_code = false;
    let is_wide = |line: &str| {
        let line = line.trim_end();
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return false;
        }
        let is_exempt = is_code || line.starts_with('|') || line.starts_with("<!--");
        !is_exempt && line.chars().count() > PROSE_WIDTH_MAX && can_be_broken(line)
    };
    text.lines().map(is_wide).enumerate().filter(|(_, is_wide)| *is_wide).map(|(at, _)| at + 1).collect()
}

/// Whether the line contains a blank, other than that of a list's mark, at which it could be broken.
fn can_be_broken(line: &str) -> bool {
    let words = line.trim_start().trim_start_matches(['-', '*']).trim_start();
    let before = line.chars().count() - words.chars().count();
    words.chars().take(PROSE_WIDTH_MAX.saturating_sub(before)).any(|c| c == ' ')
}
