//! Arrivals of clients, their kinds, and reconnects.

use std::rc::Rc;

use super::Run;
use crate::client::Client;
use crate::conduct::Conduct;
use crate::device::DeviceConduct;
use crate::fan::{Fan, Manner};
use crate::plan::Plan;
use crate::raw::{Caller, Guide};
use crate::rng::Rng;
use crate::rogue::Rogue;
use crate::sealed::Pipe;

/// Failed connections in a row after the faults have ended, before a client stays away.
const CALM_FAILURES_MAX: u32 = 4;

impl Run {
    pub(super) fn arrive(&mut self) -> bool {
        let mut progress = false;
        while self.arrivals_us.last().is_some_and(|&at| at <= self.now_us()) {
            self.arrivals_us.pop();
            let mut world = self.world.borrow_mut();
            let Some(link) = world.connect() else { continue };
            let who = self.clients.len() as u32;
            let conduct = conduct(&mut self.rng, &self.plan, who);
            let mut rng = self.rng.fork();
            let pipe = self.pipe(&mut rng);
            self.clients.push(Client::new(who, link, world.now_us, pipe, rng, conduct, &self.plan));
            progress = true;
        }
        progress
    }

    /// Reconnects dropped clients, to any shard.
    pub(super) fn come_back(&mut self) -> bool {
        let mut progress = false;
        for device in &self.devices {
            let (is_away, comes_us, failures) = {
                let device = device.borrow();
                (device.is_away, device.comes_us, device.failures)
            };
            if !is_away || self.is_draining || self.is_calm && failures >= CALM_FAILURES_MAX {
                continue;
            }
            let now_us = self.world.borrow().now_us;
            let Some(comes_us) = comes_us else {
                let wait_us = if self.is_calm { 1000 } else { self.plan.activity_us / 10 };
                device.borrow_mut().comes_us = Some(now_us + self.rng.range(0..=wait_us));
                progress = true;
                continue;
            };
            if comes_us > now_us {
                continue;
            }
            let mut world = self.world.borrow_mut();
            let Some(link) = world.connect() else { continue };
            let who = self.clients.len() as u32;
            // After the faults have ended, a client that fails repeatedly, because memory or room is short, stays away.
            device.borrow_mut().failures += u32::from(self.is_calm);
            let body = DeviceConduct::new(Rc::clone(device), Rc::clone(&self.plan), who);
            let mut rng = self.rng.fork();
            let pipe = self.pipe(&mut rng);
            self.clients.push(Client::new(who, link, now_us, pipe, rng, Box::new(body), &self.plan));
            progress = true;
        }
        progress
    }

    /// The pipe of a new connection.
    fn pipe(&self, rng: &mut Rng) -> Pipe {
        self.tls_setup.as_ref().map_or(Pipe::Plain, |tls_setup| tls_setup.pipe(rng))
    }
}

/// When clients come: spread over the first half of the storm, or in bursts.
pub(super) fn arrivals(plan: &Plan, rng: &mut Rng, begin_us: u64) -> Vec<u64> {
    let burst_us = rng.range(0..=plan.activity_us / 2);
    let burst_percent = rng.pick(&[0, 30, 90]);
    (0..plan.clients)
        .map(|_| {
            let at_us =
                if rng.chance(burst_percent) { burst_us } else { rng.range(0..=plan.activity_us / 2) };
            begin_us + at_us
        })
        .collect()
}

fn conduct(rng: &mut Rng, plan: &Plan, who: u32) -> Box<dyn Conduct> {
    let fan = |manner| Box::new(Fan::new(manner, plan, who));
    match rng.range(0..=99) {
        0..36 => fan(Manner::Busy),
        36..50 => fan(Manner::Quiet),
        50..55 => fan(Manner::Mute),
        55..60 => fan(Manner::Deaf),
        60..63 => fan(Manner::Shy),
        63..73 => Box::new(Caller::new(plan)),
        73..87 => Box::new(Guide::new(plan)),
        _ => Box::new(Rogue::new(rng, plan)),
    }
}
