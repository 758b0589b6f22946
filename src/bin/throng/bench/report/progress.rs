//! The progress of a run on stderr: one line that is rewritten on a terminal, a few plain lines in a log.
//!
//! Invariant: it costs nothing between two updates. Left out: results, which go to stdout.

use std::io::{IsTerminal, Write};

use crate::bench::clock::Clock;

const TERMINAL_EVERY_NS: u64 = 150_000_000;
const LOG_EVERY_NS: u64 = 5_000_000_000;

#[derive(Debug)]
pub(crate) struct Progress {
    clock: Clock,
    name: &'static str,
    terminal: bool,
    next_at_ns: u64,
    dirty: bool,
}

impl Progress {
    pub(crate) fn new(clock: Clock, name: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        // A short run writes nothing to a log.
        let next_at_ns = if terminal { 0 } else { clock.now_ns() + LOG_EVERY_NS };
        Self { clock, name, terminal, next_at_ns, dirty: false }
    }

    /// Shows `text` if an update is due.
    #[inline]
    pub(crate) fn tick(&mut self, text: impl FnOnce() -> String) {
        let now_ns = self.clock.now_ns();
        if now_ns >= self.next_at_ns {
            self.next_at_ns = now_ns + if self.terminal { TERMINAL_EVERY_NS } else { LOG_EVERY_NS };
            self.show(&text());
        }
    }

    fn show(&mut self, text: &str) {
        let (name, seconds) = (self.name, self.clock.now_ns() / 1_000_000_000);
        let line = format!("throng bench {name} · {seconds} s · {text}");
        // An error of stderr cannot be reported anywhere.
        let told = if self.terminal {
            self.dirty = true;
            write!(std::io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(std::io::stderr(), "{line}")
        };
        drop(told);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.dirty {
            drop(write!(std::io::stderr(), "\r\x1b[K"));
        }
    }
}
