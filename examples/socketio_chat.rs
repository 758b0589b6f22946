//! A chat with names and rooms, for Socket.IO clients as they are.
//!
//! `cargo run --example socketio_chat`, then connect clients with
//! `io("http://127.0.0.1:8000", { transports: ["websocket"], auth: { name: "ada" } })`. They may be on any shard.

use serde_json::Value;
use throng::socketio::{Admit, Connecting, Routes, SocketIo};
use throng::{Config, Server, SocketIoOptions};

/// The state of a socket, stored in its connection.
pub struct Guest {
    name: String,
    room: String,
}

/// Accepts a client that gives its name.
fn connect(connecting: &Connecting<'_>) -> Admit<Guest> {
    let auth: Value = serde_json::from_str(connecting.auth.unwrap_or("{}")).unwrap_or_default();
    match (connecting.namespace, auth["name"].as_str()) {
        ("/", Some(name)) => Admit::In(Guest { name: name.to_owned(), room: "lobby".to_owned() }),
        ("/", None) => Admit::out("say who you are: auth.name"),
        _ => Admit::unknown_namespace(),
    }
}

/// The events. Each shard has a table of its own, so it needs no lock.
pub fn routes() -> Routes<Guest> {
    Routes::new(connect)
        .connected(|guest, socket| {
            socket.join(&guest.room)?;
            Ok(socket.to(&guest.room).emit("came", &guest.name)?)
        })
        .on("chat message", |turn, (text,): (String,)| {
            let Guest { name, room } = &*turn.state;
            // To all of the room, the sender included, in one order for all.
            turn.socket.everyone().to(room).emit("chat message", &(name, text))?;
            turn.ack("sent")
        })
        .on("typing", |turn, ()| {
            let Guest { name, room } = &*turn.state;
            Ok(turn.socket.to(room).volatile().emit("typing", name)?)
        })
        .on("room", |turn, (room,): (String,)| {
            let before = std::mem::replace(&mut turn.state.room, room);
            let Guest { name, room } = &*turn.state;
            turn.socket.leave(&before);
            turn.socket.join(room)?;
            turn.socket.to(&before).except(room).emit("went", name)?;
            turn.socket.to(room).emit("came", name)?;
            let answer = format!("you are in {room}");
            turn.ack(&answer)
        })
        .fallback(|turn| turn.ack("there is no such event"))
        .closed(|guest, gone| {
            gone.to(&guest.room).emit("went", &guest.name).ok(); // a name is always JSON
        })
}

/// A configuration with the endpoint.
pub fn config() -> Config {
    let socketio = SocketIoOptions { enabled: true, ..SocketIoOptions::default() };
    Config { control: None, socketio, ..Config::default() }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: std::net::SocketAddr =
        std::env::args().nth(1).unwrap_or("127.0.0.1:8000".to_owned()).parse()?;
    let mut server =
        Server::start(&Config { listen: vec![address.into()], ..config() }, |_shard| SocketIo(routes()))?;
    server.handle_signals()?;
    println!("http://{}", server.addresses()[0]);
    println!("{}", server.wait()?); // until Ctrl-C; then everyone is asked to come back later
    Ok(())
}
