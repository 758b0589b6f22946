//! A chat with presence, history, and recovery of missed messages, over the Centrifuge protocol. It needs no code
//! for messages: channels and their options are enough.
//!
//! `cargo run --example chat`, then open `http://127.0.0.1:8000/` twice. The server serves `examples/chat.html`
//! there; any Centrifuge client can connect, too. Every client that reaches the server may read and write every
//! room: to restrict that, give clients tokens (`Config::outside`) and remove the word `anonymous`.

use std::collections::HashMap;
use std::sync::Arc;

use throng::{ChannelOptions, ClientOptions, Config, Namespaces, NoHandler, Server};

/// Channels `chat:…` are rooms; no other channels exist.
pub fn config() -> Config {
    let room = ChannelOptions {
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        history_size: 100,
        history_ttl_ms: 10 * 60 * 1000,
        force_recovery: true,
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_subscriber: true,
        allow_publish_for_anonymous: true,
        allow_presence_for_subscriber: true,
        allow_presence_for_anonymous: true,
        ..ChannelOptions::default()
    };
    let named = HashMap::from([("chat".to_owned(), Arc::new(room))]);
    Config {
        control: None,
        client: ClientOptions { allow_anonymous_connect_without_token: true, ..ClientOptions::default() },
        namespaces: Arc::new(Namespaces { named, ..Namespaces::default() }),
        page: Some(include_str!("chat.html")),
        ..Config::default()
    }
}

fn main() -> std::io::Result<()> {
    let mut server = Server::start(&config(), |_shard| NoHandler)?;
    server.handle_signals()?;
    println!("http://{}/", server.addresses()[0]);
    println!("{}", server.wait()?); // until Ctrl-C; then clients are asked to come back later
    Ok(())
}
