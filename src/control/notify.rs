//! What a service manager is told (`sd_notify(3)`): that the server is ready, reloads, ends. Without a manager that asks
//! (`NOTIFY_SOCKET`), nothing. It is never needed for serving, so what goes wrong here is logged and no more; a manager
//! that does not read is waited for no longer than `PATIENCE`.

use std::env;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// Telling is one write to a socket, which blocks while the manager's queue is full.
const PATIENCE: Duration = Duration::from_secs(1);

/// All listeners are bound. `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    let status = status.to_owned();
    tell(move || sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]));
}

/// The drain has begun.
pub fn stopping() {
    tell(|| sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("draining")]));
}

fn tell(write: impl FnOnce() -> io::Result<()> + Send + 'static) {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (sender, told) = mpsc::channel();
    let spawned = thread::Builder::new().name("notify".to_owned()).spawn(move || {
        // Nobody hears it any more when it took too long.
        sender.send(write()).ok();
    });
    let result = spawned.and_then(|_| {
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| Err(io::Error::other("it reads nothing")))
    });
    if let Err(error) = result {
        tracing::warn!(%error, "the service manager could not be notified");
    }
}
