//! When the configuration and certificates are read again: on SIGHUP, and certificates when their files change, too.
//!
//! Files are looked at, not watched: it costs a few system calls every other second, and holds on every file system and
//! through every kind of link.

use crate::node::{Certificates, Reloader};
use std::future;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};

/// How often files are looked at. They are read at the second look that finds them changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Reloads for as long as the runtime lives. SIGHUP is handled without certificates, too: by default it would end the process.
pub(super) async fn reload(
    certificates: Option<Certificates>,
    reloader: Option<Reloader>,
    mut hangup: Option<Signal>,
) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Its outcome is in the log and in the metrics.
            () = next(&mut hangup) => match (&reloader, &certificates) {
                (Some(reloader), _) => drop(reloader.reload()),
                (None, Some(certificates)) => drop(certificates.reload()),
                (None, None) => tracing::info!("SIGHUP: there is nothing to reload"),
            },
            _ = looks.tick(), if certificates.is_some() => {
                certificates.iter().for_each(Certificates::look);
            }
        }
    }
}

/// The next SIGHUP; never, when signals are not handled.
async fn next(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => future::pending().await,
    }
}
