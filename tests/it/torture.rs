//! Nothing is lost: clients that drop at any time and reconnect have all publications, once and in order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, Server};

const CLIENTS: usize = 200;
const PUBLISHERS: usize = 4;
/// Publications of each publisher.
const EACH: usize = 400;
const TOTAL: u64 = (PUBLISHERS * EACH) as u64;
/// Threads that the clients share.
const HANDS: usize = 8;
const CHANNEL: &str = "all:torture";

const CONFIG: &str = r#"
[[channel.namespaces]]
name = "all"
history_size = 10000
history_ttl = "1h"
force_recovery = true
allow_subscribe_for_anonymous = true
allow_publish_for_anonymous = true
allow_subscribe_for_client = true
allow_publish_for_client = true

[client]
recovery_max_publication_limit = 100000
allow_anonymous_connect_without_token = true
"#;

/// A client with changing connections.
struct Device {
    client: Option<Client>,
    epoch: String,
    offset: u64,
    /// The last received number of each publisher.
    heard: [u64; PUBLISHERS],
    random: u64,
    drops: usize,
}

impl Device {
    fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        Self { client: None, epoch: String::new(), offset: 0, heard: [0; PUBLISHERS], random, drops: 0 }
    }

    fn chance(&mut self, one_of: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.is_multiple_of(one_of)
    }

    /// The next publication: each offset once, each publisher's in order.
    fn hear(&mut self, publication: &Value) {
        assert_eq!(publication["offset"], self.offset + 1, "a gap or a repetition");
        self.offset += 1;
        let by = usize::try_from(publication["data"][0].as_u64().unwrap()).unwrap();
        assert_eq!(publication["data"][1], self.heard[by] + 1, "publisher {by}");
        self.heard[by] += 1;
    }

    /// Connects, to any shard that the kernel chooses, and recovers from its position.
    fn come(&mut self, address: SocketAddr) {
        let mut client = Client::open(address);
        let mut command = json!({"channel": CHANNEL});
        let is_back = !self.epoch.is_empty();
        if is_back {
            command["recover"] = true.into();
            command["epoch"] = self.epoch.as_str().into();
            command["offset"] = self.offset.into();
        }
        let reply = client.request(json!({"subscribe": command}));
        let result = &reply["subscribe"];
        assert_eq!(result["recovered"] == true, is_back, "{reply}");
        if !is_back {
            assert_eq!(result["offset"].as_u64().unwrap_or(0), 0, "who came first has missed nothing");
            self.epoch = result["epoch"].as_str().unwrap().to_owned();
        }
        assert_eq!(result["epoch"], self.epoch.as_str());
        for publication in result["publications"].as_array().into_iter().flatten() {
            self.hear(publication);
        }
        self.client = Some(client);
    }

    /// Receives the next publication, or drops the connection before it.
    fn live(&mut self, address: SocketAddr) {
        if self.chance(60) {
            self.client = None;
            self.drops += 1;
        }
        if self.client.is_none() {
            return self.come(address);
        }
        let publication = self.client.as_mut().unwrap().push("pub");
        self.hear(&publication["pub"]);
    }
}

/// Sends all its publications, many at a time, and reads the replies.
fn publish(address: SocketAddr, by: usize) {
    let mut peer = Client::open(address);
    for n in 1..=EACH {
        assert_eq!(peer.publish(CHANNEL, json!([by, n])), Ok(()));
    }
}

#[test]
fn every_client_ends_with_every_publication_once_and_in_order_however_often_it_drops() {
    let folder = std::env::temp_dir().join(format!("throng-torture-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("throng.toml");
    std::fs::write(&file, CONFIG).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]);
    let address = server.address;
    let ready = std::sync::Barrier::new(HANDS + PUBLISHERS);
    let drops = AtomicUsize::new(0);
    thread::scope(|scope| {
        for by in 0..PUBLISHERS {
            let ready = &ready;
            scope.spawn(move || {
                ready.wait();
                publish(address, by);
            });
        }
        for hand in 0..HANDS {
            let (ready, drops) = (&ready, &drops);
            scope.spawn(move || {
                let mut devices: VecDeque<Device> =
                    (0..CLIENTS / HANDS).map(|n| Device::new((hand * CLIENTS + n) as u64 + 1)).collect();
                devices.iter_mut().for_each(|device| device.come(address));
                ready.wait();
                // In turn, so that each is behind most of the time.
                while let Some(mut device) = devices.pop_front() {
                    if device.offset < TOTAL {
                        device.live(address);
                        devices.push_back(device);
                        continue;
                    }
                    assert_eq!(device.heard, [EACH as u64; PUBLISHERS]);
                    drops.fetch_add(device.drops, Relaxed);
                }
            });
        }
    });
    assert!(drops.load(Relaxed) > CLIENTS, "{drops:?} drops");
    std::fs::remove_dir_all(&folder).ok();
}
