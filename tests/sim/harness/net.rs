//! [`Net`] over the simulated world.
//!
//! A poll that would sleep returns `WouldBlock` instead, before the shard's turn has done anything, and the driver
//! retries once the world has progressed: so one thread can drive any number of shards.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::Ipv4Addr;
use std::rc::Rc;

use throng::parts::net::{Accepted, Net, Ready};

use super::world::{LinkId, World};

/// No descriptor is left, as Linux numbers its errors.
const EMFILE: i32 = 24;

pub(crate) type SharedWorld = Rc<RefCell<World>>;

/// One shard's view of the world.
#[derive(Debug)]
pub(crate) struct SimNet {
    pub(crate) world: SharedWorld,
    pub(crate) shard: usize,
}

/// A server's end of a link.
#[derive(Debug)]
pub(crate) struct SimSocket {
    world: SharedWorld,
    id: LinkId,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.world.borrow_mut().let_go(self.id);
    }
}

impl Net for SimNet {
    type Socket = SimSocket;

    fn poll(&mut self, events: &mut Vec<Ready>, timeout_ms: Option<u64>) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        let now_us = world.now_us;
        world.collect(self.shard, events);
        let station = &mut world.stations[self.shard];
        let wake_at_us = *station
            .wake_at_us
            .get_or_insert_with(|| timeout_ms.map_or(u64::MAX, |ms| now_us.saturating_add(ms * 1000)));
        if events.is_empty() && now_us < wake_at_us {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        station.wake_at_us = None;
        Ok(())
    }

    fn now_us(&mut self) -> u64 {
        self.world.borrow().now_us
    }

    fn unix_ms(&mut self) -> u64 {
        let world = self.world.borrow();
        world.unix_ahead_ms.wrapping_add(world.now_us / 1000)
    }

    fn accept(&mut self) -> io::Result<Accepted<SimSocket>> {
        let mut world = self.world.borrow_mut();
        let exhausted = world.faults.exhausted_accept;
        if world.has_backlog(self.shard) && world.rng.chance(exhausted) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        let id = world.accept(self.shard).ok_or(io::ErrorKind::WouldBlock)?;
        let peer = Some(Ipv4Addr::LOCALHOST.into());
        Ok(Accepted { socket: SimSocket { world: Rc::clone(&self.world), id }, peer, listener: 0 })
    }

    fn register(&mut self, socket: &mut SimSocket, token: u64) -> io::Result<()> {
        self.world.borrow_mut().register(socket.id, token);
        Ok(())
    }

    fn reregister(&mut self, socket: &mut SimSocket, token: u64) -> io::Result<()> {
        self.world.borrow_mut().reregister(socket.id, token);
        Ok(())
    }

    fn hand_over(&mut self, socket: &mut SimSocket, token: u64, shard: u16, ticket: u64) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        assert_eq!(world.token(socket.id), Some(token), "it is registered under its own token");
        let is_stuck = world.faults.stuck_hand_over;
        if world.rng.chance(is_stuck) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        world.hand_over(socket.id, usize::from(shard), ticket);
        Ok(())
    }

    fn take_over(&mut self, ticket: u64) -> io::Result<SimSocket> {
        let id = self.world.borrow_mut().take_over(self.shard, ticket);
        let id = id.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(SimSocket { world: Rc::clone(&self.world), id })
    }

    fn arm_writable(&mut self, socket: &mut SimSocket, token: u64) -> io::Result<()> {
        self.world.borrow_mut().arm(socket.id, token);
        Ok(())
    }

    fn read(&mut self, socket: &mut SimSocket, buffer: &mut [u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        if world.rng.chance(1) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let link = &world.links[socket.id];
        if link.is_reset && link.inbox.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        world.read(socket.id, buffer).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write(&mut self, socket: &mut SimSocket, bytes: &[u8]) -> io::Result<usize> {
        let mut world = self.world.borrow_mut();
        if world.links[socket.id].is_reset {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        world.write(socket.id, bytes).ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, socket: &mut SimSocket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Not byte by byte: far more is offered than there is room for, again and again.
        let bytes: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        self.write(socket, &bytes.concat())
    }

    fn peer(&self, _socket: &SimSocket) -> Option<std::net::IpAddr> {
        None
    }

    fn shutdown_write(&mut self, socket: &mut SimSocket) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        if world.links[socket.id].is_reset {
            return Err(io::ErrorKind::NotConnected.into());
        }
        world.shutdown_write(socket.id);
        Ok(())
    }

    fn stop_listening(&mut self) {
        self.world.borrow_mut().stop_listening(self.shard);
    }
}
