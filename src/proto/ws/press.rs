//! Compressed messages (RFC 7692 §7.2): a compressor and an inflater that all connections of a shard share.
//!
//! A window of 32 KiB per connection would be more than all else that a connection costs. So nothing is remembered
//! from one message to the next: a [`Press`] is used by whoever has a message at hand, and forgets it. What is held of a
//! message that is still arriving is compressed and counted as such; it is inflated when it is whole, and no further
//! than a message may be long. Left out: who may compress, see [`super::extension`]; the bit in the frame's header,
//! see [`super::frame`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::extension::Deflate;
use super::{Kind, Payload, Violation, frame};

/// What a compressed message ends with, and what is not sent (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// [`TAIL`] and a last empty block. A stream ends behind it exactly if the message ended where a block did: so one
/// that was cut is noticed.
const PROBE: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
/// Room for what is inflated grows by at least this much, in bytes, up to what a message may have.
const CHUNK_BYTES: usize = 16 << 10;
/// Buffers give their memory back beyond this size, in bytes.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// How far back a stream refers at most, in bytes (RFC 1951 §2).
const WINDOW_BYTES: usize = 32 << 10;
/// Blocks of a message that claim to be its last (§7.2.3.4). Each costs a window's worth of copying, so a message of
/// nothing else would cost a lot of CPU time.
const ENDS_MAX: usize = 64;

/// What to compress, and how hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 1 (fast) to 9 (small).
    pub level: u32,
    /// Messages of fewer bytes are sent as they are.
    pub bytes_min: usize,
}

/// What was done, for the counters; in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Payloads before they were compressed.
    pub plain_bytes: u64,
    /// Those payloads after they were compressed.
    pub packed_bytes: u64,
    /// Payloads of clients, after they were inflated.
    pub inflated_bytes: u64,
}

/// The compressor and decompressor of one shard. What it needs (some 40 KiB to inflate, some 300 KiB to compress) is made when it is
/// first used, and for as long as there is one.
#[derive(Debug)]
pub struct Press {
    options: Option<Options>,
    inflate: Option<Decompress>,
    wide: Option<Compress>,
    narrow: Option<Compress>,
    inflated: Vec<u8>,
    packed: Vec<u8>,
    tally: Tally,
}

impl Press {
    /// With `None`, nothing is negotiated.
    pub fn new(options: Option<Options>) -> Self {
        let (inflated, packed, tally) = (Vec::new(), Vec::new(), Tally::default());
        Self { options, inflate: None, wide: None, narrow: None, inflated, packed, tally }
    }

    /// Whether offers of compression are taken.
    pub fn is_on(&self) -> bool {
        self.options.is_some()
    }

    /// What was done since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Appends one data message as a single frame, compressed where that was negotiated and helps.
    pub fn put_frame(&mut self, out: &mut Vec<u8>, kind: Kind, payload: &[u8], deflate: Deflate) {
        match self.pack(payload, deflate) {
            Some(packed) => frame::put_packed_frame(out, kind, packed),
            None => frame::put_frame(out, kind, payload),
        }
    }

    /// Makes one message of what was appended to `out` since `start`, as [`frame::wrap`] does, compressed where that was
    /// negotiated and helps.
    pub fn wrap(&mut self, out: &mut Vec<u8>, start: usize, kind: Kind, deflate: Deflate) {
        match self.pack(&out[start..], deflate) {
            Some(packed) => {
                out.truncate(start);
                frame::put_packed_frame(out, kind, packed);
            }
            None => frame::wrap(out, start, kind),
        }
    }

    /// The payload compressed (§7.2.1); `None` where it may not be, is not worth it, or would not be smaller.
    fn pack(&mut self, payload: &[u8], deflate: Deflate) -> Option<&[u8]> {
        let Options { level, bytes_min } = self.options?;
        if payload.len() < bytes_min.max(1) {
            return None;
        }
        let (slot, window_bits) = match deflate {
            Deflate::Off => return None,
            Deflate::Wide => (&mut self.wide, 15),
            Deflate::Narrow => (&mut self.narrow, 9),
        };
        let make = || Compress::new_with_window_bits(Compression::new(level), false, window_bits);
        let compress = slot.get_or_insert_with(make);
        compress.reset();
        self.packed.clear();
        self.packed.shrink_to(KEPT_BYTES_MAX);
        self.packed.reserve(packed_bytes_max(payload.len()));
        let status = compress.compress_vec(payload, &mut self.packed, FlushCompress::Sync);
        // With all of the room used there may be more to come.
        let has_room = self.packed.len() < self.packed.capacity();
        let is_whole =
            matches!(status, Ok(Status::Ok)) && compress.total_in() == payload.len() as u64 && has_room;
        if !is_whole {
            // zlib-rs 0.6.8 keeps something of a stream that was cut short beyond its reset, so there is none.
            *slot = None;
            return None;
        }
        let packed = self.packed.strip_suffix(&TAIL).filter(|packed| packed.len() < payload.len())?;
        self.tally.plain_bytes += payload.len() as u64;
        self.tally.packed_bytes += packed.len() as u64;
        Some(packed)
    }

    /// The message that a whole compressed payload stands for (§7.2.2), of at most `bytes_max`. The bytes are to be given
    /// back by [`Press::reclaim`].
    ///
    /// # Errors
    /// [`Violation::Deflate`] when it is no message compressed by the rules; [`Violation::MessageTooBig`] as soon as more
    /// than `bytes_max` came out.
    pub(super) fn inflate(&mut self, payload: &[u8], bytes_max: usize) -> Result<Vec<u8>, Violation> {
        let mut out = std::mem::take(&mut self.inflated);
        out.clear();
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        let outcome = inflate_message(inflate, payload, bytes_max, &mut out);
        self.tally.inflated_bytes += out.len() as u64;
        match outcome {
            Ok(()) => Ok(out),
            Err(violation) => {
                self.reclaim(Payload::Inflated(out));
                Err(violation)
            }
        }
    }

    /// Takes the bytes of a message that is done with, for the next.
    pub fn reclaim(&mut self, payload: Payload<'_>) {
        if let Payload::Inflated(bytes) = payload
            && bytes.capacity() <= KEPT_BYTES_MAX
        {
            self.inflated = bytes;
        }
    }
}

/// What a payload can become at most: in fixed codes, nine bits for each byte, beside what begins and ends blocks. Always
/// having so much room means that every stream is written to its end.
fn packed_bytes_max(payload_bytes: usize) -> usize {
    payload_bytes + payload_bytes / 7 + 64
}

/// Appends what `payload` stands for to an empty `out`.
fn inflate_message(
    inflate: &mut Decompress,
    payload: &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<(), Violation> {
    inflate.reset(false);
    let mut rest = payload;
    for _ in 0..ENDS_MAX {
        if !run(inflate, &mut rest, bytes_max, out)? {
            // An empty payload is what compressors make of nothing that do not begin anew with each message.
            let mut probe = &PROBE[..];
            let is_end = payload.is_empty() || run(inflate, &mut probe, bytes_max, out)? && probe.is_empty();
            return if is_end { Ok(()) } else { Err(Violation::Deflate) };
        }
        // A block said that it is the last (§7.2.3.4). What follows it begins anew, but may refer to what was there.
        if rest.is_empty() {
            return Ok(());
        }
        inflate.reset(false);
        let window = &out[out.len().saturating_sub(WINDOW_BYTES)..];
        if !window.is_empty() {
            inflate.set_dictionary(window).map_err(|_| Violation::Deflate)?;
        }
    }
    Err(Violation::Deflate)
}

/// Inflates until `input` is used up; true when the stream ended before or there.
fn run(
    inflate: &mut Decompress,
    input: &mut &[u8],
    bytes_max: usize,
    out: &mut Vec<u8>,
) -> Result<bool, Violation> {
    loop {
        if out.len() > bytes_max {
            return Err(Violation::MessageTooBig);
        }
        if out.len() == out.capacity() {
            // One byte more than is allowed shows that there is more than is allowed.
            out.reserve_exact(CHUNK_BYTES.max(out.len()).min(bytes_max.saturating_add(1) - out.len()));
        }
        let before = inflate.total_in();
        let status =
            inflate.decompress_vec(input, out, FlushDecompress::None).map_err(|_| Violation::Deflate)?;
        let used = usize::try_from(inflate.total_in() - before).unwrap_or(usize::MAX).min(input.len());
        *input = &input[used..];
        match status {
            Status::StreamEnd if out.len() > bytes_max => return Err(Violation::MessageTooBig),
            Status::StreamEnd => return Ok(true),
            // There was room to the end: it stopped for want of input.
            Status::Ok | Status::BufError if out.len() < out.capacity() => {
                return if input.is_empty() { Ok(false) } else { Err(Violation::Deflate) };
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests;
