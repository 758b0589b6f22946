//! The handshake of TLS: any bytes to a server that waits for its clients.

use std::sync::OnceLock;

use throng::parts::tls::{Acceptor, Fault, Hot, Schedules};

use super::{cut, sealer};

/// All that a server says to one client that does not get in: a certificate and what goes with it.
const SAID_BYTES_MAX: usize = 8 << 10;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const ILLEGAL_PARAMETER: u8 = 47;

/// A client's view of a handshake's result.
#[derive(Debug, PartialEq)]
struct Outcome {
    fault: Option<Fault>,
    /// Kinds and lengths of records.
    said: Vec<(u8, usize)>,
}

/// The first bytes say how the rest is cut.
///
/// # Panics
/// When something does not hold that must.
pub fn tls_handshake(data: &[u8]) {
    static CONFIG: OnceLock<rustls::ServerConfig> = OnceLock::new();
    let Some((plan, hello)) = data.split_first_chunk::<3>() else { return };
    let acceptor = Acceptor::new(CONFIG.get_or_init(|| sealer::server().0));
    let whole = run(&acceptor, &[hello]);
    assert_eq!(run(&acceptor, &cut(hello, plan)), whole, "however it is cut");
}

fn run(acceptor: &Acceptor, pieces: &[&[u8]]) -> Outcome {
    let (mut link, mut schedules) = (acceptor.accept(), Schedules::default());
    let mut said = Vec::new();
    let mut take = |piece: &[u8], said: &mut Vec<u8>| {
        let mut input = vec![0; link.held_bytes() + piece.len()];
        let held = link.unhold(&mut input);
        input[held..].copy_from_slice(piece);
        let received = link.receive(Hot { schedules: &mut schedules, id: 1 }, &mut input, said)?;
        assert!(received.plain.is_empty() && received.opened.is_none(), "nobody has keys");
        link.hold(&input[received.consumed..]);
        assert!(link.held_bytes() <= input.len() && !link.is_open());
        Ok::<_, Fault>(received.consumed)
    };
    let fault = pieces.iter().try_for_each(|piece| take(piece, &mut said).map(drop)).err();
    assert!(said.len() <= SAID_BYTES_MAX, "{} bytes", said.len());
    if fault.is_some() {
        let before = said.len();
        let more = [HANDSHAKE, 3, 1, 0, 1, 1];
        assert_eq!(take(&more, &mut said), Ok(more.len()), "what comes behind an error is not looked at");
        assert_eq!((said.len(), link.held_bytes()), (before, 0), "nor answered, nor kept");
    }
    let told = said.last().copied();
    let said = records(&said);
    let last = said.last().copied();
    // In the clear, or sealed as all is that follows a server's hello of TLS 1.3: two bytes, their kind, and the tag.
    let has_alert = matches!(last, Some((ALERT, 2) | (DATA, 19)));
    match &fault {
        None | Some(Fault::Closed | Fault::Alert(_)) => assert!(!has_alert, "{fault:?} {said:?}"),
        // A peer that gives up has the last word, but for how bad it is: there are two levels.
        Some(Fault::Handshake(error)) if matches!(**error, rustls::Error::AlertReceived(_)) => {
            assert!(last != Some((ALERT, 2)) || told == Some(ILLEGAL_PARAMETER), "{fault:?} {said:?}");
        }
        Some(_) => assert!(has_alert, "{fault:?} {said:?}"),
    }
    Outcome { fault, said }
}

/// Kinds and lengths of whole records.
fn records(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut records = Vec::new();
    while let Some((&[kind, 3, 3, high, low], rest)) = bytes.split_first_chunk() {
        assert!((20..24).contains(&kind));
        let length = usize::from(u16::from_be_bytes([high, low]));
        records.push((kind, length));
        bytes = rest.get(length..).expect("all of a record");
    }
    assert!(bytes.is_empty(), "nothing but records: {}", bytes.escape_ascii());
    records
}
