// The official Socket.IO client, unmodified, against an application over throng: the example for test suites, built beside
// the server.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { Socket as Engine } from "engine.io-client";
import { io } from "socket.io-client";
import { LIMIT, event, until } from "./harness.mjs";
import { Example, Server } from "./server.mjs";

let server;
const sockets = [];
before(async () => (server = await Example.start("socketio_conformance")));
after(() => server.kill());
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

/** The transports of the clients of the current tests. */
let transports = ["websocket"];

/** A socket of a client of its own, which has begun to connect. */
function connect(namespace = "/", options = {}, to = server) {
  const socket = io(`${to.http}${namespace}`, { transports, forceNew: true, reconnectionDelay: 20, ...options });
  sockets.push(socket);
  return socket;
}

for (const name of ["websocket", "polling"])
describe(`the official client over ${name}`, () => {
  before(() => (transports = [name]));

  test("connects, with what it gives for authentication", LIMIT, async () => {
    const plain = connect();
    const given = connect("/custom", { auth: { token: "abc" } });
    const told = await Promise.all([event(plain, "auth"), event(given, "auth")]);
    assert.deepEqual(told, [{}, { token: "abc" }]);
    assert.match(plain.id, /^[\w-]{20}$/);
    assert.notEqual(plain.id, given.id);
  });

  test("shares a connection among namespaces, and leaves them one by one", LIMIT, async () => {
    const main = connect();
    await event(main, "auth");
    const custom = main.io.socket("/custom");
    sockets.push(custom);
    await event(custom, "auth");
    custom.disconnect();
    assert.equal(await main.emitWithAck("message-with-ack", 1), 1);
    assert.ok(!custom.connected && main.connected);
  });

  test("is told that a namespace is unknown", LIMIT, async () => {
    const error = await event(connect("/unknown"), "connect_error");
    assert.equal(error.message, "Invalid namespace");
  });

  test("sends and receives values and binary data", LIMIT, async () => {
    const socket = connect();
    const values = [1, "zwei", { drei: [true, null] }, Buffer.from([4, 5]), { sechs: Buffer.from([6]) }];
    const back = new Promise((done) => socket.once("message-back", (...args) => done(args)));
    socket.emit("message", ...values);
    assert.deepEqual(await back, values);
    const answer = await socket.emitWithAck("message-with-ack", { file: Buffer.alloc(100_000, 7) });
    assert.deepEqual(answer, { file: Buffer.alloc(100_000, 7) });
  });

  test("keeps the order of a thousand events", LIMIT, async () => {
    const socket = connect();
    await event(socket, "auth");
    const got = [];
    const all = new Promise((done) => {
      socket.on("message-back", (number, data) => {
        got.push(number);
        assert.equal(data?.length ?? 0, number % 3 ? 0 : 10);
        if (got.length === 1000) done();
      });
    });
    for (let number = 0; number < 1000; number++) {
      socket.emit("message", number, ...(number % 3 ? [] : [Buffer.alloc(10)]));
    }
    await all;
    assert.deepEqual(got, Array.from({ length: 1000 }, (_, number) => number));
  });

  test("answers heartbeats, and stays", LIMIT, async () => {
    const socket = connect();
    await event(socket, "auth");
    const id = socket.id;
    // The server's interval is 300 ms.
    await new Promise((done) => setTimeout(done, 1500));
    assert.ok(socket.connected && socket.id === id);
  });

  test("comes back by itself when the server goes", LIMIT, async () => {
    const own = await Example.start("socketio_conformance");
    const socket = io(own.http, { transports, forceNew: true, reconnectionDelay: 20, randomizationFactor: 0 });
    sockets.push(socket);
    await event(socket, "auth");
    const gone = event(socket, "disconnect");
    await own.drain();
    // Between two polls there is nothing to read: the next one fails.
    assert.ok(["transport close", ...(name === "polling" ? ["transport error"] : [])].includes(await gone));
    const back = event(socket, "connect");
    const again = await Example.start("socketio_conformance", own.port);
    await back;
    await again.kill();
  });
});

/** Of a client that has just begun to connect: sends numbers until it has moved to WebSocket, and a few afterwards. */
async function talkDuringUpgrade(socket) {
  const engine = socket.io.engine;
  assert.equal(engine.transport.name, "polling");
  const moved = event(engine, "upgrade");
  await event(socket, "connect");
  const got = [];
  socket.on("message-back", (number) => got.push(number));
  let sent = 0;
  const talk = setInterval(() => {
    for (let n = 0; n < 3; n++) socket.emit("message", sent++);
  }, 0);
  await moved;
  clearInterval(talk);
  for (let n = 0; n < 50; n++) socket.emit("message", sent++);
  await until(() => got.length >= sent, () => `${got.length} of ${sent}`);
  assert.equal(engine.transport.name, "websocket");
  assert.deepEqual(got, Array.from({ length: sent }, (_, number) => number));
  assert.deepEqual(await socket.emitWithAck("message-with-ack", Buffer.from([1, 2])), Buffer.from([1, 2]));
}

describe("the official client, with its default transports", () => {
  test("moves from polling to WebSocket, and loses nothing meanwhile", LIMIT, async () => {
    const clients = Array.from({ length: 8 }, () => connect("/", { transports: ["polling", "websocket"] }));
    await Promise.all(clients.map(talkDuringUpgrade));
    // Pings still cross: the interval is 300 ms.
    await new Promise((done) => setTimeout(done, 1000));
    assert.ok(clients.every((socket) => socket.connected && !socket.recovered));
  });

  test("moves its connection over TLS", LIMIT, async (t) => {
    const secure = await Server.start(["--tls-self-signed"], undefined, { socketio: { enabled: true } });
    t.after(() => secure.kill());
    const url = secure.http.replace("http:", "https:");
    for (let n = 0; n < 6; n++) {
      const engine = new Engine(url, { path: "/socket.io/", rejectUnauthorized: false });
      await event(engine, "upgrade");
      assert.equal(engine.transport.name, "websocket");
      engine.send("0/none,");
      assert.match(await event(engine, "data"), /^0\/none,\{"sid":/);
      engine.close();
    }
  });
});

describe("the chat of the examples", () => {
  let chat;
  // One each: guests of one test would hear of those of another.
  beforeEach(async () => (chat = await Example.start("socketio_chat")));
  afterEach(() => chat.kill());

  /** A guest in the lobby, with what it was told. */
  async function guest(name) {
    const socket = connect("/", { auth: { name } }, chat);
    socket.told = [];
    socket.onAny((...event) => socket.told.push(event));
    await event(socket, "connect");
    // Its events are handled behind its entry into the lobby.
    await socket.emitWithAck("nothing");
    return socket;
  }

  test("asks for a name", LIMIT, async () => {
    const error = await event(connect("/", {}, chat), "connect_error");
    assert.equal(error.message, "say who you are: auth.name");
  });

  test("tells all of a room in one order, and nobody else", LIMIT, async () => {
    const guests = [];
    for (const name of ["ada", "ben", "eve"]) guests.push(await guest(name));
    const [ada, ben, eve] = guests;
    assert.equal(await eve.emitWithAck("room", "attic"), "you are in attic");
    await Promise.all(guests.map((one, at) => Promise.all(
      Array.from({ length: 50 }, (_, n) => one.emitWithAck("chat message", `${at} ${n}`)),
    )));
    const messages = (socket) => socket.told.filter(([name]) => name === "chat message").map(([, name, text]) => `${name} ${text}`);
    await until(() => messages(ada).length === 100 && messages(ben).length === 100 && messages(eve).length === 50, () => guests.map((one) => messages(one).length));
    assert.deepEqual(messages(ada), messages(ben));
    assert.ok(messages(eve).every((text) => text.startsWith("eve 2 ")));
  });

  test("tells others who comes, types and goes", LIMIT, async () => {
    const ada = await guest("ada");
    const ben = await guest("ben");
    ben.emit("typing");
    await ben.emitWithAck("room", "cellar");
    const eve = await guest("eve");
    eve.disconnect();
    await until(() => ada.told.length === 5, () => JSON.stringify(ada.told));
    assert.deepEqual(ada.told, [["came", "ben"], ["typing", "ben"], ["went", "ben"], ["came", "eve"], ["went", "eve"]]);
    assert.deepEqual(ben.told, []);
  });

  test("answers what it does not know", LIMIT, async () => {
    const ada = await guest("ada");
    assert.equal(await ada.emitWithAck("dance"), "there is no such event");
  });
});
