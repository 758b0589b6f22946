//! Compression of messages (RFC 7692 §7.2): a compressor and a decompressor shared by all connections of a shard.
//!
//! A window of 32 KiB per connection would exceed all other memory of a connection. So no state is kept between
//! messages: a [`Press`] serves one message at a time, and forgets it. An incomplete message is kept and counted in
//! compressed form; it is inflated when it is complete, up to the maximum length of a message. Left out: the
//! permission to compress, see [`super::extension`]; the bit in the frame's header, see [`super::frame`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::extension::Deflate;
use super::{Kind, Payload, Violation, frame};

/// End of a compressed message, which is not transmitted (§7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// [`TAIL`] and a last empty block. A stream ends behind it exactly if the message ended at a block boundary: so a
/// truncated message is detected.
const PROBE: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
/// Minimum growth of the output buffer of an inflation, in bytes, up to the maximum length of a message.
const CHUNK_BYTES: usize = 16 << 10;
/// Size beyond which buffers are freed after use, in bytes.
const KEPT_BYTES_MAX: usize = 256 << 10;
/// Maximum distance of a reference in a stream, in bytes (RFC 1951 §2).
const WINDOW_BYTES: usize = 32 << 10;
/// Maximum of blocks of a message that are marked as the last (§7.2.3.4). Each costs the copy of a window, so a
/// message of many such blocks would cost a lot of CPU time.
const ENDS_MAX: usize = 64;

/// Compression settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// 1 (fast) to 9 (small).
    pub level: u32,
    /// Messages of fewer bytes are sent uncompressed.
    pub bytes_min: usize,
}

/// Byte counts of the work, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Payloads before compression.
    pub plain_bytes: u64,
    /// Those payloads after compression.
    pub packed_bytes: u64,
    /// Payloads of clients after decompression.
    pub inflated_bytes: u64,
}

/// The compressor and decompressor of one shard. Their memory (some 40 KiB to inflate, some 300 KiB to compress) is
/// allocated at first use, and kept.
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
    /// Makes a press; with `None`, compression is never negotiated.
    pub fn new(options: Option<Options>) -> Self {
        let (inflated, packed, tally) = (Vec::new(), Vec::new(), Tally::default());
        Self { options, inflate: None, wide: None, narrow: None, inflated, packed, tally }
    }

    /// Whether offers of compression are accepted.
    pub fn is_on(&self) -> bool {
        self.options.is_some()
    }

    /// The byte counts since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Appends one data message as a single frame, compressed where that was negotiated and makes it shorter.
    pub fn put_frame(&mut self, out: &mut Vec<u8>, kind: Kind, payload: &[u8], deflate: Deflate) {
        match self.pack(payload, deflate) {
            Some(packed) => frame::put_packed_frame(out, kind, packed),
            None => frame::put_frame(out, kind, payload),
        }
    }

    /// Makes one message of the bytes appended to `out` since `start`, as [`frame::wrap`] does, compressed where that
    /// was negotiated and makes it shorter.
    pub fn wrap(&mut self, out: &mut Vec<u8>, start: usize, kind: Kind, deflate: Deflate) {
        match self.pack(&out[start..], deflate) {
            Some(packed) => {
                out.truncate(start);
                frame::put_packed_frame(out, kind, packed);
            }
            None => frame::wrap(out, start, kind),
        }
    }

    /// The compressed payload (§7.2.1); `None` where compression is not permitted, not worthwhile, or would not make
    /// it shorter.
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
        // A full buffer may mean more output.
        let has_room = self.packed.len() < self.packed.capacity();
        let is_whole =
            matches!(status, Ok(Status::Ok)) && compress.total_in() == payload.len() as u64 && has_room;
        if !is_whole {
            // zlib-rs 0.6.8 keeps state of an aborted stream beyond its reset, so it is dropped instead.
            *slot = None;
            return None;
        }
        let packed = self.packed.strip_suffix(&TAIL).filter(|packed| packed.len() < payload.len())?;
        self.tally.plain_bytes += payload.len() as u64;
        self.tally.packed_bytes += packed.len() as u64;
        Some(packed)
    }

    /// Inflates a complete compressed payload (§7.2.2) into a message of at most `bytes_max`. The bytes are to be
    /// returned by [`Press::reclaim`].
    ///
    /// # Errors
    /// [`Violation::Deflate`] when it is not a valid compressed message; [`Violation::MessageTooBig`] as soon as more
    /// than `bytes_max` bytes came out.
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

    /// Takes back the bytes of a processed message, for the next one.
    pub fn reclaim(&mut self, payload: Payload<'_>) {
        if let Payload::Inflated(bytes) = payload
            && bytes.capacity() <= KEPT_BYTES_MAX
        {
            self.inflated = bytes;
        }
    }
}

/// Maximum size of a compressed payload: in fixed codes, nine bits for each byte, beside the beginnings and ends of
/// blocks. With that much room every stream is written to its end.
fn packed_bytes_max(payload_bytes: usize) -> usize {
    payload_bytes + payload_bytes / 7 + 64
}

/// Appends the inflated `payload` to an empty `out`.
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
            // Compressors with context takeover turn an empty message into an empty payload.
            let mut probe = &PROBE[..];
            let is_end = payload.is_empty() || run(inflate, &mut probe, bytes_max, out)? && probe.is_empty();
            return if is_end { Ok(()) } else { Err(Violation::Deflate) };
        }
        // A block was marked as the last (§7.2.3.4). The rest is a new stream, which may refer to earlier output.
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

/// Inflates until `input` is consumed; returns true when the stream ended before or there.
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
            // One byte beyond the limit shows that the limit is exceeded.
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
            // The buffer was not full: the input is consumed.
            Status::Ok | Status::BufError if out.len() < out.capacity() => {
                return if input.is_empty() { Ok(false) } else { Err(Violation::Deflate) };
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests;
