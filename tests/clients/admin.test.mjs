// The official admin page (npm's @socket.io/admin-ui) in Chromium against an application over throng.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { io } from "socket.io-client";
import { Example } from "./server.mjs";

const LIMIT = { timeout: 60_000 };
const ROOT = new URL("node_modules/@socket.io/admin-ui/ui/dist/", import.meta.url).pathname;
const TYPES = { ".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".svg": "image/svg+xml" };

let browser, site, server;
const clients = [];

before(async () => {
  server = await Example.start("socketio_admin");
  site = http.createServer((request, answer) => {
    const name = request.url.split("?")[0];
    const file = path.join(ROOT, name === "/" ? "index.html" : name);
    if (!fs.existsSync(file)) return answer.writeHead(404).end();
    return answer.writeHead(200, { "Content-Type": TYPES[path.extname(file)] ?? "text/plain" }).end(fs.readFileSync(file));
  });
  await new Promise((done) => site.listen(0, "127.0.0.1", done));
  const executablePath = process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();
  browser = await chromium.launch({ executablePath });
});

after(async () => {
  for (const client of clients) client.disconnect();
  await browser?.close();
  site?.close();
  await server?.kill();
});

/** A client that is connected. */
async function connect(transport) {
  const client = io(server.http, { transports: [transport], forceNew: true, reconnection: false });
  clients.push(client);
  await new Promise((done) => client.once("connect", done));
  return client;
}

async function login(page, password) {
  await page.getByLabel("Username").fill("admin");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: /connect/i }).first().click();
}

test("the page shows sockets and rooms as they come and go, and disconnects one", LIMIT, async () => {
  const [one, two] = [await connect("websocket"), await connect("polling")];
  await one.emitWithAck("join", "lobby");
  const page = await browser.newPage();
  page.setDefaultTimeout(20_000);
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  await page.getByLabel("Server URL").fill(server.http);
  await login(page, "wrong");
  await page.getByText("invalid credentials").waitFor();
  // A wrong password again ends the connection; the page connects anew with each try.
  await login(page, "open sesame");
  await page.getByText(/^connected$/i).first().waitFor();
  const show = (name) => page.evaluate((hash) => (location.hash = hash), `#/${name}/`);
  await show("sockets");
  const row = (text) => page.locator("tr", { hasText: text }).first();
  await row(one.id).getByText("WebSocket").waitFor();
  await row(two.id).getByText("HTTP long-polling").waitFor();
  await show("rooms");
  await row("lobby").waitFor();
  await two.emitWithAck("join", "attic");
  await row("attic").waitFor();
  await show("sockets");
  const three = await connect("websocket");
  const { id } = three;
  await row(id).waitFor();
  const gone = new Promise((done) => three.once("disconnect", done));
  await row(id).getByRole("button").click();
  assert.equal(await gone, "io server disconnect");
  await show("clients");
  await show("sockets");
  await row(id).waitFor({ state: "detached" });
  await row(one.id).waitFor();
  // The page comes back by its session id, without the password.
  await page.reload();
  await page.getByText(/^connected$/i).first().waitFor();
});
