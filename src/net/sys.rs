//! System calls without a well-kept safe wrapper. The only file that may contain `unsafe`.
//!
//! Each function is safe to call with any argument: errors of the kernel are returned as `io::Error`.

#![expect(unsafe_code, reason = "system calls; each block says why it is sound")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives the calling thread a descriptor table of its own (`unshare(2)`, `CLONE_FILES`).
///
/// The new table starts as a copy. `RLIMIT_NOFILE` then applies to this table alone, and accept and close no longer
/// contend with other threads. A descriptor number that another thread opens afterwards is invalid in this table.
///
/// # Errors
/// As `unshare(2)`, for example when a sandbox filters the call.
pub fn unshare_descriptors() -> io::Result<()> {
    // SAFETY: takes a flag by value, touches no memory of ours; std keeps no global descriptor state.
    check(unsafe { libc::unshare(libc::CLONE_FILES) })
}

/// Cores on which the calling thread may run, ascending.
///
/// # Errors
/// As `sched_getaffinity(2)`.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is a plain bit set, valid when all bits are zero.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer and the size describe `set`.
    check(unsafe { libc::sched_getaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw mut set) })?;
    let highest = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: every index is below CPU_SETSIZE, the number of bits of the set.
    Ok((0..highest).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) }).collect())
}

/// Pins the calling thread to one core.
///
/// # Errors
/// `InvalidInput` when the number is not a core, else as `sched_setaffinity(2)`.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    if core >= usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: cpu_set_t is a plain bit set, valid when all bits are zero.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the pointer and the size describe `set`.
    check(unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// Keeps signals to the process from being handled in the calling thread. A handler that wakes another thread writes
/// to a descriptor by its number, which in a private table is invalid, or a client's. Faults of the thread itself are
/// still reported in it.
///
/// # Errors
/// As `pthread_sigmask(3)`.
pub fn block_signals() -> io::Result<()> {
    // SAFETY: sigset_t is plain memory; sigfillset gives it its value.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a live set.
    check(unsafe { libc::sigfillset(&raw mut set) })?;
    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT] {
        // SAFETY: the pointer is to a live set, the number is a signal's.
        check(unsafe { libc::sigdelset(&raw mut set, fault) })?;
    }
    // SAFETY: the set is initialized; no earlier mask is asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// `RLIMIT_NOFILE`: (soft, hard), the maximum of descriptors in one table.
///
/// # Errors
/// As `getrlimit(2)`.
pub fn descriptor_limit() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Descriptors that the parent process left open for this one, with their names (`sd_listen_fds(3)`). Each is
/// returned once: a second call finds none. Child processes do not inherit them.
///
/// # Errors
/// When the variables are invalid, or name descriptors that are not open.
pub fn inherited_descriptors() -> io::Result<Vec<(OwnedFd, String)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    // Also checks that each is open, and sets close-on-exec.
    let told = sd_notify::listen_fds_with_names()?;
    // SAFETY: each is open, and by the protocol owned by this process and by no other code in it; the flag above
    // makes sure that each is taken once.
    Ok(told.map(|(descriptor, name)| (unsafe { OwnedFd::from_raw_fd(descriptor) }, name)).collect())
}

/// Raises the soft descriptor limit to the hard one and returns it.
///
/// # Errors
/// As `setrlimit(2)`.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (_, hard) = descriptor_limit()?;
    let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: the pointer is to a live rlimit.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(hard)
}

/// `IP_BIND_ADDRESS_NO_PORT`: binding to port 0 chooses no port until `connect`, so that the four-tuple, not the
/// source port alone, must be unique (ip(7)).
///
/// # Errors
/// As `setsockopt(2)`.
pub fn bind_address_no_port(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    const SIZE: libc::socklen_t = 4;
    const { assert!(mem::size_of::<libc::c_int>() == SIZE as usize) };
    // SAFETY: value pointer and size describe `on`; the descriptor is open for the borrow's lifetime.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            SIZE,
        )
    })
}

/// Lowers the priority of the calling thread: `niceness` from 0 to 19, as in `nice(1)`, but for this thread alone.
/// Threads that it starts inherit it.
///
/// # Errors
/// As `setpriority(2)`.
pub fn be_nice(niceness: i32) -> io::Result<()> {
    // SAFETY: three integers by value; the kernel takes the number 0 for the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, niceness) })
}

/// Schedules the calling thread before all ordinary threads (`SCHED_FIFO`, see `sched(7)`): for a thread that waits
/// most of the time. Threads that it starts inherit it.
///
/// # Errors
/// As `sched_setscheduler(2)`: it needs a privilege.
pub fn go_first() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel takes the number 0 for the calling thread, and reads the parameters during the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}

/// Keeps the process and its child processes from gaining privileges through programs that they start
/// (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// As `prctl(2)`.
pub fn gain_no_privileges() -> io::Result<()> {
    let (on, unused): (libc::c_ulong, libc::c_ulong) = (1, 0);
    // SAFETY: integers by value; the kernel wants the unused ones to be zero.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, on, unused, unused, unused) })
}

/// Protects the process's memory from other processes of the same user and from core dumps (`PR_SET_DUMPABLE`).
///
/// # Errors
/// As `prctl(2)`.
pub fn hide_memory() -> io::Result<()> {
    let off: libc::c_ulong = 0;
    // SAFETY: integers by value.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, off) })
}

/// Whether the process has the rights of root.
pub fn is_root() -> bool {
    user_id() == 0
}

/// The user whose privileges the process has.
pub fn user_id() -> u32 {
    // SAFETY: no arguments, always succeeds.
    unsafe { libc::geteuid() }
}

/// Identifier of the calling thread, as in `/proc/self/task`.
pub fn thread_id() -> i32 {
    // SAFETY: no arguments, always succeeds.
    unsafe { libc::gettid() }
}

/// Fixes glibc's thresholds so that large blocks are mapped and freed one by one, and limits the number of arenas to
/// `arena_max` (0: glibc's default, 8 per core): without it, freed outboxes of a burst stay resident in per-thread
/// heaps. To be called before the threads concerned start.
pub fn tune_allocator(arena_max: usize) {
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (libc::M_MMAP_THRESHOLD, 128 * 1024),
        (libc::M_TRIM_THRESHOLD, 256 * 1024),
        (libc::M_TOP_PAD, TOP_PAD_BYTES),
        (libc::M_ARENA_MAX, libc::c_int::try_from(arena_max).unwrap_or(0)),
    ] {
        // SAFETY: mallopt takes two integers and only changes the allocator's own settings.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Free memory that glibc's malloc keeps at the end of its heap, in bytes.
const TOP_PAD_BYTES: libc::c_int = 64 * 1024;

/// Makes glibc's malloc free unused pages, in all arenas; returns true if it freed any. Threads that allocate
/// meanwhile may have to wait, for some milliseconds when very much is free. No effect with other allocators.
pub fn trim_allocator() -> bool {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number and frees unused memory.
    return unsafe { libc::malloc_trim(usize::try_from(TOP_PAD_BYTES).unwrap_or(0)) } != 0;
    #[cfg(not(target_env = "gnu"))]
    false
}

/// Allocated bytes, including the allocator's headers, as counted by glibc's malloc; `None` for others. Inspects
/// every free piece: for tests and benches.
pub fn allocated_bytes() -> Option<usize> {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no arguments; a plain struct of numbers by value.
        let told = unsafe { libc::mallinfo2() };
        Some(told.uordblks + told.hblkhd)
    }
    #[cfg(not(target_env = "gnu"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_a_core_that_it_may_use() {
        let cores = allowed_cores().unwrap();
        assert!(!cores.is_empty());
        std::thread::spawn(move || {
            pin_to_core(cores[0]).unwrap();
            assert_eq!(allowed_cores().unwrap(), [cores[0]]);
            assert!(pin_to_core(usize::MAX).is_err());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn signals_of_the_process_go_to_other_threads() {
        std::thread::spawn(|| {
            block_signals().unwrap();
            let status = std::fs::read_to_string(format!("/proc/self/task/{}/status", thread_id())).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
            let mask = u64::from_str_radix(mask, 16).unwrap();
            let blocked = |signal: i32| mask >> (signal - 1) & 1 == 1;
            assert!(blocked(libc::SIGTERM) && blocked(libc::SIGINT) && !blocked(libc::SIGSEGV), "{mask:x}");
        })
        .join()
        .unwrap();
    }

    #[test]
    fn niceness_is_the_threads_own() {
        // Field 19 of stat(5), the 17th behind the name in parentheses.
        let niceness = || -> i32 {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{}/stat", thread_id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().parse().unwrap()
        };
        let before = niceness();
        let inside = std::thread::spawn(move || {
            be_nice(before.max(0) + 1).unwrap();
            niceness()
        });
        assert_eq!((inside.join().unwrap(), niceness()), (before.max(0) + 1, before));
    }

    #[test]
    fn who_goes_first_goes_alone() {
        // SAFETY: a number by value, which names the calling thread.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        let inside = std::thread::spawn(move || go_first().map(|()| policy()));
        // Without the privilege it returns an error.
        let is_first = inside.join().unwrap().is_ok_and(|inside| inside == libc::SCHED_FIFO);
        assert!(is_first || thread_niceness_is_bound());
        assert_eq!(policy(), before);
    }

    /// Whether this process may not raise its priority.
    fn thread_niceness_is_bound() -> bool {
        // SAFETY: two integers by value; the priority ends with the thread.
        std::thread::spawn(|| unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -1) } != 0).join().unwrap()
    }

    #[test]
    fn an_unshared_table_hides_later_descriptors() {
        use std::os::fd::{AsFd, IntoRawFd};
        let (soft, hard) = descriptor_limit().unwrap();
        assert!(soft <= hard);
        std::thread::spawn(|| {
            unshare_descriptors().unwrap();
            let inner = std::fs::File::open("/dev/null").unwrap().into_raw_fd();
            let path = format!("/proc/self/task/{}/fd/{inner}", thread_id());
            assert!(std::fs::read_link(path).is_ok());
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            bind_address_no_port(socket.as_fd()).unwrap();
        })
        .join()
        .unwrap();
    }
}
