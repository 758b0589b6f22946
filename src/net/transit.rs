//! Descriptors on their way from one shard to another: messages of a Unix socket carry them (unix(7), `SCM_RIGHTS`), since a
//! number means nothing in another shard's table.
//!
//! Each shard has one such socket pair: the others send into one end, and it receives from the other. Both exist before the
//! shards' tables part, so their numbers are the same in all. A message has the ticket of its descriptor; a letter tells
//! the receiver which ticket to take, after the descriptor was sent. So nothing waits, and no poller watches the socket.

use std::collections::HashMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Bytes of a ticket.
const TICKET_BYTES: usize = 8;

/// One shard's ends of the ways between all.
#[derive(Debug)]
pub(crate) struct Transit {
    inbox: OwnedFd,
    /// Into the inbox of each shard.
    outboxes: Arc<[OwnedFd]>,
    /// Descriptors that arrived before they were asked for.
    arrived: HashMap<u64, OwnedFd>,
}

impl Transit {
    /// Makes the ways between so many shards.
    ///
    /// # Errors
    /// When descriptors run out.
    pub(crate) fn between(count: usize) -> io::Result<Vec<Self>> {
        let (mut inboxes, mut outboxes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (inbox, outbox) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            inboxes.push(inbox);
            outboxes.push(outbox);
        }
        let outboxes: Arc<[OwnedFd]> = outboxes.into();
        let transit = |inbox| Self { inbox, outboxes: Arc::clone(&outboxes), arrived: HashMap::new() };
        Ok(inboxes.into_iter().map(transit).collect())
    }

    /// Sends a copy of a descriptor to a shard.
    ///
    /// # Errors
    /// As `sendmsg(2)`: `WouldBlock` while too many are under way.
    pub(crate) fn send(&self, shard: u16, ticket: u64, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let outbox = self.outboxes.get(usize::from(shard)).ok_or(io::ErrorKind::NotFound)?;
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let message = ticket.to_le_bytes();
        loop {
            match sendmsg(outbox.as_fd(), &[IoSlice::new(&message)], &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the descriptor of this ticket, which was sent before.
    ///
    /// # Errors
    /// As `recvmsg(2)`: `WouldBlock` when it was not sent, or this table has no room for it.
    pub(crate) fn take(&mut self, ticket: u64) -> io::Result<OwnedFd> {
        loop {
            if let Some(descriptor) = self.arrived.remove(&ticket) {
                return Ok(descriptor);
            }
            let (arrived, descriptor) = self.receive()?;
            if let Some(descriptor) = descriptor {
                self.arrived.insert(arrived, descriptor);
            }
        }
    }

    /// The next message: its ticket, and its descriptor, unless there was no room for that.
    fn receive(&self) -> io::Result<(u64, Option<OwnedFd>)> {
        let mut message = [0; TICKET_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let outcome = recvmsg(
            self.inbox.as_fd(),
            &mut [IoSliceMut::new(&mut message)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        match outcome {
            Ok(received) if received.bytes == 0 => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(_) => {}
            Err(Errno::INTR) => return self.receive(),
            Err(error) => return Err(error.into()),
        }
        let descriptor = control.drain().find_map(|one| {
            let RecvAncillaryMessage::ScmRights(mut descriptors) = one else { return None };
            descriptors.next()
        });
        Ok((u64::from_le_bytes(message), descriptor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_reach_the_tables_of_other_threads_in_any_order() {
        let mut transits = Transit::between(2).unwrap();
        let (mut second, first) = (transits.pop().unwrap(), transits.pop().unwrap());
        let (to_thread, letters) = std::sync::mpsc::channel::<Vec<u64>>();
        let thread = std::thread::spawn(move || {
            sys::unshare_descriptors().unwrap();
            for ticket in letters.recv().unwrap() {
                let mut stream = UnixStream::from(second.take(ticket).unwrap());
                stream.write_all(&[u8::try_from(ticket).unwrap()]).unwrap();
            }
            second.take(4).unwrap_err().kind()
        });
        let ends: Vec<UnixStream> = (1..4)
            .map(|ticket| {
                let (near, far) = UnixStream::pair().unwrap();
                first.send(1, ticket, far.as_fd()).unwrap();
                near
            })
            .collect();
        to_thread.send(vec![3, 1, 2]).unwrap();
        for (ticket, mut end) in (1..).zip(ends) {
            let mut all = Vec::new();
            end.read_to_end(&mut all).unwrap();
            assert_eq!(all, [ticket], "nobody else holds the other end");
        }
        assert_eq!(thread.join().unwrap(), io::ErrorKind::WouldBlock);
        assert!(first.send(7, 1, first.inbox.as_fd()).is_err(), "there is no such shard");
    }

    #[test]
    fn too_many_under_way_are_refused_and_none_is_lost() {
        let mut transits = Transit::between(1).unwrap();
        let mut one = transits.pop().unwrap();
        let (_near, far) = UnixStream::pair().unwrap();
        let sent = (0..100_000).take_while(|&ticket| one.send(0, ticket, far.as_fd()).is_ok()).count() as u64;
        assert!((50..100_000).contains(&sent), "{sent}");
        // The last first: all others have arrived then.
        for ticket in (0..sent).rev() {
            one.take(ticket).unwrap();
        }
        assert!(one.arrived.is_empty());
    }
}
