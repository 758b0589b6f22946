//! Triggers of reloads: SIGHUP for the configuration and certificates, changed files for certificates.
//!
//! Files are polled, not watched: polling costs a few system calls every two seconds, and works on every file system
//! and through every kind of link.

use crate::node::{Certificates, Reloader};
use std::future;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};

/// Interval at which files are checked. They are read at the second check that finds them changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Reloads until the runtime ends. SIGHUP is handled without certificates, too: by default it would end the process.
pub(super) async fn reload(
    certificates: Option<Certificates>,
    reloader: Option<Reloader>,
    mut hangup: Option<Signal>,
) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // The outcome is logged and counted.
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

/// The next SIGHUP; never resolves if signals are not handled.
async fn next(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => future::pending().await,
    }
}
