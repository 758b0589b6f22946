// One table of scenarios, over every way to the server: what the official client expects of a channel holds on all of them.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { LIMIT, Peer, TRANSPORTS, endAll, event, numbers, until } from "./harness.mjs";
import { Server } from "./server.mjs";

let server, echoing;
before(async () => {
  server = await Server.start();
  // With its echo endpoint, a server answers every call with the argument.
  echoing = await Server.start(["--echo", "/echo"]);
});
after(async () => {
  await server.kill();
  await echoing.kill();
});
afterEach(endAll);

/** What data may be, and must come back as. */
const VALUES = [{ text: "Grüße, 世界 🌍", nested: [1, 2.5, null, true, { a: "\n\"\\" }] }, "a string", 17, [], null, false, "x".repeat(20_000)];

const SCENARIOS = {
  "connects and learns who it is": async (peer, { transport }) => {
    const one = peer({ name: "tests", version: "1.2.3", data: { hello: "world" } });
    const context = await one.connect();
    assert.equal(context.transport, transport);
    assert.match(context.client, /^[0-9a-f-]{36}$/);
    const two = peer();
    assert.notEqual((await two.connect()).client, context.client);
  },

  "a publication reaches its publisher and every other subscriber, unchanged": async (peer, _, channel) => {
    const [one, two] = [peer(), peer()];
    const { client } = await one.connect();
    await two.connect();
    const [here, there] = [await one.subscribe(channel), await two.subscribe(channel)];
    for (const value of VALUES) await one.publish(channel, value);
    for (const subscription of [here, there]) {
      await until(() => subscription.received.length >= VALUES.length, () => `${subscription.received.length} publications`);
      assert.deepEqual(subscription.received, VALUES);
      assert.deepEqual(subscription.offsets, numbers(1, VALUES.length));
      assert.ok(subscription.publications.every(({ info }) => info.client === client && info.user === ""));
    }
  },

  "publications of the server API arrive in order": async (peer, _, channel) => {
    const one = peer();
    await one.connect();
    const subscription = await one.subscribe(channel);
    for (const n of numbers(1, 100)) {
      const { offset, epoch } = await server.api("publish", { channel, data: n });
      assert.equal(offset, n);
      assert.equal(epoch, subscription.contexts[0].streamPosition.epoch);
    }
    await until(() => subscription.received.length >= 100, () => `${subscription.received.length} publications`);
    assert.deepEqual(subscription.received, numbers(1, 100));
    assert.deepEqual(subscription.offsets, numbers(1, 100));
    assert.ok(subscription.publications.every(({ info }) => info === undefined));
  },

  "tags travel with a publication": async (peer, _, channel) => {
    const one = peer();
    await one.connect();
    const subscription = await one.subscribe(channel);
    await server.api("publish", { channel, data: 1, tags: { kind: "trade", "schlüssel": "wert" } });
    await until(() => subscription.received.length === 1, () => "the publication");
    assert.deepEqual({ ...subscription.publications[0].tags }, { kind: "trade", "schlüssel": "wert" });
    const { publications } = await subscription.history({ limit: 1 });
    assert.deepEqual({ ...publications[0].tags }, { kind: "trade", "schlüssel": "wert" });
  },

  "a filter by tags lets through what it names": async (peer, _, channel) => {
    const one = peer();
    await one.connect();
    const tagsFilter = {
      op: "or",
      nodes: [
        { op: "and", nodes: [{ key: "ticker", cmp: "in", vals: ["A", "B"] }, { key: "price", cmp: "gte", val: "9.5" }] },
        { op: "not", nodes: [{ key: "ticker", cmp: "ex" }] },
      ],
    };
    const subscription = await one.subscribe(channel, { tagsFilter });
    const tags = [{ ticker: "A", price: "10" }, { ticker: "B", price: "9.5" }, { ticker: "A", price: "9" }, { ticker: "C", price: "10" }, {}];
    for (const [n, tag] of tags.entries()) await server.api("publish", { channel, data: n, tags: tag });
    await until(() => subscription.received.length >= 3, () => `${subscription.received}`);
    // Behind the last that it lets through, so that a publication too many would have been seen.
    await server.api("publish", { channel, data: "end", tags: {} });
    await until(() => subscription.received.includes("end"), () => `${subscription.received}`);
    assert.deepEqual(subscription.received, [0, 1, 4, "end"]);
  },

  "presence names who is there, and counts them": async (peer, _, channel) => {
    const [one, two] = [peer(), peer()];
    const ids = [(await one.connect()).client, (await two.connect()).client];
    const subscription = await one.subscribe(channel);
    await two.subscribe(channel);
    const { clients } = await subscription.presence();
    assert.deepEqual(Object.keys(clients).sort(), ids.sort());
    for (const id of ids) assert.deepEqual({ client: clients[id].client, user: clients[id].user }, { client: id, user: "" });
    const { numClients, numUsers } = await subscription.presenceStats();
    assert.deepEqual({ numClients, numUsers }, { numClients: 2, numUsers: 1 });
    two.client.disconnect();
    let count = 2;
    while (count !== 1) count = (await subscription.presenceStats()).numClients;
  },

  "who joins and who leaves is told": async (peer, _, channel) => {
    const [one, two] = [peer(), peer()];
    const here = (await one.connect()).client;
    const there = (await two.connect()).client;
    const subscription = await one.subscribe(channel);
    const other = await two.subscribe(channel);
    await until(() => subscription.joined.includes(there), () => `${subscription.joined}`);
    other.unsubscribe();
    await until(() => subscription.left.includes(there), () => `${subscription.left}`);
    assert.deepEqual(subscription.joined.filter((id) => id !== here), [there]);
    assert.deepEqual(subscription.left, [there]);
  },

  "history: from the start, since a position, backwards, and only the position": async (peer, _, channel) => {
    const one = peer();
    await one.connect();
    const subscription = await one.subscribe(channel);
    for (const n of numbers(1, 20)) await one.publish(channel, n);
    const of = async (options) => {
      const { publications, offset, epoch } = await subscription.history(options);
      assert.deepEqual([offset, epoch], [20, subscription.contexts[0].streamPosition.epoch]);
      const values = publications.map(({ data }) => one.decode(data));
      assert.deepEqual(publications.map((one) => one.offset), values);
      return values;
    };
    const { epoch } = subscription.contexts[0].streamPosition;
    assert.deepEqual(await of({}), []);
    assert.deepEqual(await of({ limit: 3 }), [1, 2, 3]);
    assert.deepEqual(await of({ limit: -1 }), numbers(1, 20));
    assert.deepEqual(await of({ limit: 3, since: { offset: 10, epoch } }), [11, 12, 13]);
    assert.deepEqual(await of({ limit: 3, since: { offset: 20, epoch } }), []);
    assert.deepEqual(await of({ limit: 3, reverse: true }), [20, 19, 18]);
    assert.deepEqual(await of({ limit: 3, since: { offset: 10, epoch }, reverse: true }), [9, 8, 7]);
    await assert.rejects(of({ limit: 3, since: { offset: 10, epoch: "another" } }), { code: 112 });
  },

  "deltas are applied to the same values": async (peer, _, channel) => {
    const [one, plain] = [peer(), peer()];
    await one.connect();
    await plain.connect();
    const subscription = await one.subscribe(channel, { delta: "fossil" });
    const other = await plain.subscribe(channel);
    const values = numbers(1, 30).map((n) => ({ n, text: `Zeile ${n} 🌍`, always: "the same long text, ".repeat(20) }));
    for (const data of values) await server.api("publish", { channel, data, delta: true });
    await until(() => subscription.received.length + other.received.length >= 60, () => `${subscription.received.length}`);
    assert.deepEqual(subscription.received, values);
    assert.deepEqual(other.received, values);
    const stats = subscription.deltaStats();
    assert.equal(stats.numDeltaPayloads, 29, "all but the first are deltas");
    assert.ok(stats.compressionRatio > 0.5, `compressed to ${1 - stats.compressionRatio}`);
  },

  "an rpc that nobody serves is not available": async (peer) => {
    const one = peer();
    await one.connect();
    await assert.rejects(one.client.rpc("anything", one.encode({})), { code: 108, message: "not available" });
  },

  "an rpc that is served is answered with data of its own": async (_, transport) => {
    const one = new Peer(echoing, transport);
    await one.connect();
    const answers = await Promise.all(VALUES.map((value) => one.client.rpc("echo", one.encode(value))));
    assert.deepEqual(answers.map(({ data }) => one.decode(data)), VALUES);
  },

  "what is sent to nobody harms nothing": async (peer, _, channel) => {
    const one = peer();
    await one.connect();
    await one.client.send(one.encode({ to: "nobody" }));
    await one.publish(channel, 1);
    assert.deepEqual(one.errors, []);
  },

  "errors have their codes, and the connection lives on": async (peer, _, channel) => {
    const one = peer();
    const { client } = await one.connect();
    await assert.rejects(one.publish("x".repeat(256), {}), { code: 107 });
    await assert.rejects(one.client.presence("without-a-namespace"), { code: 108 });
    await assert.rejects(one.client.history("without-a-namespace", { limit: 1 }), { code: 108 });
    const refused = one.channel("x".repeat(256));
    const ended = event(refused, "unsubscribed");
    refused.subscribe();
    assert.equal((await ended).code, 107);
    await one.publish(channel, 1);
    const { clients } = await (await one.subscribe(channel)).presence();
    assert.deepEqual(Object.keys(clients), [client], "still the same connection");
  },

  "after unsubscribing nothing arrives; subscribing again brings what was missed": async (peer, _, channel) => {
    const [one, two] = [peer(), peer()];
    await one.connect();
    await two.connect();
    const gone = await one.subscribe(channel);
    const stays = await two.subscribe(channel);
    gone.unsubscribe();
    await until(() => stays.left.length === 1, () => "the leave");
    await two.publish(channel, "missed");
    await until(() => stays.received.length === 1, () => "the first publication");
    // A round trip on the connection: whatever was sent to it before would have arrived.
    await one.publish(`${channel}-else`, 1);
    assert.deepEqual(gone.received, []);
    const again = event(gone, "subscribed");
    gone.subscribe();
    await again;
    await two.publish(channel, "seen");
    await until(() => gone.received.length >= 2 && stays.received.length >= 2, () => `${gone.received}`);
    assert.deepEqual(gone.received, ["missed", "seen"]);
    assert.deepEqual(stays.received, ["missed", "seen"]);
  },

  "many subscriptions, and a batch of commands": async (peer, _, channel) => {
    const one = peer();
    await one.connect();
    one.client.startBatching();
    const waiting = numbers(1, 50).map((n) => one.subscribe(`${channel}-${n}`));
    one.client.stopBatching();
    const subscriptions = await Promise.all(waiting);
    one.client.startBatching();
    const answers = subscriptions.map((subscription, n) => one.publish(subscription.channel, n));
    one.client.stopBatching();
    await Promise.all(answers);
    await until(() => subscriptions.every(({ received }) => received.length === 1), () => "one publication each");
    assert.deepEqual(subscriptions.map(({ received }) => received), numbers(0, 49).map((n) => [n]));
  },

  "the server unsubscribes a client": async (peer, _, channel) => {
    const one = peer();
    const { client } = await one.connect();
    const subscription = await one.subscribe(channel);
    const ended = event(subscription, "unsubscribed");
    await server.api("unsubscribe", { user: "", channel, client });
    assert.deepEqual((({ code, reason }) => [code, reason])(await ended), [2000, "server unsubscribe"]);
  },

  "the server disconnects a client for good": async (peer) => {
    const one = peer();
    const { client } = await one.connect();
    const ended = event(one.client, "disconnected");
    await server.api("disconnect", { user: "", client });
    assert.deepEqual((({ code, reason }) => [code, reason])(await ended), [3503, "force disconnect"]);
  },
};

for (const transport of TRANSPORTS) {
  describe(transport.name, () => {
    let count = 0;
    for (const [name, scenario] of Object.entries(SCENARIOS)) {
      test(name, LIMIT, async () => {
        const channel = `chat:${transport.name.replaceAll(/\W/g, "")}-${++count}`;
        await scenario((options) => new Peer(server, transport, options), transport, channel);
      });
    }
  });
}

describe("all transports in one channel", () => {
  for (const [name, options] of [["understand each other", {}], ["understand each other's deltas", { delta: "fossil" }]]) {
    test(name, LIMIT, async () => {
      const channel = `chat:together-${Object.keys(options)}`;
      const all = TRANSPORTS.map((transport) => new Peer(server, transport));
      await Promise.all(all.map((one) => one.connect()));
      const subscriptions = await Promise.all(all.map((one) => one.subscribe(channel, options)));
      const value = (by, round) => ({ by, round, text: "Grüße, 世界 🌍 ".repeat(20) });
      const sent = [];
      for (const round of numbers(1, 5)) {
        for (const [by, one] of all.entries()) {
          sent.push(value(by, round), value("server", round));
          await one.publish(channel, value(by, round));
          await server.api("publish", { channel, data: value("server", round), delta: true });
        }
      }
      for (const subscription of subscriptions) {
        await until(() => subscription.received.length >= sent.length, () => `${subscription.received.length} of ${sent.length}`);
        assert.deepEqual(subscription.received, sent);
        if (options.delta) assert.ok(subscription.deltaStats().numDeltaPayloads > 0);
      }
    });
  }
});
