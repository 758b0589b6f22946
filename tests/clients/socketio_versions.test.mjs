// Clients of several versions, unmodified, against the example for test suites: socket.io-client 3 and 2, engine.io-client 6
// and 3, and the parser msgpack. (socket.io-client 4 is in socketio.test.mjs.)
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, afterEach, before, describe, test } from "node:test";
import { Socket as Engine } from "engine.io-client";
import { io as io4 } from "socket.io-client";
import io2 from "socket.io-client-2";
import { io as io3 } from "socket.io-client-3";
import msgpack from "socket.io-msgpack-parser";
import { LIMIT, event, until } from "./harness.mjs";
import { Example } from "./server.mjs";

// The one of which socket.io-client 2 is made.
const require = createRequire(createRequire(import.meta.url).resolve("socket.io-client-2"));
const Engine3 = require("engine.io-client");

let server;
const sockets = [];
before(async () => (server = await Example.start("socketio_conformance", undefined, ["eio3"])));
after(() => server.kill());
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect?.() ?? socket.close();
});

function connect(io, transport, namespace = "/", options = {}, to = server) {
  const socket = io(`${to.http}${namespace}`, {
    transports: [transport],
    forceNew: true,
    reconnectionDelay: 20,
    randomizationFactor: 0,
    ...options,
  });
  sockets.push(socket);
  return socket;
}

/** Emits, and resolves with the arguments of the answer. */
function ask(socket, ...args) {
  return new Promise((done) => socket.emit("message-with-ack", ...args, (...answer) => done(answer)));
}

/** Emits, and resolves with what comes back. */
function echo(socket, ...args) {
  const back = new Promise((done) => socket.once("message-back", (...answer) => done(answer)));
  socket.emit("message", ...args);
  return back;
}

const VALUES = [1, "zwei €😀", { drei: [true, null] }, Buffer.from([4, 5]), { sechs: Buffer.alloc(50_000, 6) }];

describe("clients that begin with polling move to WebSocket, and lose nothing", () => {
  const upgraded = (engine) => until(() => engine.transport.name === "websocket", () => engine.transport.name);

  for (const [name, io] of [["4", io4], ["3", io3], ["2", io2]])
    test(`socket.io-client ${name}`, LIMIT, async () => {
      const socket = io(server.http, { forceNew: true });
      sockets.push(socket);
      const got = [];
      socket.on("message-back", (number) => got.push(number));
      for (let number = 0; number < 100; number++) {
        socket.emit("message", number, Buffer.alloc(10));
        await new Promise((done) => setTimeout(done, number % 5));
      }
      await upgraded(socket.io.engine);
      assert.deepEqual(await echo(socket, ...VALUES), VALUES);
      assert.deepEqual(got.slice(0, 100), Array.from({ length: 100 }, (_, number) => number));
    });

  for (const [name, Client] of [["6", Engine], ["3", Engine3]])
    test(`engine.io-client ${name}`, LIMIT, async () => {
      const socket = new Client(server.http);
      sockets.push(socket);
      const got = [];
      socket.on("message", (message) => got.push(message));
      for (let number = 0; number < 100; number++) {
        socket.send(`${number}`);
        await new Promise((done) => setTimeout(done, number % 5));
      }
      await upgraded(socket);
      await until(() => got.length === 100, () => got.length);
      assert.deepEqual(got, Array.from({ length: 100 }, (_, number) => `${number}`));
    });
});

for (const transport of ["websocket", "polling"]) {
  describe(`socket.io-client 3 over ${transport}`, () => {
    test("connects, emits, is answered and refused", LIMIT, async () => {
      const socket = connect(io3, transport, "/custom", { auth: { token: "abc" } });
      assert.deepEqual(await event(socket, "auth"), { token: "abc" });
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.deepEqual(await echo(socket, ...VALUES), VALUES);
      assert.deepEqual(await ask(socket, ...VALUES), VALUES);
      const error = await event(connect(io3, transport, "/unknown"), "connect_error");
      assert.equal(error.message, "Invalid namespace");
    });
  });

  describe(`socket.io-client 2 over ${transport}`, () => {
    test("connects to the root, and has the id of its session", LIMIT, async () => {
      const socket = connect(io2, transport);
      assert.deepEqual(await event(socket, "auth"), {});
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.equal(socket.id, socket.io.engine.id);
    });

    test("gives the query of a namespace for authentication", LIMIT, async () => {
      const root = connect(io2, transport);
      const socket = root.io.socket("/custom", { query: { token: "a b", other: "1" } });
      sockets.push(socket);
      assert.deepEqual(await event(socket, "auth"), { token: "a b", other: "1" });
      assert.equal(socket.id, `/custom#${root.id}`);
      assert.deepEqual(await echo(socket, "here"), ["here"]);
      assert.deepEqual(await ask(root, "there"), ["there"]);
      socket.disconnect();
      assert.deepEqual(await ask(root, "still"), ["still"]);
    });

    test("sends and receives values and binary data in order", LIMIT, async () => {
      const socket = connect(io2, transport);
      await event(socket, "auth");
      assert.deepEqual(await echo(socket, ...VALUES), VALUES);
      assert.deepEqual(await ask(socket, ...VALUES), VALUES);
      const got = [];
      socket.on("message-back", (number, data) => got.push([number, data?.length ?? 0]));
      for (let number = 0; number < 200; number++) {
        socket.emit("message", number, ...(number % 3 ? [] : [Buffer.alloc(10)]));
      }
      await until(() => got.length === 200, () => got.length);
      assert.deepEqual(got, Array.from({ length: 200 }, (_, number) => [number, number % 3 ? 0 : 10]));
    });

    test("is told that a namespace is unknown", LIMIT, async () => {
      assert.equal(await event(connect(io2, transport, "/unknown"), "error"), "Invalid namespace");
    });

    test("pings, and stays", LIMIT, async () => {
      const socket = connect(io2, transport);
      await event(socket, "auth");
      const id = socket.id;
      let pongs = 0;
      socket.on("pong", () => pongs++);
      // The interval is 300 ms.
      await new Promise((done) => setTimeout(done, 1500));
      assert.ok(socket.connected && socket.id === id && pongs >= 3, `${socket.id} ${pongs}`);
    });

    test("comes back by itself when the server goes", LIMIT, async () => {
      const own = await Example.start("socketio_conformance", undefined, ["eio3"]);
      const socket = connect(io2, transport, "/", {}, own);
      await event(socket, "auth");
      const gone = event(socket, "disconnect");
      await own.drain();
      await gone;
      const back = event(socket, "connect");
      const again = await Example.start("socketio_conformance", own.port, ["eio3"]);
      await back;
      await again.kill();
    });

    test("is refused where its version is not allowed", LIMIT, async () => {
      const own = await Example.start("socketio_conformance");
      const socket = connect(io2, transport, "/", { reconnection: false }, own);
      await event(socket, "connect_error");
      await own.kill();
    });
  });

  for (const [name, Client] of [["6", Engine], ["3", Engine3]])
    describe(`engine.io-client ${name} over ${transport}`, () => {
      test("gets its messages back", LIMIT, async () => {
        const socket = new Client(server.http, { transports: [transport] });
        sockets.push(socket);
        socket.binaryType = "nodebuffer";
        const sent = ["one", "", "drei €😀", Buffer.from([1, 2, 3]), "x".repeat(100_000), Buffer.alloc(70_000, 9)];
        const got = [];
        // Of a message without text it tells nothing.
        socket.on("message", (message = "") => got.push(message));
        await event(socket, "open");
        for (const message of sent) socket.send(message);
        await until(() => got.length === sent.length, () => got.length);
        assert.deepEqual(got.map((message) => (message instanceof ArrayBuffer ? Buffer.from(message) : message)), sent);
        const closed = event(socket, "close");
        socket.close();
        assert.equal(await closed, "forced close");
      });
    });

  describe(`socket.io-msgpack-parser over ${transport}`, () => {
    let packed;
    before(async () => (packed = await Example.start("socketio_conformance", undefined, ["msgpack"])));
    after(() => packed.kill());

    test("carries values and binary data, answers and refusals", LIMIT, async () => {
      const options = { parser: msgpack, auth: { token: "abc" } };
      const socket = connect(io4, transport, "/custom", options, packed);
      assert.deepEqual(await event(socket, "auth"), { token: "abc" });
      assert.deepEqual(await echo(socket, ...VALUES), VALUES);
      assert.deepEqual(await ask(socket, ...VALUES), VALUES);
      const error = await event(connect(io4, transport, "/unknown", options, packed), "connect_error");
      assert.equal(error.message, "Invalid namespace");
    });
  });
}
