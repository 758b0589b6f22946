// Connections break while publishers go on: the official client ends with every offset once, in order, or is told that it
// has missed something.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import WebSocket from "ws";
import { Door, LIMIT, Peer, TRANSPORTS, endAll, event, numbers, until } from "./harness.mjs";
import { Server } from "./server.mjs";

const OPEN = { allow_subscribe_for_anonymous: true, allow_subscribe_for_client: true, allow_history_for_anonymous: true };
const STREAM = { ...OPEN, history_size: 5000, history_ttl: "300s", presence: true };
const CONFIG = {
  client: { allow_anonymous_connect_without_token: true, recovery_max_publication_limit: 5000 },
  sse: { enabled: true },
  http_stream: { enabled: true },
  http_api: { key: "key" },
  channel: {
    namespaces: [
      { name: "stream", ...STREAM, force_recovery: true, allowed_delta_types: ["fossil"], allow_tags_filter: true },
      { name: "short", ...STREAM, force_recovery: true, history_size: 5 },
      { name: "asked", ...STREAM, allow_positioning: true, allow_recovery: true },
      { name: "last", ...STREAM, force_recovery: true, force_recovery_mode: "cache", history_size: 1 },
      { name: "numbered", ...STREAM, force_recovery: true, allow_channel_compaction: true, join_leave: true },
    ],
  },
};

let server;
before(async () => (server = await Server.start([], undefined, CONFIG)));
after(async () => server.kill());
afterEach(endAll);

const [WEBSOCKET] = TRANSPORTS;

/** Publishes the numbers one after the other; resolves when the last is done. */
async function publish(channel, values, more = {}) {
  for (const data of values) await server.api("publish", { channel, data, ...more });
}

/** Has the server break a connection, with a code after which the client comes back; resolves when it is back. */
async function interrupt(peer, code = 3001) {
  const back = event(peer.client, "connected");
  const gone = event(peer.client, "connecting");
  await server.api("disconnect", { user: "", client: peer.id, disconnect: { code, reason: "come back" } });
  assert.deepEqual(await gone, { code, reason: "come back" });
  await back;
}

async function connected(transport, options) {
  const peer = new Peer(server, transport, options);
  await peer.connect();
  return peer;
}

const gotAll = (subscription, count) =>
  until(() => subscription.received.length >= count, () => `${subscription.received.length} of ${count} publications`);

const SCENARIOS = {
  "what was published while a client was away arrives once, in order": async (transport, channel) => {
    const peer = await connected(transport);
    const subscription = await peer.subscribe(channel);
    const [{ positioned, recoverable, wasRecovering, recovered }] = subscription.contexts;
    assert.deepEqual([positioned, recoverable, wasRecovering, recovered], [true, true, false, false]);
    await publish(channel, numbers(1, 5));
    await gotAll(subscription, 5);
    peer.client.disconnect();
    await publish(channel, numbers(6, 60));
    const again = event(subscription, "subscribed");
    peer.client.connect();
    const context = await again;
    assert.deepEqual([context.wasRecovering, context.recovered, context.hasRecoveredPublications], [true, true, true]);
    assert.equal(context.streamPosition.epoch, subscription.contexts[0].streamPosition.epoch);
    await publish(channel, [61]);
    await gotAll(subscription, 61);
    assert.deepEqual(subscription.received, numbers(1, 61));
    assert.deepEqual(subscription.offsets, numbers(1, 61));
  },

  "a connection that the server breaks is resumed": async (transport, channel) => {
    const peer = await connected(transport);
    const subscription = await peer.subscribe(channel);
    for (const [round, code] of [3000, 3011, 3499, 4000, 4499].entries()) {
      await publish(channel, [2 * round + 1]);
      await Promise.all([interrupt(peer, code), publish(channel, [2 * round + 2])]);
    }
    await gotAll(subscription, 10);
    assert.deepEqual(subscription.offsets, numbers(1, 10));
    assert.ok(subscription.contexts.slice(1).every(({ wasRecovering, recovered }) => wasRecovering && recovered));
  },

  "recovery keeps tags, filters and deltas": async (transport, channel) => {
    const peers = [await connected(transport), await connected(transport)];
    const tagsFilter = { key: "parity", cmp: "eq", val: "even" };
    const [even, deltas] = [await peers[0].subscribe(channel, { tagsFilter }), await peers[1].subscribe(channel, { delta: "fossil" })];
    const values = numbers(1, 40).map((n) => ({ n, always: "the same text, ".repeat(5) }));
    const send = (data) =>
      server.api("publish", { channel, data, delta: true, tags: { parity: data.n % 2 ? "odd" : "even" } });
    for (const value of values.slice(0, 10)) await send(value);
    await gotAll(deltas, 10);
    await gotAll(even, 5);
    for (const peer of peers) peer.client.disconnect();
    for (const value of values.slice(10, 30)) await send(value);
    const back = [even, deltas].map((subscription) => event(subscription, "subscribed"));
    for (const peer of peers) peer.client.connect();
    for (const context of await Promise.all(back)) assert.ok(context.recovered);
    for (const value of values.slice(30)) await send(value);
    await gotAll(deltas, 40);
    await gotAll(even, 20);
    assert.deepEqual(deltas.received, values);
    assert.deepEqual(even.received, values.filter(({ n }) => n % 2 === 0));
    assert.ok(even.publications.every(({ tags }) => tags.parity === "even"));
  },

  "clients that break off at random while publishers never stop end with every offset once": async (transport, channel) => {
    const door = await Door.to(server);
    const peers = numbers(1, 6).map((n) => new Peer(n % 2 ? door : server, transport));
    await Promise.all(peers.map((peer) => peer.connect()));
    const subscriptions = await Promise.all(peers.map((peer) => peer.subscribe(channel)));
    const total = 400;
    let published = 0;
    const publishing = Promise.all(
      numbers(1, 2).map(async () => {
        while (published < total) {
          published += 1;
          await server.api("publish", { channel, data: { text: "ü".repeat(published % 50) } });
        }
      }),
    );
    // Chosen by a generator, so that runs are alike.
    let seed = 7;
    const random = (below) => (seed = (seed * 48271) % 0x7fffffff) % below;
    const breaks = [
      () => door.cut(),
      (peer) => server.api("disconnect", { user: "", client: peer.id, disconnect: { code: 3001, reason: "again" } }),
      (peer) => (peer.client.disconnect(), peer.client.connect()),
      (peer) => peer.client.disconnect(),
    ];
    while (published < total) {
      await breaks[random(breaks.length)](peers[random(peers.length)]);
      await new Promise((done) => setTimeout(done, random(25)));
      for (const { client } of peers) if (random(3) === 0) client.connect();
    }
    await publishing;
    for (const { client } of peers) client.connect();
    for (const [n, subscription] of subscriptions.entries()) {
      await gotAll(subscription, published);
      assert.deepEqual(subscription.offsets, numbers(1, published), `subscriber ${n}`);
    }
    const resumed = subscriptions.flatMap(({ contexts }) => contexts.slice(1));
    assert.ok(resumed.length >= peers.length, `only ${resumed.length} times somebody came back`);
    assert.ok(resumed.every(({ recovered }) => recovered));
  },
};

for (const transport of TRANSPORTS) {
  describe(transport.name, () => {
    let count = 0;
    for (const [name, scenario] of Object.entries(SCENARIOS)) {
      const channel = `stream:${transport.name.replaceAll(/\W/g, "")}-${++count}`;
      test(name, LIMIT, () => scenario(transport, channel));
    }
  });
}

describe("what recovery means", () => {
  test("who missed more than there is in the history is told so", LIMIT, async () => {
    const channel = "short:missed";
    const peer = await connected(WEBSOCKET);
    const subscription = await peer.subscribe(channel);
    await publish(channel, [1]);
    await gotAll(subscription, 1);
    peer.client.disconnect();
    await publish(channel, numbers(2, 10));
    const again = event(subscription, "subscribed");
    peer.client.connect();
    const context = await again;
    assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
    assert.equal(context.streamPosition.offset, 10);
    await publish(channel, [11]);
    await until(() => subscription.received.includes(11), () => `${subscription.received}`);
    // What the history still holds may come, but nothing twice.
    assert.equal(new Set(subscription.offsets).size, subscription.offsets.length);
  });

  test("without recovery by the namespace, a client may ask for it", LIMIT, async () => {
    const peer = await connected(WEBSOCKET);
    const terms = [{}, { positioned: true }, { recoverable: true }];
    for (const [n, options] of terms.entries()) {
      const subscription = await peer.subscribe(`asked:${n}`, options);
      const [{ positioned, recoverable, streamPosition }] = subscription.contexts;
      assert.deepEqual([positioned, recoverable, streamPosition !== undefined], [n > 0, n > 1, n > 0]);
    }
  });

  test("a client begins where it was told to", LIMIT, async () => {
    const channel = "stream:since";
    await publish(channel, numbers(1, 10));
    const { epoch } = await server.api("history", { channel });
    const peer = await connected(WEBSOCKET);
    const subscription = await peer.subscribe(channel, { since: { offset: 7, epoch } });
    await gotAll(subscription, 3);
    assert.deepEqual(subscription.received, [8, 9, 10]);
    assert.equal(subscription.contexts[0].recovered, true);
  });

  test("a client that loads its state itself is sent back to do so when its position is gone", LIMIT, async () => {
    const channel = "short:state";
    let loaded = 0;
    const getState = async () => {
      loaded += 1;
      const { offset, epoch } = await server.api("history", { channel });
      return { offset, epoch };
    };
    const peer = await connected(WEBSOCKET);
    const subscription = await peer.subscribe(channel, { getState });
    assert.equal(loaded, 1);
    await publish(channel, [1, 2]);
    await gotAll(subscription, 2);
    peer.client.disconnect();
    await publish(channel, numbers(3, 20));
    const again = event(subscription, "subscribed");
    peer.client.connect();
    await again;
    assert.equal(loaded, 2, "error 112 made it load its state again");
    await publish(channel, [21]);
    await gotAll(subscription, 3);
    assert.deepEqual(subscription.received, [1, 2, 21]);
  });

  test("a channel that keeps the last publication gives it to whoever comes", LIMIT, async () => {
    const channel = "last:value";
    await publish(channel, [1, 2, 3]);
    const peer = await connected(WEBSOCKET);
    const subscription = await peer.subscribe(channel, { since: { offset: 0, epoch: "" } });
    await gotAll(subscription, 1);
    assert.deepEqual(subscription.received, [3]);
    peer.client.disconnect();
    await publish(channel, [4, 5]);
    const again = event(subscription, "subscribed");
    peer.client.connect();
    assert.equal((await again).recovered, true);
    await publish(channel, [6]);
    await gotAll(subscription, 3);
    assert.deepEqual(subscription.received, [3, 5, 6]);
  });

  test("channels go by numbers where the namespace allows it", LIMIT, async () => {
    // Over JSON: over Protobuf, version 5.8.0 of the client does not find the subscription of a number.
    const lines = [];
    class Tapped extends WebSocket {
      constructor(...how) {
        super(...how);
        this.addEventListener("message", ({ data }) => lines.push(...data.split("\n")));
      }
    }
    const peer = await connected(WEBSOCKET, { websocket: Tapped });
    const subscriptions = await Promise.all(numbers(1, 3).map((n) => peer.subscribe(`numbered:with-a-long-name-${n}`)));
    for (const [n, { channel }] of subscriptions.entries()) await publish(channel, [n]);
    for (const subscription of subscriptions) await gotAll(subscription, 1);
    assert.deepEqual(subscriptions.map(({ received }) => received), [[0], [1], [2]]);
    const pushes = lines.filter((line) => line.includes('"pub"')).map((line) => JSON.parse(line).push);
    assert.ok(pushes.every(({ id, channel }) => id > 0 && channel === undefined), JSON.stringify(pushes));
    assert.equal(new Set(pushes.map(({ id }) => id)).size, 3);
  });

  test("a server that starts anew says that it recovered nothing", LIMIT, async () => {
    const first = await Server.start([], undefined, CONFIG);
    let second;
    try {
      const peers = TRANSPORTS.map((transport) => new Peer(first, transport));
      await Promise.all(peers.map((peer) => peer.connect()));
      const subscriptions = await Promise.all(peers.map((peer) => peer.subscribe("stream:restart")));
      for (const n of numbers(1, 5)) await first.api("publish", { channel: "stream:restart", data: n });
      for (const subscription of subscriptions) await gotAll(subscription, 5);
      await first.kill();
      second = await Server.start([], first.port, CONFIG);
      await until(() => subscriptions.every(({ contexts }) => contexts.length === 2), () => "everybody is back");
      for (const n of numbers(6, 9)) await second.api("publish", { channel: "stream:restart", data: n });
      for (const subscription of subscriptions) {
        await gotAll(subscription, 9);
        assert.deepEqual(subscription.received, numbers(1, 9), "nothing twice");
        const [before, context] = subscription.contexts;
        assert.deepEqual([context.wasRecovering, context.recovered], [true, false]);
        assert.notEqual(context.streamPosition.epoch, before.streamPosition.epoch);
      }
    } finally {
      await first.kill();
      await second?.kill();
    }
  });
});
