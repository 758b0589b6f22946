//! How a shard's end reaches the control plane. Each shard holds one [`EndNotice`] and cannot end without telling:
//! a notice that is dropped unsaid, by a panic or an early return, tells that.
//!
//! A shard with a descriptor table of its own must not wake the control thread's runtime itself: the runtime's
//! descriptor has that number only in the control thread's table, and in the shard's it may be a client. So a
//! notice is sent without any descriptor, and a thread beside the control thread passes it on.

use std::io;
use std::sync::mpsc;
use std::thread;
use tokio::sync::mpsc as wakes;

/// What a shard told.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) shard: usize,
    pub(super) result: Result<(), String>,
}

/// One shard's word that it has ended.
#[derive(Debug)]
pub struct EndNotice {
    shard: usize,
    /// Gone once the word is given.
    sender: Option<mpsc::Sender<Ending>>,
}

/// The receiving half.
#[derive(Debug)]
pub struct Endings {
    told: mpsc::Receiver<Ending>,
    shard_count: usize,
}

/// Endings on their way to the control thread's runtime.
#[derive(Debug)]
pub(super) struct Relay(wakes::Receiver<Ending>);

/// One notice per shard, in their order, and the half that receives them.
pub fn endings(shard_count: usize) -> (Vec<EndNotice>, Endings) {
    let (sender, told) = mpsc::channel();
    let notice = |shard| EndNotice { shard, sender: Some(sender.clone()) };
    ((0..shard_count).map(notice).collect(), Endings { told, shard_count })
}

impl EndNotice {
    /// The shard has ended, with this result.
    pub fn end(mut self, result: io::Result<()>) {
        self.tell(result.map_err(|error| error.to_string()));
    }

    fn tell(&mut self, result: Result<(), String>) {
        if let Some(sender) = self.sender.take() {
            // Nobody listens any more when the process is already ending.
            sender.send(Ending { shard: self.shard, result }).ok();
        }
    }
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        let how = if thread::panicking() { "it panicked" } else { "it ended without a word" };
        self.tell(Err(how.to_owned()));
    }
}

impl Endings {
    /// Starts to pass endings on to the runtime of the calling thread, whose descriptors the new thread shares.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn relay(self) -> io::Result<Relay> {
        // One place per shard, and each tells once: sending never finds it full.
        let (sender, receiver) = wakes::channel(self.shard_count.max(1));
        let pass_on = move || self.told.into_iter().all(|ending| sender.try_send(ending).is_ok());
        thread::Builder::new().name("endings".to_owned()).spawn(pass_on)?;
        Ok(Relay(receiver))
    }
}

impl Relay {
    /// The next ending. Waits for ever once every shard has told: the caller counts them.
    pub(super) async fn next(&mut self) -> Ending {
        match self.0.recv().await {
            Some(ending) => ending,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_tells_once() {
        let (mut notices, endings) = endings(3);
        notices.pop().unwrap().end(Ok(()));
        drop(notices.pop());
        notices.pop().unwrap().end(Err(io::Error::other("full")));
        let mut told = Vec::new();
        while let Ok(Ending { shard, result }) = endings.told.try_recv() {
            told.push((shard, result));
        }
        assert_eq!(told, [(2, Ok(())), (1, Err("it ended without a word".into())), (0, Err("full".into()))]);
    }
}
