// Who may do what, as the official client meets it: tokens of connections and subscriptions, and what the server API says.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { LIMIT, Peer, TRANSPORTS, endAll, event, numbers, until } from "./harness.mjs";
import { Server, token } from "./server.mjs";

const SECRET = "a secret of these tests";
const CONFIG = {
  // The protocol's times to live are whole seconds: a client may ask for a new token up to a second after its own was over.
  client: { token: { hmac_secret_key: SECRET }, expired_close_delay: "5s", expired_sub_close_delay: "5s" },
  sse: { enabled: true },
  http_stream: { enabled: true },
  http_api: { key: "key" },
  channel: {
    without_namespace: { allow_subscribe_for_client: true, presence: true, allow_presence_for_subscriber: true, allow_user_limited_channels: true },
    namespaces: [
      { name: "closed" },
      { name: "read", allow_subscribe_for_client: true },
      { name: "stream", history_size: 100, history_ttl: "60s", force_recovery: true, allow_subscribe_for_client: true },
    ],
  },
};
const [WEBSOCKET] = TRANSPORTS;

let server;
before(async () => (server = await Server.start([], undefined, CONFIG)));
after(async () => {
  endAll();
  await server.kill();
});

// Much of this is waiting for tokens to run out.
const AT_ONCE = { concurrency: 8 };

const nowSeconds = () => Math.floor(Date.now() / 1000);
const sign = (claims) => token(SECRET, claims);
const code = async (context) => (await context).code;

describe("tokens of connections", AT_ONCE, () => {
  for (const transport of TRANSPORTS) {
    test(`one that is good lets in, and tells who it is, over ${transport.name}`, LIMIT, async () => {
      const peer = new Peer(server, transport, { token: sign({ sub: "ann", info: { name: "Ann" }, exp: nowSeconds() + 600 }) });
      await peer.connect();
      const subscription = await peer.subscribe(`news-${transport.name}`);
      const { clients } = await subscription.presence();
      const { user, connInfo } = clients[peer.id];
      assert.deepEqual([user, peer.decode(connInfo)], ["ann", { name: "Ann" }]);
    });

    test(`one that somebody else signed ends it for good, over ${transport.name}`, LIMIT, async () => {
      const peer = new Peer(server, transport, { token: token("another secret", { sub: "ann" }) });
      const ended = event(peer.client, "disconnected");
      peer.client.connect();
      assert.deepEqual((({ code, reason }) => [code, reason])(await ended), [3500, "invalid token"]);
    });

    test(`one that is over is replaced by the next, over ${transport.name}`, LIMIT, async () => {
      const tokens = [sign({ sub: "ann", exp: nowSeconds() - 10 }), sign({ sub: "ann", exp: nowSeconds() + 600 })];
      const peer = new Peer(server, transport, { getToken: async () => tokens.shift() });
      await peer.connect();
      assert.equal(tokens.length, 0);
    });
  }

  test("one that runs out is prolonged by the refresh hook, or not", LIMIT, async () => {
    const asked = [];
    const backend = createServer(async (request, response) => {
      const { user, transport } = JSON.parse((await request.toArray()).join(""));
      asked.push([user, transport]);
      response.end(JSON.stringify({ result: user === "ann" ? { expire_at: nowSeconds() + 600 } : { expired: true } }));
    });
    await new Promise((done) => backend.listen(0, "127.0.0.1", done));
    const endpoint = `http://127.0.0.1:${backend.address().port}/refresh`;
    const hooked = await Server.start([], undefined, { ...CONFIG, client: { ...CONFIG.client, proxy: { refresh: { enabled: true, endpoint } } } });
    try {
      let tokens = 0;
      const getToken = async () => (tokens++, sign({ sub: "bob", exp: nowSeconds() + 600 }));
      const [ann, bob] = ["ann", "bob"].map((sub) => new Peer(hooked, WEBSOCKET, { token: sign({ sub, exp: nowSeconds() + 2 }), getToken }));
      await Promise.all([ann.connect(), bob.connect()]);
      const [lost, ended] = [[], event(bob.client, "connecting")];
      ann.client.on("connecting", (context) => lost.push(context.code));
      assert.equal(await code(ended), 3005);
      await until(() => asked.length === 2, () => "both are asked about");
      const subscription = await ann.subscribe("news-refreshed");
      assert.equal(subscription.state, "subscribed");
      assert.deepEqual([asked.sort(), lost], [[["ann", "websocket"], ["bob", "websocket"]], []]);
      assert.ok(tokens <= 1, "only who was let go asks for a token");
    } finally {
      await hooked.kill();
      backend.close();
    }
  });

  test("nobody comes in without one", LIMIT, async () => {
    const peer = new Peer(server, WEBSOCKET);
    const ended = event(peer.client, "disconnected");
    peer.client.connect();
    assert.equal(await code(ended), 3501);
  });

  test("one that runs out is replaced in time, and the connection lives on", LIMIT, async () => {
    let asked = 0;
    const getToken = async () => ((asked += 1), sign({ sub: "ann", exp: nowSeconds() + 2 }));
    const peers = TRANSPORTS.map((transport) => new Peer(server, transport, { getToken }));
    await Promise.all(peers.map((peer) => peer.connect()));
    let lost = 0;
    for (const { client } of peers) client.on("connecting", () => (lost += 1));
    await until(() => asked >= 3 * peers.length, () => `asked for ${asked} tokens`);
    assert.equal(lost, 0);
    const subscriptions = await Promise.all(peers.map((peer) => peer.subscribe("still-there")));
    assert.equal(Object.keys((await subscriptions[0].presence()).clients).length, peers.length);
  });

  test("one that is over when it comes has its client come back with the next", LIMIT, async () => {
    const lives = [2, -5, 600];
    const getToken = async () => sign({ sub: "ann", exp: nowSeconds() + lives.shift() });
    const peer = new Peer(server, WEBSOCKET, { getToken });
    await peer.connect();
    const lost = event(peer.client, "connecting");
    const back = event(peer.client, "connected");
    assert.equal(await code(lost), 3005);
    await back;
    assert.deepEqual(lives, []);
  });

  test("a client without a source of tokens gives up when its own is over", LIMIT, async () => {
    const peer = new Peer(server, WEBSOCKET, { token: sign({ sub: "ann", exp: nowSeconds() + 2 }) });
    const ended = event(peer.client, "disconnected");
    await peer.connect();
    // By its own decision: the reply to connect told it when.
    assert.deepEqual((({ code, reason }) => [code, reason])(await ended), [1, "unauthorized"]);
  });

  test("throng token signs one", LIMIT, async () => {
    const environment = { ...process.env, THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY: SECRET };
    const minted = execFileSync(process.env.THRONG_BIN, ["token", "--user", "42"], { env: environment, encoding: "utf8" });
    const peer = new Peer(server, WEBSOCKET, { token: minted.trim() });
    await peer.connect();
    const subscription = await peer.subscribe("minted");
    assert.equal((await subscription.presence()).clients[peer.id].user, "42");
  });
});

describe("permissions", AT_ONCE, () => {
  const ann = async (claims = {}) => {
    const peer = new Peer(server, WEBSOCKET, { token: sign({ sub: "ann", ...claims }) });
    await peer.connect();
    return peer;
  };
  const refusal = async (subscription) => {
    const ended = event(subscription, "unsubscribed");
    subscription.subscribe();
    return code(ended);
  };

  test("what a namespace does not allow is refused", LIMIT, async () => {
    const peer = await ann();
    assert.equal(await refusal(peer.channel("closed:one")), 103);
    assert.equal(await refusal(peer.channel("nowhere:one")), 102);
    assert.equal(await refusal(peer.channel("$private")), 103);
    await peer.subscribe("read:one");
    await assert.rejects(peer.publish("read:one", 1), { code: 103 });
    await assert.rejects(peer.client.presence("somewhere"), { code: 103 });
  });

  test("a channel that names its users is for them", LIMIT, async () => {
    const peer = await ann();
    await peer.subscribe("dialog#ann,bob");
    assert.equal(await refusal(peer.channel("dialog#bob")), 103);
  });

  test("capabilities of the token allow more", LIMIT, async () => {
    const peer = await ann({ caps: [{ channels: ["closed:*"], match: "wildcard", allow: ["sub", "pub"] }] });
    const subscription = await peer.subscribe("closed:one");
    await peer.publish("closed:one", 1);
    await until(() => subscription.received.length === 1, () => "the publication");
  });

  test("a subscription's token opens its channel, for its user, until it is over", LIMIT, async () => {
    const peer = await ann();
    const own = { sub: "ann", channel: "$private", info: { role: "guest" } };
    const subscription = await peer.subscribe("$private", { token: sign(own) });
    const { clients } = await subscription.presence();
    assert.deepEqual(clients[peer.id].chanInfo, { role: "guest" });
    let asked = 0;
    const getToken = async () => sign({ ...own, channel: "$late", exp: nowSeconds() + (asked++ ? 600 : -5) });
    await peer.subscribe("$late", { getToken });
    assert.equal(asked, 2, "the first was over");
    for (const wrong of [{ ...own, sub: "bob" }, { ...own, channel: "$other" }]) {
      const thief = await ann();
      const ended = event(thief.client, "disconnected");
      thief.channel("$private", { token: sign(wrong) }).subscribe();
      assert.equal(await code(ended), 3500);
    }
  });

  test("a subscription's token is replaced in time", LIMIT, async () => {
    const peer = await ann();
    let asked = 0;
    const getToken = async () => ((asked += 1), sign({ sub: "ann", channel: "$short", exp: nowSeconds() + 2 }));
    const subscription = await peer.subscribe("$short", { getToken });
    await until(() => asked >= 3, () => `asked for ${asked} tokens`);
    assert.equal(subscription.contexts.length, 1, "it never had to subscribe again");
    await server.api("publish", { channel: "$short", data: 1 });
    await until(() => subscription.received.length === 1, () => "the publication");
  });

  test("a subscription's token that is over when it comes has its client subscribe anew", LIMIT, async () => {
    const peer = await ann();
    const lives = [2, -5, 600];
    const getToken = async () => sign({ sub: "ann", channel: "$again", exp: nowSeconds() + lives.shift() });
    const subscription = await peer.subscribe("$again", { getToken });
    await until(() => subscription.contexts.length === 2, () => `subscribed ${subscription.contexts.length} times`);
    assert.deepEqual(lives, []);
    await server.api("publish", { channel: "$again", data: 1 });
    await until(() => subscription.received.length === 1, () => "the publication");
  });

  test("a subscription's token that is none ends the subscription, not the connection", LIMIT, async () => {
    const peer = await ann();
    const subscription = peer.channel("$forged", { token: `${sign({ sub: "ann", channel: "$forged" })}A` });
    const ended = event(subscription, "unsubscribed");
    subscription.subscribe();
    assert.equal(await code(ended), 103);
    await peer.subscribe("still-there");
  });
});

describe("server-side subscriptions", AT_ONCE, () => {
  for (const transport of TRANSPORTS) {
    test(`those of the token, with recovery, over ${transport.name}`, LIMIT, async () => {
      const channel = `stream:${transport.name}`;
      const peer = new Peer(server, transport, { token: sign({ sub: "ann", channels: [channel] }) });
      const [received, contexts] = [[], []];
      peer.client.on("publication", ({ channel: name, data, offset }) => received.push([name, peer.decode(data), offset]));
      peer.client.on("subscribed", (context) => contexts.push(context));
      await peer.connect();
      assert.deepEqual(contexts.map(({ channel, recoverable }) => [channel, recoverable]), [[channel, true]]);
      await server.api("publish", { channel, data: 1 });
      await until(() => received.length === 1, () => "the first publication");
      peer.client.disconnect();
      for (const data of [2, 3]) await server.api("publish", { channel, data });
      await peer.connect();
      await server.api("publish", { channel, data: 4 });
      await until(() => received.length >= 4, () => `${received.length}`);
      assert.deepEqual(received, numbers(1, 4).map((n) => [channel, n, n]));
      assert.deepEqual([contexts[1].wasRecovering, contexts[1].recovered], [true, true]);
    });

    test(`those of the server API, over ${transport.name}`, LIMIT, async () => {
      const [user, channel] = [`bob-${transport.name}`, `told-${transport.name}`];
      const peer = new Peer(server, transport, { token: sign({ sub: user }) });
      const received = [];
      peer.client.on("publication", (context) => received.push([context.channel, peer.decode(context.data)]));
      await peer.connect();
      const begun = event(peer.client, "subscribed");
      await server.api("subscribe", { user, channel, data: { welcome: true } });
      const context = await begun;
      assert.deepEqual([context.channel, peer.decode(context.data)], [channel, { welcome: true }]);
      await server.api("publish", { channel, data: "hello" });
      await until(() => received.length === 1, () => "the publication");
      const ended = event(peer.client, "unsubscribed");
      await server.api("unsubscribe", { user, channel });
      assert.equal((await ended).channel, channel);
      assert.deepEqual(received, [[channel, "hello"]]);
    });
  }

  test("a channel is subscribed to once, by the server or by the client", LIMIT, async () => {
    const peer = new Peer(server, WEBSOCKET, { token: sign({ sub: "ann", subs: { told: { data: { x: 1 } } } }) });
    const begun = event(peer.client, "subscribed");
    await peer.connect();
    assert.deepEqual((await begun).data, { x: 1 });
    const subscription = peer.channel("told");
    const failed = event(subscription, "unsubscribed");
    subscription.subscribe();
    assert.equal(await code(failed), 105, "it is subscribed already");
  });
});
