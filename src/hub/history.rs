//! Streams: the kept publications of the channels of one home, and the positions that outlive them.
//!
//! The kept publications are bounded four ways: by count in each stream, by the time since the stream's last
//! publication, after which all of them expire, by age, and by bytes over all streams, where the oldest of any stream
//! goes first. A stream keeps copies: the bytes of a publication in delivery are counted elsewhere and must be freed
//! once it is delivered.
//!
//! Invariant: a stream keeps an unbroken run of publications that ends with its last one. Recovery depends on that:
//! it compares the number of missed publications with the number of kept ones, and nothing else. So publications
//! leave at the old end only, or all at once. A stream's epoch changes only after its position was forgotten.
//!
//! Every stream has one deadline in the wheel, at or before the time at which something in it expires; activity does
//! not move the deadline, which is computed anew when it comes. Reading from streams is in [`super::recovery`].

use std::collections::VecDeque;
use std::sync::Arc;

use super::memory::StreamId;
use super::options::ChannelOptions;
use super::terms::Now;
use super::{Position, Publication, Rare};
use crate::base::budget::Budget;
use crate::base::heap;
use crate::base::pool::Pool;
use crate::base::seed::{Purpose, Seed};
use crate::base::shared::Shared;
use crate::base::wheel::Wheel;

/// The wheel's unit. Expired publications are never returned; their memory is freed up to this much later.
const TICK_MS: u64 = 1000;
/// Maximum of streams and publications that one call of [`History::expire`] inspects.
const EXPIRED_PER_CALL_MAX: usize = 1024;
/// Number of streams that are inspected to find the idlest.
const SAMPLE_COUNT: usize = 32;
/// Memory of a kept publication beside its contents: itself and its entry.
const ENTRY_BYTES: usize = heap::arc(size_of::<Publication>()) + size_of::<Option<Entry>>();
/// Memory of a stream's name; see [`History::new_epoch`].
const EPOCH_BYTES: usize = heap::arc(EPOCH_LENGTH);
const EPOCH_LENGTH: usize = 8;
/// No entry.
const NONE: u32 = u32::MAX;

/// A kept publication, linked to its neighbours in age among all publications of the home.
#[derive(Debug)]
struct Entry {
    publication: Arc<Publication>,
    expires_ms: u64,
    stream: StreamId,
    older: u32,
    newer: u32,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// Number of the stream's channel.
    channel: u32,
    /// Whether the channel's last publication is the stream's last.
    is_latest: bool,
    /// Whether the channel has subscribers; the position is not forgotten then.
    is_attended: bool,
    pub(super) epoch: Arc<str>,
    /// Offset of the last publication; 0 before the first.
    pub(super) top: u64,
    /// Entries, oldest first.
    pub(super) kept: VecDeque<u32>,
    /// Time at which all kept publications have expired, unless another one is published before.
    expires_ms: u64,
    meta_ttl_ms: u64,
    forget_at_ms: u64,
    version: u64,
    version_epoch: Option<Box<str>>,
}

/// The streams and histories of the channels whose home is one shard.
#[derive(Debug)]
pub(super) struct History {
    pub(super) streams: Pool<Stream>,
    entries: Pool<Entry>,
    oldest: u32,
    newest: u32,
    bytes: usize,
    bytes_max: usize,
    /// The count of the copies' bytes, including copies in delivery.
    budget: Budget,
    meta_ttl_ms: u64,
    wheel: Wheel,
    /// Place at which the search for idle streams continues.
    hand: usize,
    /// Memory of streams beside the kept publications.
    stream_bytes: usize,
    seed: Seed,
    /// The home's number among those of the process.
    home: u16,
    epoch_count: u64,
}

impl Stream {
    /// Memory beside its own size.
    fn bytes(&self) -> usize {
        EPOCH_BYTES
            + heap::list::<u32>(self.kept.capacity())
            + heap::piece(self.version_epoch.as_ref().map_or(0, |series| series.len()))
    }
}

impl History {
    pub(super) fn new(bytes_max: usize, meta_ttl_ms: u64, (seed, home): (Seed, u16)) -> Self {
        Self {
            streams: Pool::default(),
            entries: Pool::default(),
            oldest: NONE,
            newest: NONE,
            bytes: 0,
            bytes_max,
            budget: Budget::new(bytes_max),
            meta_ttl_ms,
            wheel: Wheel::new(0, 0),
            hand: 0,
            stream_bytes: 0,
            seed,
            home,
            epoch_count: 0,
        }
    }

    /// Opens a new stream, for channel number `channel`.
    pub(super) fn open(&mut self, now: Now, channel: u32, options: &ChannelOptions) -> StreamId {
        let stream = Stream {
            channel,
            is_latest: true,
            is_attended: false,
            epoch: self.new_epoch(),
            top: 0,
            kept: VecDeque::new(),
            expires_ms: 0,
            meta_ttl_ms: 0,
            forget_at_ms: 0,
            version: 0,
            version_epoch: None,
        };
        self.stream_bytes += stream.bytes();
        let id = number(self.streams.insert(stream));
        self.touch(id, now, options);
        self.arm(id);
        id
    }

    /// Marks the stream as used, and drops expired publications. To be called before any other access to the stream.
    pub(super) fn touch(&mut self, id: StreamId, now: Now, options: &ChannelOptions) {
        let stream = &mut self.streams[id as usize];
        if !stream.is_attended && stream.forget_at_ms != 0 && stream.forget_at_ms <= now.ms {
            // The position is past its lifetime: a new stream begins.
            self.clear(id);
            let epoch = self.new_epoch();
            let stream = &mut self.streams[id as usize];
            self.stream_bytes -= stream.bytes();
            (stream.epoch, stream.top, stream.version, stream.version_epoch) = (epoch, 0, 0, None);
            self.stream_bytes += stream.bytes();
        }
        let meta_ttl_ms =
            if options.history_meta_ttl_ms > 0 { options.history_meta_ttl_ms } else { self.meta_ttl_ms };
        let stream = &mut self.streams[id as usize];
        // A position outlives the publications of its stream, for any configuration.
        stream.meta_ttl_ms = meta_ttl_ms.max(options.history_ttl_ms);
        stream.forget_at_ms = stream.forget_at_ms.max(now.ms.saturating_add(stream.meta_ttl_ms));
        self.drop_expired(id, now.ms, usize::MAX);
    }

    /// Sets whether the channel has subscribers. The position is kept as long, and for its lifetime afterwards.
    pub(super) fn attend(&mut self, id: StreamId, now: Now, is_attended: bool) {
        let stream = &mut self.streams[id as usize];
        stream.is_attended = is_attended;
        stream.forget_at_ms = stream.forget_at_ms.max(now.ms.saturating_add(stream.meta_ttl_ms));
    }

    /// Appends a copy of a publication, and sets the previous publication where a delta is wanted.
    pub(super) fn append(
        &mut self,
        id: StreamId,
        now: Now,
        publication: &Publication,
        options: &ChannelOptions,
    ) -> Option<Arc<Publication>> {
        let stream = &mut self.streams[id as usize];
        stream.top += 1;
        let position = Position { offset: stream.top, epoch: Arc::clone(&stream.epoch) };
        let before = stream.kept.back().filter(|_| publication.is_delta && stream.is_latest);
        let previous = before.map(|&key| Arc::clone(&self.entries[key as usize].publication));
        stream.is_latest = true;
        let copy = self.copy(publication, &position);
        let bytes = bytes_of(&copy);
        if bytes > self.bytes_max {
            // Older publications do not help a client that misses this one; other streams need not shrink for it.
            self.clear(id);
            return previous;
        }
        let expires_ms = match options.history_age_ms {
            0 => u64::MAX,
            age_ms => now.ms.saturating_add(age_ms),
        };
        let entry = Entry { publication: copy, expires_ms, stream: id, older: self.newest, newer: NONE };
        let key = number(self.entries.insert(entry));
        match self.entries.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = key,
            None => self.oldest = key,
        }
        self.newest = key;
        self.bytes += bytes;
        let stream = &mut self.streams[id as usize];
        stream.expires_ms = now.ms.saturating_add(options.history_ttl_ms);
        self.stream_bytes -= stream.bytes();
        stream.kept.push_back(key);
        self.stream_bytes += stream.bytes();
        while self.streams[id as usize].kept.len() > options.history_size {
            self.drop_front(id);
        }
        while self.bytes > self.bytes_max {
            let oldest = self.entries[self.oldest as usize].stream;
            self.drop_front(oldest);
        }
        self.arm(id);
        previous
    }

    /// Notes a publication outside the stream: the next one is no delta to the stream's last one.
    pub(super) fn bypass(&mut self, id: StreamId) {
        self.streams[id as usize].is_latest = false;
    }

    /// Whether `version` is higher than all versions of its series in the stream; it is then stored as the highest. 0
    /// is no version. Without a series it is compared with the latest version of any series.
    pub(super) fn takes_version(&mut self, id: StreamId, version: u64, series: Option<&str>) -> bool {
        if version == 0 {
            return true;
        }
        let stream = &mut self.streams[id as usize];
        let is_comparable = series.is_none() || stream.version_epoch.as_deref() == series;
        if is_comparable && version <= stream.version {
            return false;
        }
        if !is_comparable {
            self.stream_bytes -= stream.bytes();
            stream.version_epoch = series.map(Box::from);
            self.stream_bytes += stream.bytes();
        }
        stream.version = version;
        true
    }

    pub(super) fn position(&self, id: StreamId) -> Position {
        let stream = &self.streams[id as usize];
        Position { offset: stream.top, epoch: Arc::clone(&stream.epoch) }
    }

    /// Drops all publications of the stream; its position stays.
    pub(super) fn clear(&mut self, id: StreamId) {
        while self.drop_front(id) {}
    }

    /// Drops the oldest publications of all streams until they take at most `bytes`, or `count_max` are dropped;
    /// returns the count.
    pub(super) fn cut(&mut self, bytes: usize, count_max: usize) -> usize {
        let mut count = 0;
        while self.bytes > bytes && count < count_max {
            let oldest = self.entries[self.oldest as usize].stream;
            self.drop_front(oldest);
            count += 1;
        }
        count
    }

    /// Drops expired publications and streams, a bounded number per call. Calls `forgotten` with the channels of
    /// dropped streams.
    pub(super) fn expire(&mut self, now: Now, mut forgotten: impl FnMut(u32)) {
        let mut budget = EXPIRED_PER_CALL_MAX;
        while budget > 0
            && let Some(id) = self.wheel.pop_due(now.ms / TICK_MS)
        {
            budget -= 1;
            budget -= self.drop_expired(id, now.ms, budget);
            let stream = &mut self.streams[id as usize];
            if stream.is_attended {
                stream.forget_at_ms = stream.forget_at_ms.max(now.ms.saturating_add(stream.meta_ttl_ms));
            } else if stream.kept.is_empty() && stream.forget_at_ms <= now.ms {
                forgotten(self.remove(id));
                continue;
            }
            self.arm(id);
        }
    }

    /// Forgets a stream without subscribers and publications, the longest idle one of a sample; returns the number of
    /// its channel.
    pub(super) fn forget_idle(&mut self) -> Option<u32> {
        let mut idlest: Option<(u64, usize)> = None;
        let end = self.streams.end();
        for _ in 0..SAMPLE_COUNT.min(end) {
            self.hand = (self.hand + 1) % end;
            match self.streams.get(self.hand) {
                Some(stream) if !stream.is_attended && stream.kept.is_empty() => {
                    let candidate = (stream.forget_at_ms, self.hand);
                    idlest = Some(idlest.map_or(candidate, |before| before.min(candidate)));
                }
                _ => {}
            }
        }
        let id = number(idlest?.1);
        self.wheel.remove(id);
        Some(self.remove(id))
    }

    /// Forgets a stream without publications; returns the number of its channel.
    fn remove(&mut self, id: StreamId) -> u32 {
        let stream = self.streams.remove(id as usize);
        self.stream_bytes -= stream.bytes();
        self.wheel.ease();
        stream.channel
    }

    /// The next time at which [`History::expire`] has work.
    pub(super) fn next_expiry_ms(&self) -> Option<u64> {
        self.wheel.next().map(|tick| tick.saturating_mul(TICK_MS))
    }

    /// Memory of the kept publications.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory of the streams, without their publications.
    pub(super) fn stream_bytes(&self) -> usize {
        self.streams.bytes() + self.stream_bytes + self.wheel.bytes()
    }

    pub(super) fn publication(&self, key: u32) -> &Arc<Publication> {
        &self.entries[key as usize].publication
    }

    fn copy(&self, publication: &Publication, position: &Position) -> Arc<Publication> {
        let mut rare = publication.rare.clone();
        if position.offset == 1 {
            rare.get_or_insert_default().epoch = Some(Arc::clone(&position.epoch));
        }
        Arc::new(Publication {
            channel: Arc::clone(&publication.channel),
            kind: publication.kind,
            lane: 0,
            data: Shared::new(publication.data.to_vec(), &self.budget),
            is_one_line: !publication.data.contains(&b'\n') && !publication.data.contains(&b'\r'),
            info: publication.info.clone(),
            tags: publication.tags.clone(),
            seq: 0,
            offset: position.offset,
            is_emitted: false,
            is_delta: false,
            previous: None,
            rare,
        })
    }

    /// Drops at most `count_max` expired publications of a stream and returns how many it dropped.
    fn drop_expired(&mut self, id: StreamId, now_ms: u64, count_max: usize) -> usize {
        let mut count = 0;
        while count < count_max
            && !self.streams[id as usize].kept.is_empty()
            && self.deadline_ms(&self.streams[id as usize]) <= now_ms
        {
            self.drop_front(id);
            count += 1;
        }
        count
    }

    /// Drops the oldest publication of a stream; returns false when there is none.
    fn drop_front(&mut self, id: StreamId) -> bool {
        let stream = &mut self.streams[id as usize];
        let Some(&key) = stream.kept.front() else { return false };
        self.stream_bytes -= stream.bytes();
        stream.kept.pop_front();
        // The memory of a burst must not be kept for ever.
        if stream.kept.len() < stream.kept.capacity() / 4 {
            stream.kept.shrink_to(stream.kept.len() * 2);
        }
        self.stream_bytes += stream.bytes();
        let entry = self.entries.remove(key as usize);
        self.bytes -= bytes_of(&entry.publication);
        match self.entries.get_mut(entry.older as usize) {
            Some(older) => older.newer = entry.newer,
            None => self.oldest = entry.newer,
        }
        match self.entries.get_mut(entry.newer as usize) {
            Some(newer) => newer.older = entry.older,
            None => self.newest = entry.older,
        }
        true
    }

    /// The next time at which the stream's oldest publication or the stream itself expires.
    fn deadline_ms(&self, stream: &Stream) -> u64 {
        match stream.kept.front() {
            Some(&key) => stream.expires_ms.min(self.entries[key as usize].expires_ms),
            None => stream.forget_at_ms,
        }
    }

    /// Sets the wheel's deadline so that the stream is inspected in time.
    fn arm(&mut self, id: StreamId) {
        let stream = &self.streams[id as usize];
        let tick = self.deadline_ms(stream).div_ceil(TICK_MS);
        if self.wheel.deadline(id).is_none_or(|armed| armed > tick) {
            self.wheel.set(id, tick);
        }
    }

    fn new_epoch(&mut self) -> Arc<str> {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        self.epoch_count += 1;
        let mut number = [0; 10];
        number[..2].copy_from_slice(&self.home.to_le_bytes());
        number[2..].copy_from_slice(&self.epoch_count.to_le_bytes());
        let mut bits = self.seed.hash(Purpose::Epoch, &number);
        let mut epoch = String::with_capacity(EPOCH_LENGTH);
        for _ in 0..EPOCH_LENGTH {
            epoch.push(char::from(LETTERS[usize::try_from(bits % 62).unwrap_or(0)]));
            bits /= 62;
        }
        epoch.into()
    }
}

/// An index of a slab as a number of 32 bits: memory ends long before the numbers do.
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}

/// Memory of a kept publication.
fn bytes_of(publication: &Publication) -> usize {
    let Publication { data, tags, info, rare, .. } = publication;
    let rare = rare.as_ref().map_or(0, |_| heap::piece(size_of::<Rare>()));
    let tag_bytes = |(name, value): &(Box<str>, Box<str>)| heap::piece(name.len()) + heap::piece(value.len());
    let tags = heap::list::<(Box<str>, Box<str>)>(tags.len()) + tags.iter().map(tag_bytes).sum::<usize>();
    ENTRY_BYTES + Shared::bytes(data.len()) + tags + rare + info.as_ref().map_or(0, |info| info.bytes())
}

mod checks;
mod port;
#[cfg(test)]
mod tests;
