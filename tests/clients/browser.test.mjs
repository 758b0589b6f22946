// The official client in Chromium: what a browser adds is origins, its own WebSocket, EventSource and fetch, and pages that go.
//
// CHROMIUM names another browser binary (default: chromium on the PATH).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import http from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { TRANSPORTS, numbers } from "./harness.mjs";
import { Server } from "./server.mjs";

const LIMIT = { timeout: 60_000 };
const bundle = (name) => readFileSync(new URL(`node_modules/centrifuge/dist/${name}.js`, import.meta.url), "utf8");
const JSON_CLIENT = bundle("centrifuge");
const PROTOBUF_CLIENT = bundle("centrifuge.protobuf");

let browser, site, server;
const contexts = [];

before(async () => {
  // A site of the application's own, under two names: one is allowed, the other not.
  site = http.createServer((_, answer) => answer.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>site</title>"));
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const stream = { history_size: 100, history_ttl: "60s", force_recovery: true, presence: true };
  const config = {
    client: { insecure: true, allowed_origins: [`http://127.0.0.1:${site.address().port}`] },
    sse: { enabled: true },
    http_stream: { enabled: true },
    uni_sse: { enabled: true },
    http_api: { key: "key" },
    first_page: true,
    channel: { namespaces: [{ name: "stream", ...stream }] },
  };
  server = await Server.start([], undefined, config);
  const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath });
});

after(async () => {
  await browser?.close();
  await server?.kill();
  site?.close();
});

afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});

/** A page of this address, with the client in it. */
async function open(url, isProtobuf = false) {
  const context = await browser.newContext();
  contexts.push(context);
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
    for (const [whose, url] of [["a page of an allowed origin", allowed], ["a page of the server's own", () => `${server.http}/`]]) {
      test(`from ${whose}`, LIMIT, async () => {
        const channel = `stream:${way.name}-${whose}`;
        const page = await open(url(), way.isProtobuf);
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

    test("not from a page of another origin", LIMIT, async () => {
      const page = await open(refused(), way.isProtobuf);
      await page.evaluate(begin, { ...way, port: server.port, channel: "stream:refused" });
      await page.waitForFunction(() => window.seen.errors.length >= 3);
      assert.equal((await seen(page)).connected, 0);
    });
  });
}

describe("without the client", () => {
  test("a page listens with an EventSource, and reads answers of the server's own only where it may", LIMIT, async () => {
    const listen = ([port]) =>
      new Promise((done) => {
        const source = new EventSource(`http://127.0.0.1:${port}/connection/uni_sse?cf_connect={}`, { withCredentials: true });
        source.onmessage = ({ data }) => (source.close(), done(Object.keys(JSON.parse(data))));
        source.onerror = () => (source.close(), done("refused"));
      });
    assert.deepEqual(await (await open(allowed())).evaluate(listen, [server.port]), ["connect"]);
    assert.equal(await (await open(refused())).evaluate(listen, [server.port]), "refused");
  });
});
