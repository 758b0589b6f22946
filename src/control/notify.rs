//! Messages to a service manager (`sd_notify(3)`): the server is ready, reloads, ends. Without a manager
//! (`NOTIFY_SOCKET`) nothing is sent. Serving does not depend on it, so errors are only logged; a manager that does
//! not read delays the server by at most `PATIENCE`.

use std::env;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// Timeout of a message: a write to a socket blocks while the manager's queue is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reports that all listeners are bound. `systemctl status` shows `status`.
pub fn ready(status: &str) {
    let status = status.to_owned();
    tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]));
}

/// Reports the start of the drain.
pub fn stopping() {
    tell(|| sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("draining")]));
}

fn tell(write: impl FnOnce() -> io::Result<()> + Send + 'static) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (sender, told) = mpsc::channel();
    let spawned = thread::Builder::new().name("notify".to_owned()).spawn(move || {
        // The receiver is gone after the timeout.
        sender.send(write()).ok();
    });
    let result = spawned.and_then(|_| {
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::Error::other("it reads nothing")))
    });
    if let Err(error) = result {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}
