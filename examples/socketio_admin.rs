//! A Socket.IO application with the admin page's namespace: `cargo run --example socketio_admin -- 127.0.0.1:8000`.
//!
//! Open the page of npm's `@socket.io/admin-ui` (`ui/dist`), and log in to `http://127.0.0.1:8000` as `admin` with the
//! password `open sesame`. Clients join a room by `emit("join", room)`.

use throng::socketio::{Admit, Routes, SocketIo};
use throng::{AdminOptions, Config, Server, SocketIoOptions};

/// Every namespace is open; the data of a socket, for the page, is how many events it has sent.
fn routes() -> Routes<u32> {
    Routes::new(|_| Admit::In(0))
        .on("join", |turn, (room,): (String,)| {
            *turn.state += 1;
            turn.socket.join(&room)?;
            turn.ack(&())
        })
        .data(|events| serde_json::json!({ "events": events }))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: std::net::SocketAddr =
        std::env::args().nth(1).unwrap_or("127.0.0.1:8000".to_owned()).parse()?;
    let admin = AdminOptions {
        username: "admin".to_owned(),
        password: "open sesame".to_owned(),
        is_development: true,
        ..AdminOptions::default()
    };
    let socketio = SocketIoOptions { enabled: true, admin, ..SocketIoOptions::default() };
    // The page is of another site.
    let mut config =
        Config { listen: vec![address.into()], control: None, shards: 2, socketio, ..Config::default() };
    config.client.allowed_origins = vec!["*".to_owned()];
    let mut server = Server::start(&config, |_shard| SocketIo(routes()))?;
    server.handle_signals()?;
    println!("http://{}", server.addresses()[0]);
    println!("{}", server.wait()?);
    Ok(())
}
