//! The thread of a shard: from start to end, in the order that private descriptor tables require.
//!
//! A shard makes its private descriptors after it has parted: first its listeners, since a listener that another
//! table still held would receive connections that nobody accepts.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::{Common, places};
use crate::config::Config;
use crate::control::{EndNotice, Readiness};
use crate::net::{Listeners, MioNet, Shared, sys};
use crate::session::Handler;
use crate::shard::mailbox::Mailbox;
use crate::shard::options::Options;
use crate::shard::{Parts, Shard, Turn};

/// The inputs of a shard's thread.
struct Start<H> {
    config: Config,
    listen: Vec<SocketAddr>,
    shared: Vec<Arc<Shared>>,
    parts: Parts<MioNet, H>,
    options: Options,
    core: Option<usize>,
    /// Receives the addresses as bound, or the error, once.
    bound: Sender<io::Result<Vec<SocketAddr>>>,
    readiness: Arc<Readiness>,
    notice: EndNotice,
}

pub(super) fn await_bound(is_bound: &Receiver<io::Result<Vec<SocketAddr>>>) -> io::Result<Vec<SocketAddr>> {
    is_bound.recv().unwrap_or_else(|_| Err(io::Error::other("a shard's thread ended before it listened")))
}

/// Receiver of the addresses that a shard listens on, or of the error.
pub(super) type IsBound = Receiver<io::Result<Vec<SocketAddr>>>;

/// Starts each shard in its thread. Returns the addresses of the first, and the receivers of the others' addresses.
pub(super) fn start_shards<H: Handler>(
    common: &Common,
    config: &Config,
    (mut addresses, shared): (Vec<SocketAddr>, Vec<Arc<Shared>>),
    nets: impl Iterator<Item = (MioNet, EndNotice)>,
    readiness: &Arc<Readiness>,
    mut make_handler: impl FnMut(u16) -> H,
) -> io::Result<(Vec<SocketAddr>, Vec<IsBound>)> {
    let cores = sys::allowed_cores().unwrap_or_default();
    let mut waiting = Vec::new();
    for (shard, (net, notice)) in (0u16..).zip(nets) {
        let (bound, is_bound) = mpsc::channel();
        let parts = common.parts(net, make_handler(shard), shard);
        let core = cores.get(usize::from(shard) % cores.len().max(1)).copied().filter(|_| config.pin);
        let readiness = Arc::clone(readiness);
        let (config, options) = (config.clone(), common.options.clone());
        let (listen, shared) = (addresses.clone(), shared.clone());
        let start = Start { config, listen, shared, parts, options, core, bound, readiness, notice };
        thread::Builder::new().name(format!("shard-{shard}")).spawn(move || run_shard(start))?;
        if shard == 0 {
            // A port of 0 becomes a real port here, the same for all shards.
            addresses = await_bound(&is_bound)?;
        } else {
            waiting.push(is_bound);
        }
    }
    Ok((addresses, waiting))
}

/// Closes a mailbox when its shard has ended, for any reason: callers that wait for an answer are told that there is
/// none.
struct Closing {
    mailboxes: Arc<[Mailbox]>,
    shard: u16,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.mailboxes[usize::from(self.shard)].close();
    }
}

/// The main function of a shard's thread.
fn run_shard<H: Handler>(start: Start<H>) {
    let Start { config, listen, shared, mut parts, options, core, bound, readiness, notice } = start;
    // Declared before the shard, so dropped after it.
    let _closing = Closing { mailboxes: Arc::clone(&parts.mailboxes), shard: parts.shard };
    if let Some(core) = core
        && let Err(error) = sys::pin_to_core(core)
    {
        tracing::warn!(%error, core, "a shard could not be pinned");
    }
    let listening = (|| {
        sys::block_signals()?;
        if config.private_descriptors {
            sys::unshare_descriptors()?;
        }
        // The first shard takes the addresses for this server, before another shard binds them.
        let bind = if parts.shard == 0 { Listeners::bind_first } else { Listeners::bind };
        let listeners = bind(&listen, places::BACKLOG)?.with_shared(shared);
        if config.timeouts.tcp_user_timeout_ms > 0 {
            listeners.give_up_after(Duration::from_millis(config.timeouts.tcp_user_timeout_ms))?;
        }
        let addresses = listeners.addresses()?;
        parts.net.listen(listeners)?;
        Ok(addresses)
    })();
    let is_listening = listening.is_ok();
    if is_listening {
        // Before it is reported: a program that reads the ready line may request `/ready` at once.
        readiness.shard_listens();
    }
    if bound.send(listening).is_err() || !is_listening {
        return notice.end(Ok(()));
    }
    let mut shard = Shard::<(MioNet, H)>::new(parts, options);
    let ended = loop {
        match shard.turn() {
            Ok(Turn::GoOn) => {}
            Ok(Turn::Ended) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    notice.end(ended);
}

/// Whether a thread can have a descriptor table of its own: tried in a thread that ends at once.
pub(super) fn can_unshare() -> bool {
    thread::spawn(|| sys::unshare_descriptors().is_ok()).join().unwrap_or(false)
}
