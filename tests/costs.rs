//! The counted memory of channels, subscriptions, presence, positions and histories matches the allocator's. One test
//! in a process of its own: no other code allocates meanwhile.

#![expect(clippy::unwrap_used, reason = "test code, also in its own small functions")]

use std::sync::Arc;

use throng::parts::base::budget::Budget;
use throng::parts::base::shared::Shared;
use throng::parts::hub::home::{Home, Joining, Limits, Member, Now, Terms};
use throng::parts::hub::local::{Local, Subscriber};
use throng::parts::hub::options::ChannelOptions;
use throng::parts::hub::{ClientInfo, DataKind, Publication};
use throng::parts::net::sys;

const CHANNEL_COUNT: u32 = 30_000;

fn home() -> Home {
    let limits = Limits {
        recovery: None,
        channels_max: usize::MAX,
        history_bytes_max: usize::MAX,
        join_leave_per_second_max: 100,
        history_meta_ttl_ms: 60_000,
        recovery_max: 100,
        waiting_max: 0,
    };
    Home::new(limits, (7.into(), 0))
}

/// A home and a shard with the same channels.
struct World {
    home: Home,
    local: Local<()>,
    infos: Vec<Arc<ClientInfo>>,
}

impl World {
    fn counted(&self) -> usize {
        let Self { home, local, infos } = self;
        home.channel_bytes()
            + home.crowd_bytes()
            + home.history_bytes()
            + local.channel_bytes()
            + local.subscriber_bytes()
            + infos.iter().map(|info| info.bytes()).sum::<usize>()
            + infos.capacity() * size_of::<Arc<ClientInfo>>()
    }

    fn fill(&mut self, options: &Arc<ChannelOptions>, name_bytes: usize, has_publications: bool) {
        let Self { home, local, infos } = self;
        let tells = options.presence || options.join_leave;
        for conn in 0..CHANNEL_COUNT {
            let name: Arc<str> = format!("{conn:0name_bytes$}").into();
            let id = local.acquire(&name);
            local.add(id, Subscriber { conn, slot: 0, format: 0, flags: 0 }, 0);
            let info = tells.then(|| {
                let [user, client] = ["a-user", "a-client-of-this-user"].map(Box::from);
                Arc::new(ClientInfo { user, client, ..ClientInfo::default() })
            });
            infos.extend(info.clone());
            let member = Member { shard: 0, conn: conn.into() };
            let joining = Joining {
                member,
                info,
                in_presence: options.presence,
                tells_join: options.join_leave,
                wants_position: options.keeps_history(),
                recover: None,
                renews: false,
            };
            home.subscribe(Now::default(), &name, options, &joining).unwrap();
            if has_publications {
                let data = Shared::new(vec![b'1'; 300], &Budget::new(usize::MAX));
                let publication = Box::new(Publication::new(name, DataKind::Json, data));
                home.publish(Now::default(), publication, options, &Terms::default()).unwrap();
            }
        }
        while home.take_membership(Now::default()).is_some() {}
        home.check_invariants();
        local.check_invariants();
    }

    fn leave(&mut self) {
        for conn in 0..CHANNEL_COUNT {
            let id = conn;
            let name = Arc::clone(self.local.name(id));
            self.local.remove(id, 0, |_, _| {});
            self.local.release(id);
            assert!(self.home.unsubscribe(Now::default(), &name, Member { shard: 0, conn: conn.into() }));
        }
        self.infos = Vec::new();
        self.home.check_invariants();
    }
}

/// Compares the counted memory with the allocations since `before`: they must agree within a twentieth.
fn assert_agrees(what: &str, counted: usize, before: usize) {
    let real = sys::allocated_bytes().unwrap() - before;
    let each = CHANNEL_COUNT as usize;
    println!("{what}: {} bytes counted for each, {} allocated", counted / each, real / each);
    assert!(counted.abs_diff(real) < real / 20 + 100_000, "{what}: {counted} counted, {real} allocated");
}

#[test]
fn what_is_counted_is_what_was_allocated() {
    if sys::allocated_bytes().is_none() {
        return;
    }
    let plain = Arc::new(ChannelOptions::default());
    let present = Arc::new(ChannelOptions { presence: true, join_leave: true, ..ChannelOptions::default() });
    let kept =
        Arc::new(ChannelOptions { history_size: 10, history_ttl_ms: 60_000, ..ChannelOptions::default() });
    for (what, options, name_bytes, has_publications) in [
        ("short names", &plain, 12, false),
        ("long names", &plain, 250, false),
        ("presence", &present, 12, false),
        ("positions", &kept, 60, false),
        ("history", &kept, 12, true),
    ] {
        let before = sys::allocated_bytes().unwrap();
        let mut world = World { home: home(), local: Local::new(), infos: Vec::new() };
        let empty = world.counted();
        world.fill(options, name_bytes, has_publications);
        assert_agrees(what, world.counted() - empty, before);
        world.leave();
        assert_agrees(&format!("{what}, when all have left"), world.counted(), before);
        let is_kept = options.keeps_history();
        assert_eq!(world.home.len(), if is_kept { CHANNEL_COUNT as usize } else { 0 });
        assert!(is_kept || world.counted() < 100_000, "{what}: {} bytes are left", world.counted());
        assert!(world.local.channel_bytes() + world.local.subscriber_bytes() < 10_000);
        // Positions are forgotten in their time, and nothing of it stays.
        for s in 0..10_000 {
            world.home.expire(Now { ms: s * 1000, unix_ms: 0 });
        }
        assert!(world.home.is_empty());
        assert_agrees(&format!("{what}, when all is forgotten"), world.counted(), before);
        assert!(world.counted() < 200_000, "{what}: {} bytes are left", world.counted());
    }
}
