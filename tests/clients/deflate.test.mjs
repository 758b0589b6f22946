// permessage-deflate (RFC 7692): the official client, and `ws` with every set of parameters that it can offer.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import WebSocket from "ws";
import { LIMIT, Peer, TRANSPORTS, endAll, event, numbers, until } from "./harness.mjs";
import { Server } from "./server.mjs";

const FLAGS = ["--echo", "/echo", "--compression"];

let server;

before(async () => (server = await Server.start(FLAGS)));
afterEach(endAll);
after(() => server?.kill());

async function metric(name) {
  const text = await (await fetch(`http://127.0.0.1:${server.control}/metrics`)).text();
  return Number(text.match(new RegExp(`^${name} (.*)$`, "m"))[1]);
}

/** Publications as they are: records with names that repeat. */
const rows = (count) => numbers(1, count).map((n) => ({ symbol: `S${n % 7}`, price: n * 1.25, text: "Grüße 🌍" }));

describe("the official client", () => {
  for (const way of TRANSPORTS.filter(({ transport }) => transport === "websocket")) {
    test(way.name, LIMIT, async () => {
      const [before, packed] = [await metric("throng_deflate_handshakes_total"), await metric("throng_deflate_packed_bytes_total")];
      const [one, two] = [new Peer(server, way), new Peer(server, way)];
      await Promise.all([one.connect(), two.connect()]);
      assert.equal(await metric("throng_deflate_handshakes_total"), before + 2);
      const channel = `deflate ${way.name}`;
      const heard = await Promise.all([one.subscribe(channel), two.subscribe(channel)]);
      const values = [1, 10, 100, 500].map(rows);
      for (const value of values) await one.publish(channel, value);
      await until(() => heard.every(({ received }) => received.length === values.length), () => "all publications");
      for (const { received } of heard) assert.deepEqual(received, values);
      assert.ok((await metric("throng_deflate_packed_bytes_total")) > packed);
    });
  }
});

describe("ws", () => {
  const OFFERS = {
    "as it is": true,
    "whose server forgets": { serverNoContextTakeover: true },
    "which forgets": { clientNoContextTakeover: true, threshold: 0 },
    "with a window of its own": { clientMaxWindowBits: 10, threshold: 0 },
    "with a small window for the server": { serverMaxWindowBits: 9, threshold: 0 },
    "with a medium window for the server": { serverMaxWindowBits: 12 },
    "with the whole window for the server": { serverMaxWindowBits: 15 },
  };

  for (const [name, perMessageDeflate] of Object.entries(OFFERS)) {
    test(name, LIMIT, async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${server.port}/echo`, { perMessageDeflate });
      await event(socket, "open");
      assert.match(socket.extensions, /permessage-deflate/);
      const sent = ["", "short", JSON.stringify(rows(20)), JSON.stringify(rows(700)), Buffer.alloc(60_000, "zeros and ones")];
      const received = [];
      socket.on("message", (data, isBinary) => received.push(isBinary ? data : data.toString()));
      for (const message of sent) socket.send(message);
      await until(() => received.length === sent.length, () => `${received.length} echoes`);
      assert.deepEqual(received, sent);
      const closed = event(socket, "close");
      socket.close(1000);
      assert.equal(await closed, 1000);
    });
  }

  test("a bomb is closed with 1009", LIMIT, async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/echo`);
    await event(socket, "open");
    const closed = event(socket, "close");
    socket.send(Buffer.alloc(10 << 20));
    assert.equal(await closed, 1009);
  });
});
