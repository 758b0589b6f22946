//! Reports of shards' ends to the control plane. Each shard holds one [`EndNotice`] and cannot end without a report:
//! a notice that is dropped unused, by a panic or an early return, reports that.

use std::io;
use std::thread;
use tokio::sync::mpsc;

/// The report of a shard.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) shard: usize,
    pub(super) result: Result<(), String>,
}

/// The means of a shard to report its end.
#[derive(Debug)]
pub(crate) struct EndNotice {
    shard: usize,
    /// `None` after the report.
    sender: Option<mpsc::Sender<Ending>>,
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct Endings(mpsc::Receiver<Ending>);

/// One notice per shard, in order, and the receiver.
pub(crate) fn endings(shard_count: usize) -> (Vec<EndNotice>, Endings) {
    // One place per shard, and each reports once: the channel is never full.
    let (sender, receiver) = mpsc::channel(shard_count.max(1));
    let notice = |shard| EndNotice { shard, sender: Some(sender.clone()) };
    ((0..shard_count).map(notice).collect(), Endings(receiver))
}

impl EndNotice {
    /// Reports the end of the shard with its result.
    pub(crate) fn end(mut self, result: io::Result<()>) {
        self.tell(result.map_err(|error| error.to_string()));
    }

    fn tell(&mut self, result: Result<(), String>) {
        if let Some(sender) = self.sender.take() {
            // The receiver is gone when the process is already ending.
            sender.try_send(Ending { shard: self.shard, result }).ok();
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
    /// The next report. Waits forever after the last one: the caller counts them.
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
        let (mut notices, mut endings) = endings(3);
        notices.pop().unwrap().end(Ok(()));
        drop(notices.pop());
        notices.pop().unwrap().end(Err(io::Error::other("full")));
        let mut told = Vec::new();
        while let Ok(Ending { shard, result }) = endings.0.try_recv() {
            told.push((shard, result));
        }
        assert_eq!(told, [(2, Ok(())), (1, Err("it ended without a word".into())), (0, Err("full".into()))]);
    }
}
