//! Endpoints without the Centrifuge protocol, which once had weaker rules than those with it.

use crate::support::peer::{TEXT, upgrade};
use crate::support::{Peer, Server};

/// Any page of the web could open a raw endpoint in its visitors' browsers, with their cookies.
#[test]
fn pages_of_other_sites_may_not_open_a_raw_endpoint() {
    let config = "[client]\ninsecure = true\nallowed_origins = [\"https://*.example\"]\n";
    let server = Server::configured(config, &["--echo", "/echo"]);
    let status = |path: &str, origin: &str| {
        let mut peer = Peer::connect(server.address);
        peer.send_bytes(upgrade(path, origin).as_bytes());
        peer.response_head().status
    };
    let own = format!("Origin: http://{}\r\n", server.address);
    for (origin, expected) in [
        // As `upgrade` names the host.
        ("Origin: http://localhost\r\n", 101),
        ("Origin: https://app.example\r\n", 101),
        ("", 101),
        (own.as_str(), 403),
        ("Origin: https://evil.test\r\n", 403),
        ("Origin: null\r\n", 403),
    ] {
        for path in ["/echo", crate::support::centrifuge::PATH] {
            assert_eq!(status(path, origin), expected, "{path} {origin}");
        }
    }
    assert_eq!(server.metric_with("throng_refused_total", "reason=\"forbidden\""), 6);
    let mut peer = Peer::connect(server.address).upgraded("/echo", "Origin: https://app.example\r\n");
    peer.send(TEXT, "hello");
    assert_eq!(peer.message(), (TEXT, b"hello".to_vec()));
}
