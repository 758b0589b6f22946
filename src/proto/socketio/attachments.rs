//! The binary data of a packet, which travels beside its text.
//!
//! Invariant: attachments lie one behind the other in one allocation, and reading them copies nothing.

use smallvec::SmallVec;

use super::ATTACHMENTS_SENT_MAX;

/// The most attachments of a packet that is read, whatever is configured.
pub(super) const ATTACHMENTS_READ_MAX: usize = 64;

/// Limits of a packet with attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttachmentLimits {
    /// Attachments of one packet; at most 64.
    pub count_max: usize,
    /// Bytes of all attachments and of the packet's text.
    pub bytes_max: usize,
}

impl Default for AttachmentLimits {
    /// The reference's: 10 attachments, and a megabyte, which is its limit for one of them.
    fn default() -> Self {
        Self { count_max: ATTACHMENTS_SENT_MAX, bytes_max: 1_000_000 }
    }
}

/// The attachments of a packet, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attachments<'a>(View<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View<'a> {
    /// The data one behind the other, and where each ends.
    Many(&'a [u8], &'a [usize]),
    One(&'a [u8]),
}

impl Default for View<'_> {
    fn default() -> Self {
        Self::Many(&[], &[])
    }
}

impl<'a> Attachments<'a> {
    /// No attachments.
    pub const NONE: Self = Self(View::Many(&[], &[]));

    /// One attachment.
    pub fn one(data: &'a [u8]) -> Self {
        Self(View::One(data))
    }

    /// The number of attachments.
    pub fn count(self) -> usize {
        match self.0 {
            View::Many(_, ends) => ends.len(),
            View::One(_) => 1,
        }
    }

    /// The attachment with this number, from 0.
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        match self.0 {
            View::One(data) => (index == 0).then_some(data),
            View::Many(data, ends) => {
                let start = index.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
                data.get(start..*ends.get(index)?)
            }
        }
    }

    /// One after the other.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.count()).map_while(move |index| self.get(index))
    }
}

/// Owned attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachmentStore {
    data: Vec<u8>,
    ends: SmallVec<[usize; 4]>,
}

impl AttachmentStore {
    /// Adds one.
    pub fn push(&mut self, data: &[u8]) {
        self.data.extend_from_slice(data);
        self.ends.push(self.data.len());
    }

    /// Adds the bytes that `write` appends, unless it returns `None`.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        write(&mut self.data)?;
        self.ends.push(self.data.len());
        Some(())
    }

    /// Keeps the first `count` of them.
    pub(super) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.data.truncate(self.ends.last().copied().unwrap_or_default());
    }

    /// All of them.
    pub fn get(&self) -> Attachments<'_> {
        Attachments(View::Many(&self.data, &self.ends))
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.data.len()
    }

    /// Bytes that it holds beside its own size.
    pub fn held_bytes(&self) -> usize {
        let ends = if self.ends.spilled() { self.ends.capacity() * size_of::<usize>() } else { 0 };
        self.data.capacity() + ends
    }
}
