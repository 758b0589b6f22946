// The official Socket.IO client against the built server without an application: development mode and rules.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { after, afterEach, before, describe, test } from "node:test";
import { io } from "socket.io-client";
import { LIMIT, event, until } from "./harness.mjs";
import { Server, freePort } from "./server.mjs";

const sockets = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect();
});

/** Waits until a promise of this is true. */
async function eventually(condition) {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, "it never happened");
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** A connected socket, with the events that it got. */
async function connect(server, namespace = "/", options = {}) {
  const socket = io(`${server.http}${namespace}`, { forceNew: true, reconnectionDelay: 20, ...options });
  sockets.push(socket);
  socket.told = [];
  socket.onAny((...event) => socket.told.push(event));
  await event(socket, "connect");
  return socket;
}

describe("development mode", () => {
  let server;
  before(async () => (server = await Server.start()));
  after(() => server.kill());

  // A page with a form and a list, as the chat of the official tutorial has it; the page is played by plain objects.
  async function page(options) {
    const items = [];
    const socket = await connect(server, "/", options);
    let sent = 0;
    const submit = (text) => {
      if (!text) return;
      sent += 1;
      socket.emit("chat message", text, `${socket.id}-${sent}`, () => items.push(`sent ${text}`));
    };
    socket.on("chat message", (text) => items.push(text));
    return { items, submit, socket };
  }

  for (const transports of [["websocket"], ["polling"]])
    test(`the chat of the tutorial works over ${transports}`, LIMIT, async () => {
      // The last step of the tutorial sends again until an answer comes.
      const options = { transports, ackTimeout: 10_000, retries: 3, auth: { serverOffset: 0 } };
      const ann = await page(options);
      const bob = await page(options);
      for (const text of ["hello", "how are you", ""]) ann.submit(text);
      bob.submit("fine");
      await until(() => bob.items.length >= 4 && ann.items.length >= 5, () => JSON.stringify([ann.items, bob.items]));
      const said = (page) => page.items.filter((item) => !item.startsWith("sent "));
      assert.deepEqual(said(ann).sort(), ["fine", "hello", "how are you"]);
      assert.deepEqual(said(ann).sort(), said(bob).sort());
      assert.equal(bob.items.filter((item) => item === "hello").length, 1, "nothing comes twice");
    });

  test("rooms by join and leave, binary data in them", LIMIT, async () => {
    const [ann, bob, eve] = await Promise.all(["/a", "/a", "/a"].map((name) => connect(server, name)));
    for (const socket of [ann, bob]) await socket.emitWithAck("join", "den");
    await ann.emitWithAck("file", "x", Buffer.from([1, 2, 3]));
    await until(() => bob.told.length === 1 && ann.told.length === 1, () => JSON.stringify([ann.told, bob.told]));
    assert.deepEqual(bob.told[0], ["file", "x", Buffer.from([1, 2, 3])]);
    await ann.emitWithAck("leave", "den");
    await bob.emitWithAck("only bob");
    await ann.emitWithAck("all");
    await until(() => bob.told.length === 3 && eve.told.length === 1, () => JSON.stringify([bob.told, eve.told]));
    assert.deepEqual([eve.told, ann.told.slice(1)], [[["all"]], [["all"]]]);
  });
});

describe("rules", () => {
  let server;
  const rules = [
    { event: "join", do: ["join", "emit"], room: "$0", to: "$0", as: "joined", except_sender: true, ack: ["ok", "$0"] },
    { event: "say", require: { room: "$0.room", "$0.text": "^.{1,20}$" }, do: "emit", to: "$0.room", ack: true },
    { event: "kick me", do: "disconnect" },
    { event: "noisy", do: "ack", rate: 2 },
  ];
  before(async () => (server = await Server.start([], undefined, { client: { insecure: true }, socketio: { enabled: true, rules } })));
  after(() => server.kill());

  test("are a chat without a backend", LIMIT, async () => {
    const [ann, bob] = await Promise.all([connect(server), connect(server)]);
    assert.deepEqual(await ann.emitWithAck("join", "den"), "ok");
    await bob.emitWithAck("join", "den");
    await bob.emitWithAck("say", { room: "den", text: "hi" });
    await assert.rejects(bob.timeout(200).emitWithAck("say", { room: "den", text: "x".repeat(21) }));
    await assert.rejects(bob.timeout(200).emitWithAck("say", { room: "attic", text: "hi" }));
    await until(() => ann.told.length === 2, () => JSON.stringify(ann.told));
    assert.deepEqual(ann.told, [["joined", "den"], ["say", { room: "den", text: "hi" }]]);
    const gone = event(bob, "disconnect");
    bob.emit("kick me");
    assert.equal(await gone, "io server disconnect");
  });

  test("have rates", LIMIT, async () => {
    const ann = await connect(server);
    const answers = await Promise.allSettled(Array.from({ length: 5 }, () => ann.timeout(300).emitWithAck("noisy")));
    const count = answers.filter(({ status }) => status === "fulfilled").length;
    assert.ok(count >= 2 && count < 5, count);
  });
});

for (const [language, command] of [
  ["Node", [process.execPath, "examples/socketio_backend.mjs"]],
  ["Python", ["python3", "examples/socketio_backend.py"]],
])
  describe(`the example backend in ${language}`, () => {
    let server, backend, address;
    before(async () => {
      address = `127.0.0.1:${await freePort()}`;
      backend = spawn(command[0], [...command.slice(1), address], { env: { ...process.env, SECRET: "s3cret" }, stdio: "inherit" });
      const hook = (name) => ({ enabled: true, endpoint: `http://${address}/${name}`, timeout: "10s", signature_secret: "s3cret" });
      const proxy = { event: hook("event"), disconnect: hook("disconnect") };
      server = await Server.start([], undefined, { client: { insecure: true }, socketio: { enabled: true, proxy } });
      await eventually(() => fetch(`http://${address}/event`, { method: "POST", body: "{}" }).then(({ status }) => status === 403, () => false));
    });
    after(async () => {
      backend.kill();
      await server.kill();
    });

    test("has less than 60 lines", async () => {
      const lines = (await readFile(command.at(-1), "utf8")).trimEnd().split("\n").length;
      assert.ok(lines < 60, `${lines} lines`);
    });

    test("is a chat with rooms and answers", LIMIT, async () => {
      const [ann, ben, eve] = await Promise.all(["websocket", "polling", "websocket"].map((name) => connect(server, "/", { transports: [name] })));
      assert.deepEqual(await ann.emitWithAck("chat message", "early"), { error: "join a room first" });
      assert.deepEqual(await ann.emitWithAck("join", "den", "ann"), { members: ["ann"] });
      assert.deepEqual(await ben.emitWithAck("join", "den", "ben"), { members: ["ann", "ben"] });
      assert.deepEqual(await eve.emitWithAck("join", "attic", "eve"), { members: ["eve"] });
      assert.deepEqual(await eve.emitWithAck("join", "attic", "eve"), { members: ["eve"] }, "she is in it once");
      assert.ok((await eve.emitWithAck("__proto__")).error, "no name of an event ends the backend");
      assert.deepEqual(await Promise.all(Array.from({ length: 20 }, (_, n) => ann.emitWithAck("chat message", n))), Array(20).fill("ok"));
      await until(() => ben.told.length === 20 && ann.told.length === 21, () => JSON.stringify([ann.told, ben.told]));
      assert.deepEqual(ben.told, Array.from({ length: 20 }, (_, n) => ["chat message", "ann", n]));
      assert.deepEqual(ann.told[0], ["came", "ben"]);
      assert.equal(await ben.emitWithAck("leave"), "ok");
      await until(() => ann.told.length === 22, () => JSON.stringify(ann.told));
      assert.deepEqual(ann.told[21], ["went", "ben"]);
      assert.deepEqual(eve.told, []);
      assert.ok("error" in (await eve.emitWithAck("dance")));
      // The end is reported, so the room is empty for the next one.
      const gone = event(ann, "disconnect");
      ann.emit("bye");
      assert.equal(await gone, "io server disconnect");
      const fay = await connect(server);
      await eventually(async () => (await fay.emitWithAck("join", "den", "fay")).members.length === 1);
    });
  });
