//! The history as a home's memory: in the shard's own memory, so it answers at once.

use std::sync::Arc;

use super::History;
use crate::hub::memory::{Appended, Memory, Read, Response, StreamId, Wanted};
use crate::hub::options::ChannelOptions;
use crate::hub::terms::{Now, Terms};
use crate::hub::{Position, Publication};

impl Memory for History {
    fn is_prompt(&self) -> bool {
        true
    }

    fn open(
        &mut self,
        now: Now,
        channel: u32,
        _name: &Arc<str>,
        options: &ChannelOptions,
    ) -> Response<StreamId> {
        Response::Now(Ok(self.open(now, channel, options)))
    }

    fn touch(&mut self, stream: StreamId, now: Now, options: &ChannelOptions) {
        self.touch(stream, now, options);
    }

    fn attend(&mut self, stream: StreamId, now: Now, is_attended: bool) {
        self.attend(stream, now, is_attended);
    }

    fn append(
        &mut self,
        stream: StreamId,
        now: Now,
        publication: &Publication,
        options: &ChannelOptions,
        terms: &Terms,
    ) -> Response<Appended> {
        self.touch(stream, now, options);
        if !self.takes_version(stream, terms.version, terms.version_epoch.as_deref()) {
            return Response::Now(Ok(Appended::Known(self.position(stream))));
        }
        let previous = self.append(stream, now, publication, options);
        Response::Now(Ok(Appended::Kept { position: self.position(stream), previous }))
    }

    fn bypass(&mut self, stream: StreamId) {
        self.bypass(stream);
    }

    fn read(
        &mut self,
        stream: StreamId,
        now: Now,
        options: &ChannelOptions,
        wanted: &Wanted<'_>,
    ) -> Response<Read> {
        self.touch(stream, now, options);
        let (mut is_complete, mut publications) = (false, Vec::new());
        match *wanted {
            Wanted::Position => {}
            Wanted::Missed { from, count_max } => {
                (is_complete, publications) = self.missed(stream, from, count_max);
            }
            Wanted::Latest { passes } => publications.extend(self.latest(stream, passes).map(Arc::clone)),
            Wanted::Filtered(filter) => match self.filtered(stream, filter) {
                Ok(found) => publications = found,
                Err(refused) => return Response::Now(Err(refused)),
            },
        }
        let position: Position = self.position(stream);
        Response::Now(Ok(Read { position, publications, is_complete }))
    }

    fn clear(&mut self, stream: StreamId) -> Response<()> {
        self.clear(stream);
        Response::Now(Ok(()))
    }

    fn expire(&mut self, now: Now, forgotten: &mut dyn FnMut(u32)) {
        self.expire(now, forgotten);
    }

    fn next_expiry_ms(&self) -> Option<u64> {
        self.next_expiry_ms()
    }

    fn forget_idle(&mut self) -> Option<u32> {
        self.forget_idle()
    }

    fn cut(&mut self, bytes: usize, count_max: usize) -> usize {
        self.cut(bytes, count_max)
    }

    fn stream_count(&self) -> usize {
        self.streams.len()
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn stream_bytes(&self) -> usize {
        self.stream_bytes()
    }

    fn check_invariants(&self) {
        self.check_invariants();
    }

    fn check_owner(&self, stream: StreamId, channel: usize, is_attended: bool) {
        self.check_owner(stream, channel, is_attended);
    }
}
