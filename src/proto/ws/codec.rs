//! The decoder of client frames into messages.
//!
//! Between two messages a [`Decoder`] is a null pointer. Input that spans several reads (a header cut in two, a frame
//! still arriving, a fragmented message) is kept in a box that exists only that long. Whole messages are unmasked in
//! place and returned without a copy.
//!
//! Every rule is checked at the first byte that violates it: a header's rules once it is complete, UTF-8 inside a
//! frame that is still arriving; a compressed message's once it is complete and inflated. Left out: the contents of
//! messages, and the states of the closing handshake.

use std::ops::{Deref, DerefMut};

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::frame::{ClientHeader, read_header, read_usual_header};
use super::press::Press;
use super::utf8::{Invalid, Utf8};
use super::{Violation, mask};

/// Longest header of a client's frame, in bytes: two, eight of length, four of mask (RFC 6455 §5.2).
const HEADER_BYTES_MAX: usize = 14;
/// Largest payload of a control frame, in bytes (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// Capacity reserved for a frame without any payload bytes yet: its length is only a claim. For a frame that has
/// begun to arrive, as much again as is there.
const RESERVE_BYTES_MIN: usize = 1 << 10;
/// Fragments permitted for a message of any size. Beyond it, one for every [`FRAGMENT_BYTES_MIN`] bytes: a client
/// that sends one byte or none per fragment costs the work of a header for each.
const FRAGMENTS_FREE: usize = 1024;
/// See [`FRAGMENTS_FREE`]. Smaller than any reasonable fragment.
const FRAGMENT_BYTES_MIN: usize = 16;

/// Text or binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, validated.
    Text,
    /// Any bytes.
    Binary,
}

/// Maximum sizes, beyond which a connection fails with 1009, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Payload of one frame.
    pub frame_bytes_max: usize,
    /// All fragments of a message together; of a compressed message, both compressed and inflated.
    pub message_bytes_max: usize,
}

/// Unmasked payload: in the input, or assembled from pieces.
#[derive(Debug)]
pub enum Payload<'a> {
    /// A part of the input.
    Slice(&'a mut [u8]),
    /// Assembled from several reads or fragments.
    Assembled(Vec<u8>),
    /// Inflated. The bytes belong to a press, to be returned by [`Press::reclaim`].
    Inflated(Vec<u8>),
}

impl Deref for Payload<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Assembled(bytes) | Self::Inflated(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Assembled(bytes) | Self::Inflated(bytes) => bytes,
        }
    }
}

/// A client's message.
#[derive(Debug)]
pub enum Event<'a> {
    /// A whole data message; text is UTF-8.
    Message(Kind, Payload<'a>),
    /// A ping, to be answered by a pong with the same payload.
    Ping(Payload<'a>),
    /// An answer to a ping, or unsolicited.
    Pong,
    /// The client's close frame, with its code if it had one; input after it is ignored.
    Close(Option<u16>),
}

/// A partly received frame.
#[derive(Debug)]
struct Frame {
    header: FrameHeader,
    key: [u8; 4],
    length: u64,
    taken: u64,
    /// Payload of a control frame; data goes to the message.
    control: Vec<u8>,
}

/// A decoder's state within a message or frame.
#[derive(Debug, Default)]
struct Partial {
    head: [u8; HEADER_BYTES_MAX],
    head_len: u8,
    frame: Option<Frame>,
    /// Kind of the current message, between its first frame and its last.
    kind: Option<Kind>,
    /// Whether that message is compressed.
    is_packed: bool,
    message: Vec<u8>,
    utf8: Utf8,
    /// Number of frames of the current message.
    fragment_count: usize,
    /// The time at which it began, by [`Decoder::note_time`]; 0 for not yet known.
    began_ms: u64,
}

/// The receiving half of one connection.
#[derive(Debug, Default)]
pub struct Decoder(Option<Box<Partial>>);

impl Decoder {
    /// Takes the next event from the front of `input`; `Ok(None)` once all of it is consumed without one. `press`
    /// inflates compressed messages, where they were negotiated.
    ///
    /// # Errors
    /// The violated rule; the connection must then be failed with [`Violation::close_code`].
    #[inline]
    pub fn next<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        limits: &Limits,
        mut press: Option<&mut Press>,
    ) -> Result<Option<Event<'a>>, Violation> {
        loop {
            if self.0.is_none() {
                if let Some(event) = next_usual(input, limits)? {
                    return Ok(Some(event));
                }
                match self.next_whole(input, limits, press.as_deref_mut())? {
                    Whole::Event(event) => return Ok(Some(event)),
                    Whole::Nothing => return Ok(None),
                    Whole::Partial => {}
                }
            }
            let Some(partial) = self.0.as_deref_mut() else { continue };
            if partial.frame.is_none() && !partial.take_header(input, limits, press.is_some())? {
                return Ok(None);
            }
            let Some(frame) = partial.take_payload(input)? else { return Ok(None) };
            let event = partial.complete(frame, limits, press.as_deref_mut())?;
            if partial.is_over() {
                self.0 = None;
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Bytes of an incomplete message.
    pub fn held_bytes(&self) -> usize {
        self.0.as_deref().map_or(0, |partial| size_of::<Partial>() + partial.message.capacity())
    }

    /// Sets the starting time of a message or frame that has none; called when all input is consumed.
    #[inline]
    pub fn note_time(&mut self, now_ms: u64) {
        if let Some(partial) = self.0.as_deref_mut()
            && partial.began_ms == 0
        {
            partial.began_ms = now_ms;
        }
    }

    /// Restarts the time of a message or frame in progress.
    pub fn restart(&mut self, now_ms: u64) {
        if let Some(partial) = self.0.as_deref_mut() {
            partial.began_ms = now_ms;
        }
    }

    /// The time at which the incomplete frame or message began, by [`Decoder::note_time`].
    pub fn partial_since_ms(&self) -> Option<u64> {
        self.0.as_deref().map(|partial| partial.began_ms)
    }

    /// Takes an event while no message is in progress, possibly a whole unfragmented frame in the input.
    fn next_whole<'a>(
        &mut self,
        input: &mut &'a mut [u8],
        limits: &Limits,
        press: Option<&mut Press>,
    ) -> Result<Whole<'a>, Violation> {
        if input.is_empty() {
            return Ok(Whole::Nothing);
        }
        let Some(ClientHeader { header, key, length, header_len }) = read_header(input)? else {
            self.0 = Some(Box::default());
            return Ok(Whole::Partial);
        };
        check_header(&header, length, None, 0, limits, press.is_some())?;
        let arrived = input.len() - header_len;
        if (arrived as u64) < length || !header.is_final {
            self.0 = Some(Box::default());
            return Ok(Whole::Partial);
        }
        let (frame, rest) =
            std::mem::take(input).split_at_mut(header_len + usize::try_from(length).unwrap_or(arrived));
        *input = rest;
        let payload = &mut frame[header_len..];
        mask::apply(payload, key, 0);
        let kind = match header.opcode {
            OpCode::Data(Data::Text) => Kind::Text,
            OpCode::Data(_) => Kind::Binary,
            OpCode::Control(control) => {
                return control_event(control, Payload::Slice(payload)).map(Whole::Event);
            }
        };
        match press.filter(|_| header.rsv1) {
            Some(press) => inflated_message(kind, payload, limits, press).map(Whole::Event),
            None => whole_message(kind, payload).map(Whole::Event),
        }
    }
}

/// The common case, on the fast path: a whole data message in one frame with a short header.
#[inline]
fn next_usual<'a>(input: &mut &'a mut [u8], limits: &Limits) -> Result<Option<Event<'a>>, Violation> {
    let Some((kind, key, length, header_len)) = read_usual_header(input) else { return Ok(None) };
    let frame_len = header_len + length;
    if frame_len > input.len() || length > limits.frame_bytes_max || length > limits.message_bytes_max {
        return Ok(None);
    }
    let (frame, rest) = std::mem::take(input).split_at_mut(frame_len);
    *input = rest;
    let payload = &mut frame[header_len..];
    mask::apply(payload, key, 0);
    whole_message(kind, payload).map(Some)
}

/// An unmasked message in one piece.
#[inline]
fn whole_message(kind: Kind, payload: &mut [u8]) -> Result<Event<'_>, Violation> {
    if kind == Kind::Text {
        simdutf8::basic::from_utf8(payload).map_err(|_| Violation::Utf8)?;
    }
    Ok(Event::Message(kind, Payload::Slice(payload)))
}

/// An unmasked compressed message that is whole.
fn inflated_message(
    kind: Kind,
    packed: &[u8],
    limits: &Limits,
    press: &mut Press,
) -> Result<Event<'static>, Violation> {
    let payload = press.inflate(packed, limits.message_bytes_max)?;
    if kind == Kind::Text && simdutf8::basic::from_utf8(&payload).is_err() {
        press.reclaim(Payload::Inflated(payload));
        return Err(Violation::Utf8);
    }
    Ok(Event::Message(kind, Payload::Inflated(payload)))
}

enum Whole<'a> {
    Event(Event<'a>),
    Nothing,
    Partial,
}

impl Partial {
    /// Takes the bytes of a header; returns false while it is incomplete.
    fn take_header(
        &mut self,
        input: &mut &mut [u8],
        limits: &Limits,
        takes_packed: bool,
    ) -> Result<bool, Violation> {
        let held = usize::from(self.head_len);
        let fresh = input.len().min(HEADER_BYTES_MAX - held);
        self.head[held..held + fresh].copy_from_slice(&input[..fresh]);
        let Some(read) = read_header(&self.head[..held + fresh])? else {
            skip(input, fresh);
            self.head_len = u8::try_from(held + fresh).unwrap_or(u8::MAX);
            return Ok(false);
        };
        let ClientHeader { header, key, length, header_len } = read;
        check_header(&header, length, self.kind, self.message.len(), limits, takes_packed)?;
        skip(input, header_len - held);
        self.head_len = 0;
        if let OpCode::Data(data) = header.opcode {
            let kind = match data {
                Data::Text => Some(Kind::Text),
                Data::Binary => Some(Kind::Binary),
                Data::Continue | Data::Reserved(_) => None,
            };
            if kind.is_some() {
                (self.kind, self.is_packed) = (kind, header.rsv1);
            }
            self.fragment_count += 1;
            if self.fragment_count > FRAGMENTS_FREE + self.message.len() / FRAGMENT_BYTES_MIN {
                return Err(Violation::FragmentsTooMany);
            }
            let likely = input.len().saturating_mul(2).max(RESERVE_BYTES_MIN);
            self.message.reserve(usize::try_from(length).unwrap_or(usize::MAX).min(likely));
        }
        self.frame = Some(Frame { header, key, length, taken: 0, control: Vec::new() });
        Ok(true)
    }

    /// Takes payload of the current frame; returns the frame when it is complete.
    fn take_payload(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        let Some(frame) = self.frame.as_mut() else { return Ok(None) };
        let missing = usize::try_from(frame.length - frame.taken).unwrap_or(usize::MAX);
        let arrived = missing.min(input.len());
        let (bytes, rest) = std::mem::take(input).split_at_mut(arrived);
        *input = rest;
        mask::apply(bytes, frame.key, usize::try_from(frame.taken % 4).unwrap_or(0));
        frame.taken += bytes.len() as u64;
        if matches!(frame.header.opcode, OpCode::Control(_)) {
            frame.control.extend_from_slice(bytes);
        } else {
            if self.kind == Some(Kind::Text) && !self.is_packed {
                self.utf8.feed(bytes).map_err(|Invalid| Violation::Utf8)?;
            }
            self.message.extend_from_slice(bytes);
        }
        if frame.taken < frame.length { Ok(None) } else { Ok(self.frame.take()) }
    }

    /// The event of a complete frame, if there is one.
    fn complete(
        &mut self,
        frame: Frame,
        limits: &Limits,
        press: Option<&mut Press>,
    ) -> Result<Option<Event<'static>>, Violation> {
        if let OpCode::Control(control) = frame.header.opcode {
            return control_event(control, Payload::Assembled(frame.control)).map(Some);
        }
        if !frame.header.is_final {
            return Ok(None);
        }
        let kind = self.kind.take().ok_or(Violation::ContinuationUnexpected)?;
        if let Some(press) = press.filter(|_| self.is_packed) {
            return inflated_message(kind, &self.message, limits, press).map(Some);
        }
        if kind == Kind::Text {
            self.utf8.finish().map_err(|Invalid| Violation::Utf8)?;
        }
        self.utf8 = Utf8::default();
        Ok(Some(Event::Message(kind, Payload::Assembled(std::mem::take(&mut self.message)))))
    }

    fn is_over(&self) -> bool {
        self.kind.is_none() && self.frame.is_none() && self.head_len == 0
    }
}

fn skip(input: &mut &mut [u8], count: usize) {
    *input = &mut std::mem::take(input)[count..];
}

/// Checks the rules about a header by itself or by its place. `kind` is that of the current message, of which `held`
/// bytes have arrived.
#[inline]
fn check_header(
    header: &FrameHeader,
    length: u64,
    kind: Option<Kind>,
    held: usize,
    limits: &Limits,
    takes_packed: bool,
) -> Result<(), Violation> {
    // RFC 7692 §6: RSV1 is set on the first frame of a compressed message, and on no other.
    let may_be_packed = takes_packed && matches!(header.opcode, OpCode::Data(Data::Text | Data::Binary));
    if header.rsv1 && !may_be_packed || header.rsv2 || header.rsv3 {
        return Err(Violation::ReservedBit);
    }
    match header.opcode {
        OpCode::Control(_) if !header.is_final => return Err(Violation::ControlFragmented),
        OpCode::Control(_) if length > CONTROL_BYTES_MAX => return Err(Violation::ControlTooLong),
        OpCode::Control(_) => return Ok(()),
        OpCode::Data(Data::Continue) if kind.is_none() => return Err(Violation::ContinuationUnexpected),
        OpCode::Data(Data::Text | Data::Binary) if kind.is_some() => {
            return Err(Violation::ContinuationExpected);
        }
        OpCode::Data(_) => {}
    }
    if length > limits.frame_bytes_max as u64 {
        return Err(Violation::FrameTooBig);
    }
    if length.saturating_add(held as u64) > limits.message_bytes_max as u64 {
        return Err(Violation::MessageTooBig);
    }
    Ok(())
}

fn control_event(control: Control, payload: Payload<'_>) -> Result<Event<'_>, Violation> {
    match control {
        Control::Ping => Ok(Event::Ping(payload)),
        Control::Pong => Ok(Event::Pong),
        Control::Close => close_event(&payload).map(Event::Close),
        Control::Reserved(_) => Err(Violation::ReservedOpcode),
    }
}

/// The code of a close frame's body (RFC 6455 §5.5.1, §7.4).
fn close_event(body: &[u8]) -> Result<Option<u16>, Violation> {
    let (code, reason) = match body {
        [] => return Ok(None),
        [_] => return Err(Violation::CloseBody),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !super::is_close_code(code) {
        return Err(Violation::CloseCode);
    }
    std::str::from_utf8(reason).map_err(|_| Violation::CloseReasonUtf8)?;
    Ok(Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { frame_bytes_max: 1000, message_bytes_max: 2000 };

    /// A client's masked frame with this first byte.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let key = [0x12, 0x34, 0x56, 0x78];
        let mut out = vec![first];
        match payload.len() {
            len @ 0..126 => out.push(0x80 | u8::try_from(len).unwrap()),
            len @ 126..65_536 => {
                out.push(0x80 | 126);
                out.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                out.push(0x80 | 127);
                out.extend((len as u64).to_be_bytes());
            }
        }
        out.extend(key);
        out.extend(payload.iter().enumerate().map(|(i, b)| b ^ key[i % 4]));
        out
    }

    /// The events of the pieces, as text, and the violation that ended them.
    fn run(pieces: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for piece in pieces {
            let mut bytes = piece.to_vec();
            let mut input = &mut bytes[..];
            loop {
                match decoder.next(&mut input, &LIMITS, None) {
                    Ok(None) => break,
                    Ok(Some(Event::Message(kind, payload))) => {
                        events.push(format!("{kind:?} {:?}", &*payload))
                    }
                    Ok(Some(Event::Ping(payload))) => events.push(format!("Ping {:?}", &*payload)),
                    Ok(Some(other)) => events.push(format!("{other:?}")),
                    Err(violation) => return (events, Some(violation)),
                }
            }
        }
        if events.len() == 1 && decoder.0.is_none() {
            assert_eq!(decoder.held_bytes(), 0);
        }
        (events, None)
    }

    fn violation(bytes: &[u8]) -> Option<Violation> {
        run(&[bytes]).1
    }

    #[test]
    fn fragments_without_bytes_are_bounded_and_fragments_with_some_are_not() {
        let flood = |payload: &[u8], count: usize| {
            let mut bytes = frame(0x02, payload);
            (1..count).for_each(|_| bytes.extend(frame(0x00, payload)));
            violation(&bytes)
        };
        assert_eq!(flood(b"", FRAGMENTS_FREE), None);
        assert_eq!(flood(b"", FRAGMENTS_FREE + 1), Some(Violation::FragmentsTooMany));
        assert_eq!(flood(b"x", 1200), Some(Violation::FragmentsTooMany));
        // Control frames between fragments do not count, and a new message starts a new count.
        let parts = [frame(0x02, b""), frame(0x89, b"")].concat();
        let ended = [parts, frame(0x00, b"").repeat(FRAGMENTS_FREE - 2), frame(0x80, b"x")].concat();
        assert_eq!(violation(&ended.repeat(3)), None);
        let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20 };
        let mut bytes = frame(0x02, &[0; 16]);
        (0..20_000).for_each(|_| bytes.extend(frame(0x00, &[0; 16])));
        let mut input = &mut bytes[..];
        assert!(matches!(Decoder::default().next(&mut input, &limits, None), Ok(None)));
    }

    #[test]
    fn a_length_that_is_only_claimed_reserves_next_to_nothing() {
        let limits = Limits { frame_bytes_max: 1 << 30, message_bytes_max: 1 << 30 };
        let mut decoder = Decoder::default();
        let mut bytes = vec![0x82, 0xff];
        bytes.extend((1u64 << 29).to_be_bytes());
        bytes.extend([0; 4]);
        let mut input = &mut bytes[..];
        assert!(matches!(decoder.next(&mut input, &limits, None), Ok(None)));
        assert!(decoder.held_bytes() < 2 * RESERVE_BYTES_MIN, "{}", decoder.held_bytes());
        assert_eq!(decoder.partial_since_ms(), Some(0));
        decoder.note_time(7);
        decoder.note_time(9);
        assert_eq!(decoder.partial_since_ms(), Some(7));
        decoder.restart(11);
        assert_eq!(decoder.partial_since_ms(), Some(11));
    }

    #[test]
    fn between_messages_a_decoder_is_a_null_pointer() {
        assert_eq!(size_of::<Decoder>(), 8);
        let mut decoder = Decoder::default();
        let mut bytes = [frame(0x01, b"a"), frame(0x80, b"b"), frame(0x82, b"c")].concat();
        let (mut first, mut rest) = bytes.split_at_mut(9);
        assert!(decoder.next(&mut first, &LIMITS, None).unwrap().is_none());
        assert!(decoder.held_bytes() > 0);
        assert!(
            matches!(decoder.next(&mut rest, &LIMITS, None), Ok(Some(Event::Message(Kind::Text, p))) if &*p == b"ab")
        );
        assert!(decoder.0.is_none());
        assert!(matches!(decoder.next(&mut rest, &LIMITS, None), Ok(Some(Event::Message(..)))));
        assert!(decoder.0.is_none() && rest.is_empty());
    }

    #[test]
    fn each_rule_has_its_violation() {
        let long = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        let loose = [&[0x82, 0xfe, 0, 5, 0, 0, 0, 0][..], b"hello"].concat();
        for (bytes, expected) in [
            (frame(0xc2, b""), Violation::ReservedBit),
            (frame(0x83, b""), Violation::ReservedOpcode),
            (frame(0x8b, b""), Violation::ReservedOpcode),
            (vec![0x82, 0x05], Violation::Unmasked),
            (vec![0x82, 0x7e], Violation::Unmasked),
            (vec![0x83, 0x7e, 0, 200], Violation::Unmasked),
            (loose, Violation::LengthForm),
            (long.to_vec(), Violation::LengthForm),
            (frame(0x09, b""), Violation::ControlFragmented),
            (frame(0x89, &[0; 126]), Violation::ControlTooLong),
            (frame(0x80, b""), Violation::ContinuationUnexpected),
            ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), Violation::ContinuationExpected),
            (frame(0x81, b"\xff"), Violation::Utf8),
            (frame(0x81, b"\xce"), Violation::Utf8),
            (frame(0x88, b"\x03"), Violation::CloseBody),
            (frame(0x88, &1005u16.to_be_bytes()), Violation::CloseCode),
            (frame(0x88, &999u16.to_be_bytes()), Violation::CloseCode),
            (frame(0x88, b"\x03\xe8\xff"), Violation::CloseReasonUtf8),
            (frame(0x82, &[0; 1001]), Violation::FrameTooBig),
            (
                [frame(0x02, &[0; 1000]), frame(0x00, &[0; 1000]), frame(0x80, b"x")].concat(),
                Violation::MessageTooBig,
            ),
        ] {
            assert_eq!(violation(&bytes), Some(expected), "{bytes:x?}");
        }
    }

    #[test]
    fn invalid_text_fails_inside_a_frame_that_is_still_arriving() {
        let whole = frame(0x81, b"ok\xf4\x90 and much more that never comes");
        assert_eq!(run(&[&whole[..9]]), (vec![], None));
        assert_eq!(run(&[&whole[..10]]).1, Some(Violation::Utf8));
    }

    #[test]
    fn control_frames_may_stand_between_fragments() {
        let bytes =
            [frame(0x01, b"a\xce"), frame(0x89, b"?"), frame(0x80, b"\xba"), frame(0x88, b"")].concat();
        let expected = ["Ping [63]", "Text [97, 206, 186]", "Close(None)"];
        assert_eq!(run(&[&bytes]), (expected.map(str::to_owned).to_vec(), None));
    }

    fn any_frames() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            8 => proptest::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
            1 => any::<u8>(),
        ];
        let payload = prop_oneof![
            ".{0,8}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..200)
        ];
        proptest::collection::vec((first, payload), 0..12)
            .prop_map(|frames| frames.iter().flat_map(|(first, payload)| frame(*first, payload)).collect())
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(bytes in any_frames(), cuts in proptest::collection::vec(0..40usize, 0..40)) {
            let whole = run(&[&bytes]);
            let mut pieces = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts {
                let (head, tail) = rest.split_at(cut.min(rest.len()));
                pieces.push(head);
                rest = tail;
            }
            pieces.push(rest);
            prop_assert_eq!(run(&pieces), whole.clone());
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(run(&each), whole);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            run(&[&bytes]);
        }
    }
}
