//! Tests whether a thread can have a private descriptor table.
//!
//! A sandbox may filter the call, and no file shows that. The call is made in a thread that ends at once, so that
//! the doctor's own table does not change.

use super::facts::Probe;

/// Tries `unshare(CLONE_FILES)` in a short-lived thread.
pub(super) fn private_descriptors() -> Probe {
    let tried = std::thread::Builder::new()
        .name("doctor-probe".to_owned())
        .spawn(throng::parts::net::sys::unshare_descriptors)
        .map(std::thread::JoinHandle::join);
    match tried {
        Ok(Ok(Ok(()))) => Probe::Works,
        Ok(Ok(Err(error))) => Probe::Refused(error.to_string()),
        Ok(Err(_)) | Err(_) => Probe::Untested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_agrees_with_the_call_itself() {
        let direct = std::thread::spawn(throng::parts::net::sys::unshare_descriptors).join().unwrap();
        assert_eq!(private_descriptors() == Probe::Works, direct.is_ok());
        assert_ne!(private_descriptors(), Probe::Untested);
    }
}
