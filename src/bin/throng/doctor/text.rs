//! The report as text: aligned, at most 100 columns, except commands, which are not broken.
//!
//! Colour carries no information of its own.

use super::needs::Plan;
use super::report::{Line, Report, Status, Value};
use throng::parts::base::figures::grouped;

/// Width of the page.
const WIDTH: usize = 100;

/// Width of the status and of the name; reasons are printed under the name.
const STATUS_COLUMNS: usize = 8;
const NAME_COLUMNS: usize = 33;
const VALUE_COLUMNS: usize = 28;

/// Connections that `tuning/` has a profile for, and its name.
const PROFILES: [(u64, &str); 3] = [(50_000, "50k"), (250_000, "250k"), (1_000_000, "1m")];

/// The whole page.
pub(super) fn render(plan: &Plan, report: &Report, colour: bool) -> String {
    let paint = Paint { colour };
    let tables = if plan.private_descriptors { "private descriptor tables" } else { "one descriptor table" };
    let kernel = report.kernel.as_deref().map_or_else(String::new, |release| format!(", Linux {release}"));
    let mut page = format!(
        "throng doctor: {} connections, {}, {tables}{kernel}\n",
        grouped(plan.connections),
        shards_text(plan.shards)
    );
    for section in &report.sections {
        let title = format!(
            "{:<width$}{:<VALUE_COLUMNS$}{}",
            section.title,
            "here",
            "needed",
            width = STATUS_COLUMNS + NAME_COLUMNS
        );
        page += &format!("\n{}\n", paint.bold(&title));
        for line in &section.lines {
            page += &entry(line, paint);
        }
    }
    page + &summary(plan, report, paint)
}

fn entry(line: &Line, paint: Paint) -> String {
    let head = format!(
        "{:<NAME_COLUMNS$}{:<VALUE_COLUMNS$}{}",
        line.name,
        shown(&line.value, "unknown"),
        shown(&line.needed, "-")
    );
    let mut entry = format!("{}{}\n", paint.status(line.status), head.trim_end());
    let margin = " ".repeat(STATUS_COLUMNS);
    for part in wrapped(&line.why, WIDTH - STATUS_COLUMNS) {
        entry += &format!("{margin}{}\n", paint.dim(part));
    }
    if let Some(command) = &line.mend {
        entry += &format!("{margin}$ {command}\n");
    }
    entry
}

fn summary(plan: &Plan, report: &Report, paint: Paint) -> String {
    let counts: Vec<String> = [Status::Short, Status::Advice, Status::Unknown, Status::Ok]
        .map(|status| format!("{} {}", report.count(status), word(status)))
        .to_vec();
    let verdict = if report.is_sound() {
        format!("This box holds {} connections", grouped(plan.connections))
    } else {
        format!("This box falls short of {} connections", grouped(plan.connections))
    };
    let mut text = format!("\n{}: {}.\n", paint.bold(&verdict), counts.join(", "));
    if report.count(Status::Short) + report.count(Status::Advice) > 0 {
        let apply = match PROFILES.iter().find(|(connections, _)| plan.connections <= *connections) {
            Some((_, name)) => format!("tuning/apply {name} --write"),
            None => format!(
                "throng doctor --connections {} --emit sysctl | tuning/apply - --write",
                plan.connections
            ),
        };
        text += &format!("All kernel settings at once: {apply}   (back again: tuning/apply --undo)\n");
    }
    text
}

const fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Short => "short",
        Status::Advice => "advice",
        Status::Unknown => "unknown",
    }
}

fn shown(value: &Value, unknown: &str) -> String {
    match value {
        Value::Unknown => unknown.to_owned(),
        Value::Count(count) => count_text(*count),
        Value::Counts(counts) => counts.iter().map(|&count| count_text(count)).collect::<Vec<_>>().join(" "),
        Value::Bytes(count) => bytes(*count),
        Value::Text(text) => text.clone(),
    }
}

/// `1,048,576`; the largest values, which mean "no bound", as text.
pub(super) fn count_text(count: u64) -> String {
    if count >= 1 << 62 { "no limit".to_owned() } else { grouped(count) }
}

/// `23.0 GiB`, with one decimal, rounded down.
pub(super) fn bytes(count: u64) -> String {
    let (unit, name) = match count {
        0..0x400 => return format!("{count} B"),
        0x400..0x10_0000 => (0x400, "KiB"),
        0x10_0000..0x4000_0000 => (0x10_0000, "MiB"),
        _ => (0x4000_0000_u64, "GiB"),
    };
    format!("{}.{} {name}", grouped(count / unit), count % unit * 10 / unit)
}

pub(super) fn shards_text(count: u64) -> String {
    if count == 1 { "1 shard".to_owned() } else { format!("{} shards", grouped(count)) }
}

/// Breaks at spaces, so that no line is wider than `width`, unless a single word is.
fn wrapped(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.len() > width {
        let at = rest
            .char_indices()
            .take_while(|&(at, _)| at <= width)
            .filter(|&(_, letter)| letter == ' ')
            .last()
            .map(|(at, _)| at)
            .or_else(|| rest.find(' '));
        let Some(at) = at else { break };
        lines.push(&rest[..at]);
        rest = &rest[at + 1..];
    }
    lines.push(rest);
    lines
}

/// Escape sequences, or none.
#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// The status, padded before it is coloured: escapes have no width.
    fn status(self, status: Status) -> String {
        let code = match status {
            Status::Ok => "32",
            Status::Short => "1;31",
            Status::Advice => "33",
            Status::Unknown => "36",
        };
        self.wrap(code, &format!("{:<STATUS_COLUMNS$}", word(status)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::facts::Facts;
    use crate::doctor::fake::{Tree, plan};

    fn page(tree: &Tree, connections: u64, colour: bool) -> String {
        let plan = plan(connections);
        render(&plan, &Report::new(&plan, &Facts::read(tree.root())), colour)
    }

    #[test]
    fn no_line_but_a_command_is_wider_than_the_page() {
        for (tree, connections) in
            [(Tree::small(), 1_000_000), (Tree::roomy(), 50_000), (Tree::empty(), 10_000_000)]
        {
            for line in page(&tree, connections, false).lines() {
                let command = line.trim_start().starts_with("$ ") || line.contains("tuning/apply");
                assert!(command || line.len() <= WIDTH, "{} columns: {line}", line.len());
                assert_eq!(line, line.trim_end());
            }
        }
    }

    #[test]
    fn colour_changes_nothing_but_escapes() {
        let tree = Tree::small();
        let painted = page(&tree, 1_000_000, true);
        assert!(painted.contains("\x1b[1;31mshort   \x1b[0m"));
        let mut bare = painted;
        for code in ["0", "1", "2", "32", "1;31", "33", "36"] {
            bare = bare.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(bare, page(&tree, 1_000_000, false));
    }

    #[test]
    fn the_summary_names_the_smallest_profile_that_holds_them() {
        assert!(page(&Tree::small(), 50_000, false).contains("tuning/apply 50k --write"));
        assert!(page(&Tree::small(), 50_001, false).contains("tuning/apply 250k --write"));
        assert!(
            page(&Tree::small(), 1_000_001, false)
                .contains("--connections 1000001 --emit sysctl | tuning/apply - --write")
        );
    }

    #[test]
    fn numbers_are_grouped_and_bytes_have_units() {
        assert_eq!([0, 999, 1_000, 1_048_576].map(count_text), ["0", "999", "1,000", "1,048,576"]);
        assert_eq!(count_text(9_223_372_036_854_775_807), "no limit");
        assert_eq!([512, 1_536, 5 << 20, 23 << 30].map(bytes), ["512 B", "1.5 KiB", "5.0 MiB", "23.0 GiB"]);
    }

    #[test]
    fn text_is_broken_at_spaces() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("aaaaaaaa b", 5), ["aaaaaaaa", "b"]);
        assert_eq!(wrapped("aaaaaaaa", 5), ["aaaaaaaa"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
