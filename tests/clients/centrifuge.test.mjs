// The official Centrifuge client for JavaScript is the judge of our protocol: what it expects is what we do.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Centrifuge } from "centrifuge";
import WebSocket from "ws";
import { Server } from "./server.mjs";

const LIMIT = { timeout: 20_000 };
let server;
const clients = [];

before(async () => (server = await Server.start()));
after(async () => server.kill());

function client(url = server.url, options = {}) {
  const made = new Centrifuge(url, { websocket: WebSocket, minReconnectDelay: 50, maxReconnectDelay: 200, ...options });
  clients.push(made);
  return made;
}

test.afterEach(() => {
  for (const made of clients.splice(0)) made.disconnect();
});

const event = (emitter, name) => new Promise((done) => emitter.once(name, done));

async function connected(made) {
  const context = event(made, "connected");
  made.connect();
  return context;
}

/** Subscribes and resolves when the server said so; `received` collects the data of all publications. */
async function subscribed(made, channel) {
  const subscription = made.newSubscription(channel);
  subscription.received = [];
  subscription.on("publication", (publication) => subscription.received.push(publication.data));
  const context = event(subscription, "subscribed");
  subscription.subscribe();
  subscription.context = await context;
  return subscription;
}

async function until(condition, what) {
  const end = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `never happened: ${what()}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

test("connects over WebSocket and learns who it is", LIMIT, async () => {
  const [one, two] = [client(), client()];
  const [first, second] = [await connected(one), await connected(two)];
  assert.equal(first.transport, "websocket");
  assert.ok(first.client.length > 0);
  assert.notEqual(first.client, second.client);
});

test("a publication reaches its publisher and every other subscriber, unchanged", LIMIT, async () => {
  const [one, two] = [client(), client()];
  await connected(one);
  await connected(two);
  const here = await subscribed(one, "news");
  const there = await subscribed(two, "news");
  const sent = [{ text: "Grüße, 世界 🌍", nested: [1, 2.5, null, true, { a: "\n\"\\" }] }, "a string", 17, [], null, false];
  for (const data of sent) await here.publish(data);
  await until(
    () => [here, there].every((subscription) => subscription.received.length === sent.length),
    () => `${here.received.length} and ${there.received.length} of ${sent.length}`,
  );
  assert.deepEqual(here.received, sent);
  assert.deepEqual(there.received, sent);
});

test("a client publishes to a channel that it has not subscribed to", LIMIT, async () => {
  const [publisher, subscriber] = [client(), client()];
  await connected(publisher);
  await connected(subscriber);
  const subscription = await subscribed(subscriber, "from-outside");
  await publisher.publish("from-outside", { n: 1 });
  await until(() => subscription.received.length === 1, () => "the publication");
  assert.deepEqual(subscription.received, [{ n: 1 }]);
});

test("all subscribers see one order, whatever shard they and the publishers are on", LIMIT, async () => {
  const [subscribers, publishers, each] = [16, 4, 50];
  const all = Array.from({ length: subscribers + publishers }, () => client());
  await Promise.all(all.map(connected));
  const subscriptions = await Promise.all(all.slice(0, subscribers).map((made) => subscribed(made, "order")));
  await Promise.all(
    all.slice(subscribers).flatMap((publisher, by) =>
      Array.from({ length: each }, (_, n) => publisher.publish("order", { by, n })),
    ),
  );
  const total = publishers * each;
  await until(
    () => subscriptions.every((subscription) => subscription.received.length === total),
    () => `${subscriptions.map((subscription) => subscription.received.length)} of ${total}`,
  );
  for (const subscription of subscriptions) assert.deepEqual(subscription.received, subscriptions[0].received);
  for (let by = 0; by < publishers; by++) {
    const own = subscriptions[0].received.filter((data) => data.by === by).map((data) => data.n);
    assert.deepEqual(own, Array.from({ length: each }, (_, n) => n), "a publisher's own order is kept");
  }
});

test("channels do not leak into each other", LIMIT, async () => {
  const one = client();
  await connected(one);
  const [left, right] = [await subscribed(one, "left"), await subscribed(one, "right")];
  await left.publish("l");
  await right.publish("r");
  await until(() => left.received.length + right.received.length === 2, () => "two publications");
  assert.deepEqual([left.received, right.received], [["l"], ["r"]]);
});

test("after unsubscribing nothing arrives; subscribing again works", LIMIT, async () => {
  const [one, two] = [client(), client()];
  await connected(one);
  await connected(two);
  const gone = await subscribed(one, "come-and-go");
  const stays = await subscribed(two, "come-and-go");
  const ended = event(gone, "unsubscribed");
  gone.unsubscribe();
  await ended;
  // A round trip on the connection: the server has handled the unsubscribe command before it.
  await one.publish("come-and-go", "missed");
  await until(() => stays.received.length === 1, () => "the first publication");
  const again = event(gone, "subscribed");
  gone.subscribe();
  await again;
  await two.publish("come-and-go", "seen");
  await until(() => gone.received.length + stays.received.length === 3, () => "the second publication");
  assert.deepEqual(gone.received, ["seen"]);
  assert.deepEqual(stays.received, ["missed", "seen"]);
});

test("commands of one batch travel in one frame and all are answered", LIMIT, async () => {
  const one = client();
  await connected(one);
  const subscription = await subscribed(one, "batch");
  one.startBatching();
  const sent = Array.from({ length: 200 }, (_, n) => n);
  const answers = sent.map((n) => subscription.publish(n));
  one.stopBatching();
  await Promise.all(answers);
  await until(() => subscription.received.length === sent.length, () => `${subscription.received.length}`);
  assert.deepEqual(subscription.received, sent);
});

test("subscriptions made before connecting travel with the connect command's frame", LIMIT, async () => {
  const one = client();
  const waiting = ["early-1", "early-2", "early-3"].map((channel) => subscribed(one, channel));
  one.connect();
  const subscriptions = await Promise.all(waiting);
  for (const subscription of subscriptions) await subscription.publish("x");
  await until(() => subscriptions.every((s) => s.received.length === 1), () => "one publication each");
});

test("what the server does not offer is refused with the protocol's error", LIMIT, async () => {
  const one = client();
  await connected(one);
  const subscription = await subscribed(one, "plain");
  await assert.rejects(subscription.history({ limit: 1 }), { code: 108 });
  await assert.rejects(subscription.presence(), { code: 108 });
  await assert.rejects(subscription.presenceStats(), { code: 108 });
  await assert.rejects(one.rpc("anything", {}), { code: 108 });
  await subscription.publish("still alive");
});

test("a channel name that is too long is refused, the connection lives on", LIMIT, async () => {
  const one = client();
  await connected(one);
  await assert.rejects(one.publish("x".repeat(256), {}), { code: 107 });
  const refused = one.newSubscription("x".repeat(256));
  const ended = event(refused, "unsubscribed");
  refused.subscribe();
  assert.equal((await ended).code, 107);
  await one.publish("x".repeat(255), {});
});

test("heartbeats keep a connection alive that says nothing", LIMIT, async () => {
  const quick = await Server.start(["--ping-interval-ms", "1000", "--pong-timeout-ms", "500"]);
  try {
    const one = client(quick.url);
    await connected(one);
    let lost = false;
    one.on("connecting", () => (lost = true));
    await new Promise((done) => setTimeout(done, 3500));
    assert.equal(lost, false, "the client answered every ping, and the server took the answers");
    await one.publish("alive", 1);
  } finally {
    await quick.kill();
  }
});

test("a drain asks clients to reconnect; they come back and are subscribed again", LIMIT, async () => {
  const first = await Server.start(["--drain-ms", "300"]);
  let second;
  try {
    const one = client(first.url);
    await connected(one);
    const subscription = await subscribed(one, "survives");
    const asked = event(one, "connecting");
    const code = await Promise.all([first.drain(), asked]).then(([exit, context]) => ({ exit, asked: context.code }));
    assert.deepEqual(code, { exit: 0, asked: 3001 });
    const back = event(subscription, "subscribed");
    second = await Server.start([], first.port);
    await back;
    await subscription.publish("after");
    await until(() => subscription.received.length === 1, () => "the publication after the restart");
  } finally {
    await first.kill();
    await second?.kill();
  }
});
