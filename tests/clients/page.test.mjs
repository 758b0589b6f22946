// The first page, and the page of examples/chat, in Chromium: what a person who opens them sees.
//
// CHROMIUM names another browser binary (default: chromium on the PATH). SCREENSHOTS names a folder for pictures.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { freePort, Server } from "./server.mjs";

const LIMIT = { timeout: 60_000 };
const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 375, height: 800 };
const EXAMPLE = new URL("../../examples/chat.html", import.meta.url);
// The longest wait of the back-off's first attempts, and the handshake of a busy machine.
const PATIENCE_MS = 20_000;

let browser, server;
const opened = [];

before(async () => {
  const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath });
  server = await Server.start();
});

after(async () => {
  await browser?.close();
  await server?.kill();
});

afterEach(async () => {
  for (const closing of opened.splice(0)) await closing();
});

/** A person with a browser of their own, in a room of the test's own. What they see is in `page`. */
async function visitor(name, { port = server.port, room, viewport = WIDE, ...options } = {}) {
  const context = await browser.newContext({ viewport, ...options });
  opened.push(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  const requests = [];
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(`http://127.0.0.1:${port}/${room ? `#${room}` : ""}`);
  await sees(page, "#state", "Connected");
  if (name) {
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Your name").press("Tab");
  }
  return { name, page, complaints, requests };
}

/** Resolves when an element's text holds these words. */
async function sees(page, selector, words) {
  const holds = ([selector, words]) => document.querySelector(selector)?.textContent.includes(words);
  await page.waitForFunction(holds, [selector, words]).catch(async (error) => {
    const seen = await page.locator(selector).allInnerTexts();
    throw new Error(`${selector} never said “${words}”, but “${seen}”`, { cause: error });
  });
}

/** Resolves when exactly these words stand in the list of messages. */
async function hears({ page }, words) {
  const stands = (words) => [...document.querySelectorAll(".message .text")].some((text) => text.textContent === words);
  await page.waitForFunction(stands, words);
}

/** Says something and resolves when it stands in the speaker's own list. */
async function say(visitor, words) {
  const field = visitor.page.getByLabel("Message", { exact: true });
  await field.fill(words);
  await field.press("Enter");
  await hears(visitor, words);
}

const said = ({ page }) => page.locator(".message .text").allTextContents();
const notes = ({ page }) => page.locator(".note").allTextContents();

/** Between a browser and the server: passes bytes on, until it is shut. */
class Door {
  static async open(port) {
    const door = new Door();
    door.sockets = new Set();
    door.port = await freePort();
    door.server = net.createServer((near) => {
      if (door.isShut) return near.destroy();
      const far = net.connect(port, "127.0.0.1");
      for (const socket of [near, far]) {
        door.sockets.add(socket);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => (door.sockets.delete(socket), near.destroy(), far.destroy()));
      }
      near.pipe(far).pipe(near);
    });
    await new Promise((done) => door.server.listen(door.port, "127.0.0.1", done));
    opened.push(() => (door.shut(), new Promise((done) => door.server.close(done))));
    return door;
  }

  shut() {
    this.isShut = true;
    for (const socket of this.sockets) socket.destroy();
  }

  unshut() {
    this.isShut = false;
  }
}

test("two people see each other and what they say, as text", LIMIT, async () => {
  const ada = await visitor("Ada");
  const ben = await visitor("Ben", { viewport: NARROW });
  await sees(ada.page, "#present-count", "2");
  const hostile = `<img src=x onerror="window.broken=1"> & <script>window.broken=1</script>`;
  await say(ada, "Is this thing on?");
  await say(ben, hostile);
  await say(ada, "Loud and clear. 📱 Grüße, 世界");
  const expected = ["Is this thing on?", hostile, "Loud and clear. 📱 Grüße, 世界"];
  for (const visitor of [ada, ben]) {
    await hears(visitor, expected.at(-1));
    assert.deepEqual(await said(visitor), expected);
    assert.equal(await visitor.page.locator("#messages img, #messages script").count(), 0);
    assert.equal(await visitor.page.evaluate(() => window.broken), undefined);
  }
  await sees(ben.page, "#present", "Ada");
  await sees(ada.page, "#fact-latency", " ms");
  await ben.page.close();
  await sees(ada.page, "#present-count", "1");
  assert.deepEqual([...ada.complaints, ...ben.complaints], []);
  const elsewhere = [...ada.requests, ...ben.requests].filter((url) => !/^(data:|http:\/\/127\.0\.0\.1:\d+\/$)/.test(url));
  assert.deepEqual(elsewhere, [], "the page asks for nothing but itself");
});

test("who comes later reads what was said; other rooms are apart", LIMIT, async () => {
  const ada = await visitor("Ada", { room: "early" });
  for (const words of ["first", "second", "third"]) await say(ada, words);
  const ben = await visitor("Ben", { room: "early" });
  await hears(ben, "third");
  assert.deepEqual(await said(ben), ["first", "second", "third"]);
  await ben.page.getByLabel("Room").fill("other");
  await ben.page.getByLabel("Room").press("Enter");
  await sees(ben.page, "#messages", "This is chat:other");
  await say(ben, "alone here");
  await sees(ada.page, "#present-count", "1");
  assert.deepEqual(await said(ben), ["alone here"]);
  assert.deepEqual(await said(ada), ["first", "second", "third"]);
  assert.match(ben.page.url(), /#other$/);
});

test("who goes offline and comes back gets what was said meanwhile, once and in order", LIMIT, async () => {
  const ada = await visitor("Ada", { room: "away" });
  const ben = await visitor("Ben", { room: "away" });
  await say(ada, "before");
  await hears(ben, "before");
  await ada.page.getByRole("button", { name: "Go offline" }).click();
  await sees(ben.page, "#present-count", "1");
  for (const words of ["one", "two", "three"]) await say(ben, words);
  await ada.page.getByLabel("Message", { exact: true }).fill("too early");
  await ada.page.getByRole("button", { name: "Send" }).click();
  await sees(ada.page, "#hint", "Not sent");
  await ada.page.getByRole("button", { name: "Connect now" }).click();
  await sees(ada.page, "#messages", "Recovered 3 missed messages");
  await hears(ada, "three");
  await say(ada, "after");
  await hears(ben, "after");
  for (const visitor of [ada, ben]) {
    assert.deepEqual(await said(visitor), ["before", "one", "two", "three", "after"]);
  }
  assert.deepEqual((await notes(ada)).slice(1), ["Recovered 3 missed messages"]);
});

test("when the network fails, the page comes back by itself and recovers", LIMIT, async () => {
  const door = await Door.open(server.port);
  const ada = await visitor("Ada", { room: "cut", port: door.port });
  const ben = await visitor("Ben", { room: "cut" });
  await say(ben, "before");
  await hears(ada, "before");
  door.shut();
  await sees(ada.page, "#state", "Reconnecting");
  await sees(ben.page, "#present-count", "1");
  await say(ben, "missed");
  door.unshut();
  await sees(ada.page, "#messages", "Recovered 1 missed message");
  await hears(ada, "missed");
  assert.deepEqual(await said(ada), ["before", "missed"]);
  await sees(ada.page, "#fact-reconnects", "1 time");
});

test("after a restart of the server, pages come back and say that the stream is new", LIMIT, async () => {
  const first = await Server.start();
  let second;
  try {
    const ada = await visitor("Ada", { port: first.port });
    const ben = await visitor("Ben", { port: first.port });
    await say(ada, "before");
    await hears(ben, "before");
    await first.kill();
    for (const { page } of [ada, ben]) await sees(page, "#state", "onnecting");
    second = await Server.start([], first.port);
    for (const { page } of [ada, ben]) await sees(page, "#messages", "Not recovered: the stream is new");
    await sees(ada.page, "#present-count", "2");
    await say(ben, "after");
    await hears(ada, "after");
    assert.deepEqual(await said(ada), ["before", "after"]);
    assert.equal((await notes(ada)).filter((note) => note.startsWith("A gap")).length, 0);
  } finally {
    await first.kill();
    await second?.kill();
  }
});

test("a drain says so, and pages come back", LIMIT, async () => {
  const first = await Server.start(["--drain-ms", "200"]);
  let second;
  try {
    const { page } = await visitor("Ada", { port: first.port });
    // Each state in turn, however short it was.
    await page.evaluate(() => {
      const state = document.getElementById("state");
      window.states = [];
      new MutationObserver(() => states.push(state.textContent)).observe(state, { childList: true });
    });
    assert.equal(await first.drain(), 0);
    await page.waitForFunction(() => states.length > 0);
    second = await Server.start([], first.port);
    await sees(page, "#state", "Connected");
    assert.match((await page.evaluate(() => states))[0], /^Reconnecting in [0-9.]+ s: shutdown$/);
  } finally {
    await first.kill();
    await second?.kill();
  }
});

test("many messages: the list stays bounded and keeps the last", LIMIT, async () => {
  const ada = await visitor("Ada", { room: "many" });
  const ben = await visitor("Ben", { room: "many" });
  // The second burst finds a list that is not empty, and is larger than what waits to be drawn.
  for (const [from, to] of [[1, 150], [151, 500]]) {
    const burst = ([from, to]) => {
      for (let n = from; n <= to; n++) room.publish({ text: `number ${n}`, name: "Ben" });
    };
    await ben.page.evaluate(burst, [from, to]);
    await hears(ada, `number ${to}`);
  }
  const shown = await said(ada);
  assert.deepEqual(shown, Array.from({ length: 200 }, (_, n) => `number ${n + 301}`));
  assert.deepEqual((await notes(ada)).filter((note) => note.startsWith("A gap")), []);
});

test("what others publish in any form does no harm", LIMIT, async () => {
  const ada = await visitor("Ada", { room: "odd" });
  const odd = [null, 17, "a string", [], { text: { a: 1 }, name: ["x"] }, { text: "", name: "" }, {}];
  await ada.page.evaluate((odd) => odd.forEach((data) => room.publish(data)), odd);
  await say(ada, "still here");
  const expected = ["null", "17", `"a string"`, "[]", `{"text":{"a":1},"name":["x"]}`, "", "{}", "still here"];
  assert.deepEqual(await said(ada), expected);
  assert.deepEqual(ada.complaints, []);
});

test("nothing is cut off on a phone or a desk, by day or by night", LIMIT, async () => {
  for (const [viewport, colorScheme] of [[WIDE, "light"], [WIDE, "dark"], [NARROW, "light"], [NARROW, "dark"]]) {
    const ada = await visitor("Ada", { room: "looks", viewport, colorScheme });
    await say(ada, `long: ${"x".repeat(300)} ${"word ".repeat(60)}end`);
    const width = await ada.page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= viewport.width, `${width} of ${viewport.width} px`);
    const colors = await ada.page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
    const brightness = colors.match(/\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
    assert.equal(brightness < 128, colorScheme === "dark", `${colors} is ${colorScheme}`);
    if (process.env.SCREENSHOTS) {
      const file = path.join(process.env.SCREENSHOTS, `page-${viewport.width}-${colorScheme}.png`);
      await ada.page.screenshot({ path: file, fullPage: true });
    }
  }
});

test("the sample for Socket.IO is there when that is on, and runs as it is", LIMIT, async () => {
  const ada = await visitor("Ada", { room: "samples" });
  const sample = await ada.page.locator("#socketio-sample").innerText();
  assert.equal(await ada.page.locator("#socketio-path").innerText(), "/socket.io/");
  const sockets = [];
  const heard = await new Promise((log) => {
    const connect = (...args) => sockets[sockets.push(io(...args)) - 1];
    new Function("io", "console", sample)(connect, { log });
  });
  for (const socket of sockets) socket.disconnect();
  assert.equal(heard, "hello");
  assert.deepEqual(ada.complaints, []);

  const without = await Server.start(["--socketio=false"]);
  opened.push(() => without.kill());
  const ben = await visitor("Ben", { room: "samples", port: without.port });
  assert.equal(await ben.page.locator("#socketio").isVisible(), false);
  assert.deepEqual(ben.complaints, []);
});

/** The page of examples/chat, served as its embedder serves it, in front of the tests' own server. */
async function example() {
  const port = await freePort();
  const front = http.createServer((request, response) => {
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(readFileSync(EXAMPLE));
  });
  const sockets = new Set();
  front.on("upgrade", (request, near) => {
    const far = net.connect(server.port, "127.0.0.1");
    const lines = request.rawHeaders.flatMap((field, at) => (at % 2 ? [] : [`${field}: ${request.rawHeaders[at + 1]}`]));
    far.write(`GET ${request.url} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => (near.destroy(), far.destroy()));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((done) => front.listen(port, "127.0.0.1", done));
  const cut = () => sockets.forEach((socket) => socket.destroy());
  opened.push(() => (cut(), front.closeAllConnections(), new Promise((done) => front.close(done))));
  return { port, cut };
}

test("the page of examples/chat does the same in the smallest form", LIMIT, async () => {
  const { port, cut } = await example();
  const [ada, ben] = [await visitor("", { port }), await visitor("", { port })];
  const sends = async ({ page }, words) => {
    await page.getByLabel("Message").fill(words);
    await page.getByRole("button", { name: "Send" }).click();
  };
  const heard = ({ page }) => page.locator("#messages li").allTextContents();
  await sees(ada.page, "#present", "2 here.");
  await sends(ada, "<b>hello</b>");
  await sees(ben.page, "#messages", "<b>hello</b>");
  const returns = [ada, ben].map(({ page }) => page.waitForEvent("websocket"));
  cut();
  await Promise.all(returns);
  await sees(ada.page, "#present", "2 here.");
  await sends(ben, "again");
  for (const visitor of [ada, ben]) {
    await sees(visitor.page, "#messages", "again");
    assert.deepEqual((await heard(visitor)).slice(-2), ["<b>hello</b>", "again"]);
  }
});
