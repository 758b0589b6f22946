//! The limit of connections per user, in any shards.

use serde_json::json;
use throng::parts::outside::mint;

use crate::support::centrifuge::PATH;
use crate::support::peer::TEXT;
use crate::support::{Client, Peer, Server};

const CONFIG: &str =
    "[client]\nallow_anonymous_connect_without_token = true\ntoken.hmac_secret_key = 'between us'\n";

fn token(user: &str) -> String {
    mint(b"between us", json!({"sub": user, "channels": ["news"]}).to_string().as_bytes())
}

fn user(server: &Server, name: &str) -> Client {
    Client::with_token(server.address, &token(name))
}

fn refused(server: &Server, name: &str) {
    let mut peer = Peer::open(server.address, PATH);
    peer.send(TEXT, json!({"id": 1, "connect": {"token": token(name)}}).to_string());
    peer.expect_close(3504);
}

#[test]
fn a_user_has_so_many_connections_and_no_more() {
    let server = Server::configured(&format!("{CONFIG}user_connection_limit = 3"), &["--shards", "3"]);
    let mut anns: Vec<Client> = (0..3).map(|_| user(&server, "ann")).collect();
    (0..4).for_each(|_| refused(&server, "ann"));
    assert_eq!(server.metric_with("throng_limit_exceeded_total", "limit=\"user_connections\""), 4);
    assert_eq!(server.metric("throng_subscriptions"), 3, "who is refused is not in its channels");
    // Other users have limits of their own, and anonymous clients have none.
    let _ben = user(&server, "ben");
    let anonymous: Vec<Client> = (0..5).map(|_| Client::open(server.address)).collect();
    // However it ends, the next may come: of its own accord, or closed by the server.
    anns.pop().unwrap().peer.send_close(1000);
    anns.pop().unwrap().send("no command");
    server.await_metric("throng_subscriptions", 2);
    let mut anns = [user(&server, "ann"), user(&server, "ann")];
    refused(&server, "ann");
    anns.iter_mut().for_each(Client::sync);
    drop(anonymous);
}

/// A client that leaves before its user's home has answered is not counted for ever.
#[test]
fn who_leaves_while_it_is_counted_is_taken_back() {
    let server = Server::configured(&format!("{CONFIG}user_connection_limit = 1"), &["--shards", "2"]);
    for _ in 0..50 {
        let mut peer = Peer::open(server.address, PATH);
        let connect = json!({"id": 1, "connect": {"token": token("ann")}});
        // The second frame ends the connection in the turn in which the first asks the home.
        peer.send(TEXT, connect.to_string());
        peer.send_close(1000);
    }
    server.await_metric("throng_connections", 0);
    let mut ann = user(&server, "ann");
    ann.sync();
    refused(&server, "ann");
}

#[test]
fn the_newest_connection_of_a_user_may_be_its_only_one() {
    let personal = "subscribe_to_user_personal_channel = { enabled = true, single_connection = true }";
    let server = Server::configured(&format!("{CONFIG}{personal}"), &["--shards", "3"]);
    let mut last = user(&server, "ann");
    let mut ben = user(&server, "ben");
    for _ in 0..5 {
        let newer = user(&server, "ann");
        last.expect_close(3504);
        last = newer;
    }
    last.sync();
    ben.sync();
    server.await_metric("throng_subscriptions", 4);
}
