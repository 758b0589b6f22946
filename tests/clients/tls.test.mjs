// The official client over wss: from node, and from Chromium, whose TLS is BoringSSL.
//
// CHROMIUM names another browser binary (default: chromium on the PATH).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { Centrifuge } from "centrifuge";
import { chromium } from "playwright-core";
import WebSocket from "ws";
import { Server } from "./server.mjs";

const LIMIT = { timeout: 60_000 };
const BUNDLE = readFileSync(new URL("node_modules/centrifuge/dist/centrifuge.js", import.meta.url), "utf8");

let server, url;

before(async () => {
  const config = {
    client: { insecure: true, allowed_origins: ["*"] },
    first_page: true,
    channel: { without_namespace: { history_size: 10, history_ttl: "60s", force_recovery: true } },
  };
  server = await Server.start(["--tls-self-signed"], undefined, config);
  url = server.url.replace("ws://", "wss://");
});

after(() => server?.kill());

/** In the page or here: subscribes, publishes three messages and resolves with what came of them. */
async function chat(client) {
  const channel = client.newSubscription("room");
  const seen = [];
  const all = new Promise((done) => channel.on("publication", ({ data }) => seen.push(data.n) === 3 && done()));
  const subscribed = new Promise((done) => channel.on("subscribed", done));
  channel.subscribe();
  client.connect();
  await subscribed;
  for (const n of [1, 2, 3]) await channel.publish({ n, text: "é".repeat(n * 9000) });
  await all;
  client.disconnect();
  return seen;
}

describe("wss", LIMIT, () => {
  for (const version of ["TLSv1.2", "TLSv1.3"]) {
    test(`node, ${version}`, LIMIT, async () => {
      class Socket extends WebSocket {
        constructor(address, protocols) {
          super(address, protocols, { rejectUnauthorized: false, minVersion: version, maxVersion: version });
        }
      }
      const client = new Centrifuge(url, { websocket: Socket });
      assert.deepEqual(await chat(client), [1, 2, 3]);
    });
  }

  test("Chromium, the client and the first page", LIMIT, async () => {
    const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
    const browser = await chromium.launch({ executablePath });
    try {
      const context = await browser.newContext({ ignoreHTTPSErrors: true });
      const page = await context.newPage();
      const answer = await page.goto(server.http.replace("http://", "https://"));
      assert.equal(answer.status(), 200);
      assert.equal((await answer.securityDetails()).protocol, "TLS 1.3");
      await page.addScriptTag({ content: BUNDLE });
      const seen = await page.evaluate(`(${chat})(new Centrifuge(${JSON.stringify(url)}))`);
      assert.deepEqual(seen, [1, 2, 3]);
    } finally {
      await browser.close();
    }
  });
});
