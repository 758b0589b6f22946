// Connection state recovery with the official Socket.IO client, unmodified: its transport is cut, noticed by the server or
// not, and it returns to its socket.
import assert from "node:assert/strict";
import net from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { LIMIT, event, until } from "./harness.mjs";
import { Example } from "./server.mjs";

let server;
const ends = [];
before(async () => (server = await Example.start("socketio_conformance", undefined, ["recovery"])));
after(() => server.kill());
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Between a client and the server. It cuts a connection on both sides, or only that of the client. */
async function relay() {
  const pairs = new Set();
  const listener = net.createServer((near) => {
    const far = net.connect(server.port, "127.0.0.1");
    const pair = { near, far, isSilent: false };
    pairs.add(pair);
    near.on("data", (data) => far.write(data));
    far.on("data", (data) => near.destroyed || near.write(data));
    for (const one of [near, far]) one.on("error", () => {});
    near.on("close", () => pair.isSilent || far.destroy());
    far.on("close", () => (near.destroy(), pairs.delete(pair)));
  });
  await new Promise((done) => listener.listen(0, "127.0.0.1", done));
  ends.push(() => (listener.close(), pairs.forEach(({ near, far }) => (near.destroy(), far.destroy()))));
  return {
    http: `http://127.0.0.1:${listener.address().port}`,
    /** Until the client notices: between two polls there is nothing to cut. */
    async cut(socket, isSilent) {
      const gone = event(socket, "disconnect");
      const cut = () => {
        for (const pair of pairs) {
          pair.isSilent = isSilent;
          pair.near.destroy();
        }
      };
      cut();
      const again = setInterval(cut, 5);
      await gone;
      clearInterval(again);
    },
  };
}

/** A client that remembers the numbers that it gets. */
function connect(to, transports) {
  const socket = io(to.http, { transports, forceNew: true, reconnectionDelay: 50, randomizationFactor: 0 });
  ends.push(() => socket.disconnect());
  socket.numbers = [];
  socket.on("message-back", (number) => socket.numbers.push(number));
  return socket;
}

for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]])
describe(`recovery over ${transports.join(", then ")}`, () => {
  for (const isSilent of [false, true])
  test(isSilent ? "before the server has noticed the end" : "after the server has noticed the end", LIMIT, async () => {
    const door = await relay();
    const other = connect(server, ["websocket"]);
    await event(other, "auth");
    const socket = connect(door, transports);
    await event(socket, "auth");
    const { id } = socket;
    let expected = [];
    for (let round = 0; round < 3; round++) {
      await door.cut(socket, isSilent);
      for (const number of [1, 2, 3]) other.emit("broadcast", 10 * round + number, "text");
      expected = expected.concat([1, 2, 3].map((number) => 10 * round + number));
      await event(socket, "connect");
      assert.ok(socket.recovered, `round ${round}`);
      assert.equal(socket.id, id);
      await until(() => socket.numbers.length >= expected.length, () => JSON.stringify(socket.numbers));
      // What it missed came before what is new, and nothing comes twice.
      socket.emit("message", 10 * round + 4);
      expected.push(10 * round + 4);
      await until(() => socket.numbers.length >= expected.length, () => JSON.stringify(socket.numbers));
      assert.deepEqual(socket.numbers, expected);
    }
  });

  test("before the first event", LIMIT, async () => {
    const door = await relay();
    const other = connect(server, ["websocket"]);
    await event(other, "auth");
    const socket = connect(door, transports);
    await event(socket, "connect");
    const { id } = socket;
    await door.cut(socket, true);
    other.emit("broadcast", 7);
    await event(socket, "connect");
    assert.ok(socket.recovered);
    assert.equal(socket.id, id);
    await until(() => socket.numbers.length > 0, () => "nothing came");
    assert.deepEqual(socket.numbers, [7]);
  });

  test("not after it has left, and not after a restart", LIMIT, async () => {
    const socket = connect(server, transports);
    await event(socket, "auth");
    const { id } = socket;
    socket.disconnect();
    socket.connect();
    await event(socket, "connect");
    assert.ok(!socket.recovered && socket.id !== id);
    const own = await Example.start("socketio_conformance", undefined, ["recovery"]);
    const lasting = connect(own, transports);
    await event(lasting, "auth");
    await own.kill();
    const again = await Example.start("socketio_conformance", own.port, ["recovery"]);
    await event(lasting, "auth");
    assert.ok(!lasting.recovered);
    lasting.disconnect();
    await again.kill();
  });
});
