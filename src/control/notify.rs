//! What a service manager is told (`sd_notify(3)`): that the server is ready, reloads, ends. Without a manager that asks
//! (`NOTIFY_SOCKET`), nothing. It is never needed for serving, so what goes wrong here is logged and no more.

use sd_notify::NotifyState;

/// All listeners are bound. `status` is what `systemctl status` shows.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The drain has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
