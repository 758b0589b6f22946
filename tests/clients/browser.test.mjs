// The official client in Chromium: what a browser adds is origins, its own WebSocket, EventSource and fetch, and pages that go.
//
// CHROMIUM names another browser binary (default: chromium on the PATH).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { TRANSPORTS, numbers } from "./harness.mjs";
import { Example, Server, freePort } from "./server.mjs";

const LIMIT = { timeout: 60_000 };
const bundle = (name) => readFileSync(new URL(`node_modules/centrifuge/dist/${name}.js`, import.meta.url), "utf8");
const JSON_CLIENT = bundle("centrifuge");
const PROTOBUF_CLIENT = bundle("centrifuge.protobuf");

let browser, site, server;

before(async () => {
  // A site of the application's own, under two names: one is allowed, the other not.
  site = http.createServer((_, answer) => answer.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>site</title>"));
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const stream = { history_size: 100, history_ttl: "60s", force_recovery: true, presence: true };
  // A list of origins is all that counts: the server's own page is named, too.
  const port = await freePort();
  const config = {
    client: { insecure: true, allowed_origins: [site.address().port, port].map((named) => `http://127.0.0.1:${named}`) },
    sse: { enabled: true },
    http_stream: { enabled: true },
    uni_sse: { enabled: true },
    http_api: { key: "key" },
    first_page: true,
    channel: { namespaces: [{ name: "stream", ...stream }] },
  };
  server = await Server.start([], port, config);
  const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath });
});

after(async () => {
  await browser?.close();
  await server?.kill();
  site?.close();
});

/** A page of this address, with the client in it, until the test is over. */
async function open(test, url, isProtobuf = false) {
  const context = await browser.newContext();
  test.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(url);
  await page.addScriptTag({ content: isProtobuf ? PROTOBUF_CLIENT : JSON_CLIENT });
  return page;
}

const allowed = () => `http://127.0.0.1:${site.address().port}/`;
const refused = () => `http://localhost:${site.address().port}/`;

/** In the page: a client in `window.client`, its events in `window.seen`. */
function begin({ transport, path, isProtobuf, port, channel }) {
  const endpoint = `${transport === "websocket" ? "ws" : "http"}://127.0.0.1:${port}${path}`;
  const emulationEndpoint = `http://127.0.0.1:${port}/emulation`;
  const seen = (window.seen = { received: [], contexts: [], errors: [], connected: 0 });
  const decode = isProtobuf ? (data) => JSON.parse(new TextDecoder().decode(data)) : (data) => data;
  window.encode = isProtobuf ? (value) => new TextEncoder().encode(JSON.stringify(value)) : (value) => value;
  const client = (window.client = new Centrifuge([{ transport, endpoint }], { emulationEndpoint, minReconnectDelay: 20, maxReconnectDelay: 100 }));
  client.on("error", ({ error }) => seen.errors.push(error.message));
  client.on("connected", ({ client: id }) => ((seen.connected += 1), (seen.id = id)));
  const subscription = (window.subscription = client.newSubscription(channel));
  subscription.on("publication", ({ data, offset }) => seen.received.push([decode(data), offset]));
  subscription.on("subscribed", (context) => seen.contexts.push({ recovered: context.recovered, wasRecovering: context.wasRecovering }));
  subscription.subscribe();
  client.connect();
}

const seen = (page) => page.evaluate(() => window.seen);
const published = (count) => [(count) => window.seen.received.length >= count, count];

for (const way of TRANSPORTS) {
  describe(way.name, () => {
    const pages = [["a page of an allowed origin", allowed]];
    if (!way.isProtobuf) pages.push(["a page of the server's own", () => `${server.http}/`]);
    for (const [whose, url] of pages) {
      test(`from ${whose}`, LIMIT, async (t) => {
        const channel = `stream:${way.name}-${whose}`;
        const page = await open(t, url(), way.isProtobuf);
        await page.evaluate(begin, { ...way, port: server.port, channel });
        await page.waitForFunction(() => window.seen.contexts.length === 1);
        for (const n of numbers(1, 20)) await server.api("publish", { channel, data: n });
        await page.evaluate(() => window.subscription.publish(window.encode({ text: "Grüße 🌍" })));
        await page.waitForFunction(...published(21));
        const { id } = await seen(page);
        const present = await page.evaluate(async () => Object.keys((await window.subscription.presence()).clients));
        assert.deepEqual(present, [id]);
        const error = await page.evaluate(() => window.client.rpc("nothing", window.encode(1)).catch(({ code }) => code));
        assert.equal(error, 108);

        // The server breaks the connection, and goes on.
        await server.api("disconnect", { user: "", client: id, disconnect: { code: 3001, reason: "again" } });
        for (const n of numbers(22, 30)) await server.api("publish", { channel, data: n });
        await page.waitForFunction(...published(30));
        const { received, contexts } = await seen(page);
        assert.deepEqual(received.map(([, offset]) => offset), numbers(1, 30));
        assert.deepEqual(received[20][0], { text: "Grüße 🌍" });
        assert.deepEqual(contexts[1], { recovered: true, wasRecovering: true });

        // A page that goes takes its connection along.
        await page.goto("about:blank");
        let count = 1;
        while (count > 0) ({ num_clients: count = 0 } = await server.api("presence_stats", { channel }));
      });
    }

    test("not from a page of another origin", LIMIT, async (t) => {
      const page = await open(t, refused(), way.isProtobuf);
      await page.evaluate(begin, { ...way, port: server.port, channel: "stream:refused" });
      await page.waitForFunction(() => window.seen.errors.length >= 3);
      assert.equal((await seen(page)).connected, 0);
    });
  });
}

describe("with compression", () => {
  let packed;
  before(async () => {
    const client = { insecure: true, allowed_origins: [`http://127.0.0.1:${site.address().port}`] };
    packed = await Server.start(["--compression"], undefined, { client, http_api: { key: "key" } });
  });
  after(() => packed?.kill());

  test("a browser offers it with every WebSocket", LIMIT, async (t) => {
    const extensions = ([port]) =>
      new Promise((done) => {
        const socket = new WebSocket(`ws://127.0.0.1:${port}/connection/websocket`);
        socket.onopen = () => (done(socket.extensions), socket.close());
        socket.onerror = () => done("refused");
      });
    const page = await open(t, allowed());
    assert.match(await page.evaluate(extensions, [packed.port]), /^permessage-deflate/);
    assert.equal(await page.evaluate(extensions, [server.port]), "");
  });

  for (const way of TRANSPORTS.filter(({ transport }) => transport === "websocket")) {
    test(way.name, LIMIT, async (t) => {
      const page = await open(t, allowed(), way.isProtobuf);
      const channel = `packed ${way.name}`;
      await page.evaluate(begin, { ...way, port: packed.port, channel });
      await page.waitForFunction(() => window.seen.contexts.length === 1);
      const values = [1, 20, 400].map((count) => numbers(1, count).map((n) => ({ name: "Grüße 🌍", n })));
      for (const data of values) await packed.api("publish", { channel, data });
      // What a page sends is compressed by the browser.
      await page.evaluate((value) => window.subscription.publish(window.encode(value)), values[2]);
      await page.waitForFunction(...published(4));
      assert.deepEqual((await seen(page)).received.map(([data]) => data), [...values, values[2]]);
      assert.deepEqual((await seen(page)).errors, []);
    });
  }
});

describe("without the client", () => {
  test("a page listens with an EventSource, and reads answers of the server's own only where it may", LIMIT, async (t) => {
    const listen = ([port]) =>
      new Promise((done) => {
        const source = new EventSource(`http://127.0.0.1:${port}/connection/uni_sse?cf_connect={}`, { withCredentials: true });
        source.onmessage = ({ data }) => (source.close(), done(Object.keys(JSON.parse(data))));
        source.onerror = () => (source.close(), done("refused"));
      });
    assert.deepEqual(await (await open(t, allowed())).evaluate(listen, [server.port]), ["connect"]);
    assert.equal(await (await open(t, refused())).evaluate(listen, [server.port]), "refused");
  });
});

// Over HTTP long-polling first, by Chromium's own requests, then by its own WebSocket.
test("a page with socket.io-client moves from polling to WebSocket, and loses nothing meanwhile", LIMIT, async (test) => {
  const example = await Example.start("socketio_conformance");
  test.after(() => example.kill());
  const context = await browser.newContext();
  test.after(() => context.close());
  const page = await context.newPage();
  await page.goto(`${example.http}/socket.io/`);
  await page.addScriptTag({ content: readFileSync(new URL("node_modules/socket.io-client/dist/socket.io.js", import.meta.url), "utf8") });
  const told = await page.evaluate(async () => {
    const socket = io();
    const got = [];
    socket.on("message-back", (number) => got.push(number));
    const before = socket.io.engine.transport.name;
    let [sent, isMoved] = [0, false];
    socket.io.engine.once("upgrade", () => (isMoved = true));
    await new Promise((done) => socket.once("connect", done));
    while (!isMoved) {
      socket.emit("message", sent++);
      await new Promise((done) => setTimeout(done));
    }
    for (let n = 0; n < 20; n++) socket.emit("message", sent++);
    while (got.length < sent) await new Promise((done) => setTimeout(done, 5));
    return { before, after: socket.io.engine.transport.name, got, sent };
  });
  assert.deepEqual([told.before, told.after], ["polling", "websocket"]);
  assert.deepEqual(told.got, numbers(0, told.sent - 1));
});
