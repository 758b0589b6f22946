//! Echoes: the messages that go out, and the check that they come back whole and in order.
//!
//! The messages are prepared once, in a ring that repeats, so that any number of them in a row is one slice of
//! memory: sending costs one system call and no copy. The invariants: the length of every echo is checked, the
//! content of every short one and of each [`SAMPLED`]th long one, and any split of the stream gives the same
//! counts. Left out: sockets and time.

use super::frames;

/// Different messages in the ring; their contents differ, so that a mix-up is noticed.
const VARIANTS: usize = 4;
/// Payloads up to this size are always compared.
const SHORT_BYTES: usize = 128;
/// Of longer ones, one in so many is.
const SAMPLED: u64 = 16;

/// The stream that every connection sends: message `n` is variant `n % VARIANTS`.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    bytes: Vec<u8>,
    /// What is expected back, one per variant.
    echoes: Vec<Vec<u8>>,
    frame_bytes: usize,
    tcp: bool,
}

impl Ring {
    /// For messages of `size` bytes, at most `in_flight` sent in a row; with `tcp` the echo of a message is all of
    /// its bytes, mask and header included, else its payload.
    pub(super) fn new(size: usize, in_flight: usize, text: bool, tcp: bool) -> Self {
        let opcode = if text { frames::TEXT } else { frames::BINARY };
        let (mut bytes, mut echoes, mut frame_bytes) = (Vec::new(), Vec::new(), 0);
        for variant in 0..VARIANTS + in_flight {
            // ASCII, so that it is text too; 61 is prime to the sizes that people choose.
            let payload: Vec<u8> =
                (b'A'..b'A' + 61).cycle().skip(7 * (variant % VARIANTS)).take(size).collect();
            let start = bytes.len();
            frames::push_masked(&mut bytes, opcode, &payload);
            frame_bytes = bytes.len() - start;
            if variant < VARIANTS {
                echoes.push(if tcp { bytes[start..].to_vec() } else { payload });
            }
        }
        Self { bytes, echoes, frame_bytes, tcp }
    }

    pub(super) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// The bytes to send next, when so many have been sent and so many are due.
    pub(super) fn due(&self, sent: u64, due: usize) -> &[u8] {
        let cycle = (VARIANTS * self.frame_bytes) as u64;
        let at = usize::try_from(sent % cycle).unwrap_or(0);
        &self.bytes[at..self.bytes.len().min(at + due)]
    }

    fn echo(&self, count: u64) -> &[u8] {
        &self.echoes[usize::try_from(count % VARIANTS as u64).unwrap_or(0)]
    }
}

/// A frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
struct Current {
    opcode: u8,
    finished: bool,
    left: usize,
}

/// What one connection has heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Echoes {
    /// Echoes that are complete.
    pub(super) count: u64,
    /// Bytes of the next one that have arrived.
    at: usize,
    frame: Option<Current>,
    /// A header that has not arrived completely.
    head: Vec<u8>,
    /// Payload of a control frame.
    control: Vec<u8>,
    /// Masked answers to pings; to be sent between two messages.
    pub(super) pongs: Vec<u8>,
}

impl Echoes {
    /// Takes bytes of the server; how many echoes they complete.
    ///
    /// # Errors
    /// What is wrong with them, as the kind under which the failure is counted.
    pub(super) fn hear(&mut self, ring: &Ring, bytes: &[u8]) -> Result<u64, String> {
        let (before, mut rest) = (self.count, bytes);
        while !rest.is_empty() {
            rest = match self.frame {
                _ if ring.tcp => self.bytes(ring, rest)?,
                Some(frame) => self.frame_payload(ring, rest, frame)?,
                None => self.frame_head(ring, rest)?,
            };
        }
        Ok(self.count - before)
    }

    /// Without frames an echo ends where its length says.
    fn bytes<'b>(&mut self, ring: &Ring, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let taken = self.compare(ring, bytes)?;
        if self.at == ring.echo(self.count).len() {
            self.complete();
        }
        Ok(&bytes[taken..])
    }

    fn frame_head<'b>(&mut self, ring: &Ring, bytes: &'b [u8]) -> Result<&'b [u8], String> {
        let broken = |broken: frames::Broken| broken.cause().to_owned();
        let (head, rest) = if self.head.is_empty()
            && let Some(head) = frames::header(bytes).map_err(broken)?
        {
            (head, &bytes[head.head_bytes..])
        } else {
            self.head.push(bytes[0]);
            let Some(head) = frames::header(&self.head).map_err(broken)? else { return Ok(&bytes[1..]) };
            self.head.clear();
            (head, &bytes[1..])
        };
        let frame = Current { opcode: head.opcode, finished: head.finished, left: head.payload_bytes };
        self.frame = Some(frame);
        // An empty frame ends here: there may be no more bytes to end it.
        if frame.left == 0 { self.frame_payload(ring, rest, frame) } else { Ok(rest) }
    }

    fn frame_payload<'b>(
        &mut self,
        ring: &Ring,
        bytes: &'b [u8],
        frame: Current,
    ) -> Result<&'b [u8], String> {
        let (payload, rest) = bytes.split_at(bytes.len().min(frame.left));
        let left = frame.left - payload.len();
        self.frame = (left > 0).then_some(Current { left, ..frame });
        if !matches!(frame.opcode, frames::CONTINUATION | frames::TEXT | frames::BINARY) {
            self.control.extend_from_slice(payload);
            return if left == 0 { self.end_control(frame.opcode).map(|()| rest) } else { Ok(rest) };
        }
        if self.compare(ring, payload)? < payload.len() {
            return Err("echo: longer than what was sent".to_owned());
        }
        if left == 0 && frame.finished {
            if self.at < ring.echo(self.count).len() {
                return Err("echo: shorter than what was sent".to_owned());
            }
            self.complete();
        }
        Ok(rest)
    }

    fn end_control(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            frames::CLOSE => return Err(super::script::close_cause(&self.control)),
            frames::PING => frames::push_masked(&mut self.pongs, frames::PONG, &self.control),
            _ => {}
        }
        self.control.clear();
        Ok(())
    }

    /// Compares bytes with what the current echo still lacks, and returns how many of them belong to it.
    fn compare(&mut self, ring: &Ring, bytes: &[u8]) -> Result<usize, String> {
        let echo = ring.echo(self.count);
        let expected = &echo[self.at..];
        let taken = bytes.len().min(expected.len());
        let compared = echo.len() <= SHORT_BYTES || self.count.is_multiple_of(SAMPLED);
        if compared && bytes[..taken] != expected[..taken] {
            return Err("echo: other content than what was sent".to_owned());
        }
        self.at += taken;
        Ok(taken)
    }

    fn complete(&mut self) {
        self.at = 0;
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an echo server sends for the first `count` messages of the ring, with pings and fragments between.
    fn stream(ring: &Ring, count: u64) -> Vec<u8> {
        let mut out = Vec::new();
        for n in 0..count {
            frames::push_unmasked(&mut out, frames::PING, b"hi");
            let echo = ring.echo(n);
            if n % 3 == 0 {
                let start = out.len();
                frames::push_unmasked(&mut out, frames::BINARY, &echo[..echo.len() / 2]);
                out[start] &= 0x7f;
                frames::push_unmasked(&mut out, frames::PING, b"");
                frames::push_unmasked(&mut out, frames::CONTINUATION, &echo[echo.len() / 2..]);
            } else {
                frames::push_unmasked(&mut out, frames::BINARY, echo);
            }
        }
        out
    }

    #[test]
    fn any_split_counts_the_same_echoes() {
        for size in [1, 20, 125, 126, 300] {
            let ring = Ring::new(size, 1, false, false);
            let stream = stream(&ring, 9);
            for step in [1, 2, 3, 7, 64, stream.len()] {
                let mut echoes = Echoes::default();
                let heard: u64 = stream.chunks(step).map(|part| echoes.hear(&ring, part).unwrap()).sum();
                assert_eq!((heard, echoes.count), (9, 9), "size {size}, step {step}");
                // Nine pings with two bytes, three without.
                assert_eq!(echoes.pongs.len(), 9 * 8 + 3 * 6);
            }
        }
    }

    #[test]
    fn over_tcp_all_bytes_come_back() {
        let ring = Ring::new(300, 16, true, true);
        let sent = [ring.due(0, 16 * ring.frame_bytes()), ring.due(0, 3 * ring.frame_bytes())].concat();
        for step in [1, 100, sent.len()] {
            let mut echoes = Echoes::default();
            let heard: u64 = sent.chunks(step).map(|part| echoes.hear(&ring, part).unwrap()).sum();
            assert_eq!(heard, 19, "16 is a whole number of cycles");
        }
    }

    #[test]
    fn the_ring_is_one_endless_stream() {
        let ring = Ring::new(20, 3, false, false);
        let cycle: Vec<u8> = ring.due(0, VARIANTS * ring.frame_bytes()).to_vec();
        let endless: Vec<u8> = cycle.iter().copied().cycle().take(5 * cycle.len()).collect();
        let mut sent = 0;
        while sent + 3 * ring.frame_bytes() < endless.len() {
            let due = ring.due(sent as u64, 3 * ring.frame_bytes());
            assert_eq!(due, &endless[sent..sent + 3 * ring.frame_bytes()]);
            sent += 11;
        }
    }

    #[test]
    fn a_wrong_echo_is_noticed() {
        let ring = Ring::new(20, 1, false, false);
        let hear = |payload: &[u8]| {
            let mut out = Vec::new();
            frames::push_unmasked(&mut out, frames::BINARY, payload);
            Echoes::default().hear(&ring, &out)
        };
        let right = ring.echo(0).to_vec();
        assert_eq!(hear(&right), Ok(1));
        assert!(hear(&right[..19]).unwrap_err().contains("shorter"));
        assert!(hear(&[&right[..], b"x"].concat()).unwrap_err().contains("longer"));
        assert!(hear(ring.echo(1)).unwrap_err().contains("content"));
        let mut close = Vec::new();
        frames::push_unmasked(&mut close, frames::CLOSE, &[3, 232]);
        assert_eq!(Echoes::default().hear(&ring, &close), Err("closed by the server: 1000".to_owned()));
    }
}
