//! What the kernel says about this process: resident memory and CPU time, from `/proc/self`.
//!
//! Absent where `/proc` is: a metric that is not there is better than one that is wrong.

/// Clock ticks per second in `/proc/self/stat`: `USER_HZ`, fixed at 100 in the kernel's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory of the process, in bytes, and of that what belongs to no file: heap and stacks.
pub(super) fn resident_and_anonymous_bytes() -> Option<(u64, u64)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    Some((kib_of("VmRSS:", &status)?, kib_of("RssAnon:", &status)?))
}

/// User and system CPU time of all threads, in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    cpu_seconds_of(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The bytes of a line such as `VmRSS:  2048 kB`.
fn kib_of(name: &str, status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn cpu_seconds_of(stat: &str) -> Option<f64> {
    // The name in parentheses may hold blanks and parentheses; fields are counted after the last one (proc(5)).
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        assert_eq!(kib_of("VmRSS:", "Name:\tx\nVmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert_eq!(kib_of("VmRSS:", "Name:\tx\n"), None);
        let stat = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 7 7 20 0 3 0 123 456 78";
        assert_eq!(cpu_seconds_of(stat), Some(2.0));
        assert_eq!(cpu_seconds_of("42 (a"), None);
    }

    #[test]
    fn this_process_has_both() {
        let (resident, anonymous) = resident_and_anonymous_bytes().unwrap();
        assert!(anonymous > 100_000 && anonymous < resident);
        assert!(cpu_seconds().is_some());
    }
}
