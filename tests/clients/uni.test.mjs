// Clients that say who they are and then only listen need no library: what every platform has for WebSocket, server-sent
// events and streamed responses is enough.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { LIMIT, numbers, until } from "./harness.mjs";
import { Server, token } from "./server.mjs";

const SECRET = "a secret of these tests";
const CONFIG = {
  client: { token: { hmac_secret_key: SECRET }, expired_close_delay: "0s" },
  uni_websocket: { enabled: true },
  uni_sse: { enabled: true },
  uni_http_stream: { enabled: true },
  http_api: { key: "key" },
  channel: { namespaces: [{ name: "stream", history_size: 100, history_ttl: "60s", force_recovery: true }] },
};

let server;
const closing = [];
before(async () => (server = await Server.start(["--ping-interval-ms", "1000"], undefined, CONFIG)));
after(async () => {
  for (const close of closing) close();
  await server.kill();
});

/** Each opens a connection that says `connect`, and hands every message to `hear` and the ending to `end`. */
const WAYS = {
  WebSocket: (connect, hear, end) => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}/connection/uni_websocket`);
    socket.on("open", () => socket.send(JSON.stringify(connect)));
    socket.on("message", (data) => hear(JSON.parse(data)));
    socket.on("close", (code, reason) => end({ code, reason: reason.toString() }));
    closing.push(() => socket.terminate());
  },
  SSE: (connect, hear, end) => {
    const query = new URLSearchParams({ cf_connect: JSON.stringify(connect) });
    const source = new EventSource(`${server.http}/connection/uni_sse?${query}`);
    source.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      hear(message);
      if (message.disconnect) end(message.disconnect);
    };
    // It would come back by itself.
    source.onerror = () => source.close();
    closing.push(() => source.close());
  },
  "SSE by POST": (connect, hear, end) =>
    stream("/connection/uni_sse", connect, hear, end, (text) => text.match(/^data: ?(.*)$/m)?.[1], "\n\n"),
  "HTTP streaming": (connect, hear, end) => stream("/connection/uni_http_stream", connect, hear, end, (text) => text, "\n"),
};

async function stream(path, connect, hear, end, payload, separator) {
  const gone = new AbortController();
  closing.push(() => gone.abort());
  try {
    const response = await fetch(server.http + path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(connect),
      signal: gone.signal,
    });
    assert.equal(response.status, 200);
    let rest = "";
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split(separator);
      rest = parts.pop();
      for (const part of parts.map(payload).filter(Boolean)) {
        const message = JSON.parse(part);
        hear(message);
        if (message.disconnect) end(message.disconnect);
      }
    }
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}

/** What a listener hears: replies to nothing, pushes and pings. */
function listen(way, claims, more = {}, secret = SECRET) {
  const heard = { messages: [], ended: undefined };
  const exp = Math.floor(Date.now() / 1000) + 600;
  const connect = { token: token(secret, { sub: "ann", exp, ...claims }), name: "uni", ...more };
  WAYS[way](connect, (message) => heard.messages.push(message), (ended) => (heard.ended = ended));
  heard.pushes = (kind) => heard.messages.filter((message) => message[kind]);
  return heard;
}

// Much of this is waiting for pings and for tokens to run out.
const AT_ONCE = { concurrency: 8 };

describe("without commands", AT_ONCE, () => {
  for (const way of Object.keys(WAYS)) {
    describe(way, AT_ONCE, () => {
      test("says hello, and tells every publication in order", LIMIT, async () => {
        const channel = `stream:${way}`;
        const heard = listen(way, { channels: [channel], sub: `ann-${way}` });
        await until(() => heard.messages.length > 0, () => "the first message");
        const { connect } = heard.messages[0];
        assert.match(connect.client, /^[0-9a-f-]{36}$/);
        assert.match(connect.session, /^[0-9a-f]+$/, "the server API names it by that");
        assert.equal(connect.node ?? "", "", "it sends no commands to a node");
        assert.equal(connect.pong ?? false, false, "it is not asked to answer pings");
        assert.equal(connect.subs[channel].recoverable, true);
        for (const n of numbers(1, 50)) await server.api("publish", { channel, data: { n } });
        await until(() => heard.pushes("pub").length >= 50, () => `${heard.pushes("pub").length} publications`);
        assert.deepEqual(heard.pushes("pub").map(({ channel, pub }) => [channel, pub.data.n, pub.offset]), numbers(1, 50).map((n) => [channel, n, n]));
        assert.ok(heard.messages.every((message) => !("id" in message) && !("push" in message)));
      });

      test("recovers what it missed, from the position that it names", LIMIT, async () => {
        const channel = `stream:back-${way}`;
        for (const n of numbers(1, 5)) await server.api("publish", { channel, data: n });
        const { epoch } = await server.api("history", { channel });
        const heard = listen(way, { channels: [channel] }, { subs: { [channel]: { recover: true, offset: 2, epoch } } });
        await until(() => heard.messages.length > 0, () => "the first message");
        const { recovered, was_recovering, publications } = heard.messages[0].connect.subs[channel];
        assert.deepEqual([recovered, was_recovering, publications.map(({ data }) => data)], [true, true, [3, 4, 5]]);
      });

      test("is subscribed, unsubscribed and disconnected by the server", LIMIT, async () => {
        const user = `bob-${way}`;
        const heard = listen(way, { sub: user });
        await until(() => heard.messages.length > 0, () => "the first message");
        await server.api("subscribe", { user, channel: "stream:told" });
        await until(() => heard.pushes("subscribe").length === 1, () => "the subscribe push");
        await server.api("unsubscribe", { user, channel: "stream:told" });
        await until(() => heard.pushes("unsubscribe").length === 1, () => "the unsubscribe push");
        assert.deepEqual(heard.pushes("unsubscribe")[0], { channel: "stream:told", unsubscribe: { code: 2000, reason: "server unsubscribe" } });
        const { session } = heard.messages[0].connect;
        await server.api("disconnect", { user, session, disconnect: { code: 4501, reason: "go away" } });
        await until(() => heard.ended, () => "the end");
        assert.deepEqual([heard.ended.code, heard.ended.reason], [4501, "go away"]);
      });

      test("hears pings while nothing happens", LIMIT, async () => {
        const heard = listen(way, {});
        const pings = () => heard.messages.filter((message) => Object.keys(message).length === 0).length;
        await until(() => pings() >= 2, () => `${pings()} pings`);
      });

      test("is let go when its token is over or was never good", LIMIT, async () => {
        const heard = listen(way, { exp: Math.floor(Date.now() / 1000) + 1 });
        const forged = listen(way, {}, {}, "another secret");
        await until(() => heard.ended && forged.ended, () => "the end");
        assert.deepEqual([heard.ended.code, heard.ended.reason], [3005, "connection expired"]);
        assert.deepEqual([forged.ended.code, forged.ended.reason], [3500, "invalid token"]);
      });
    });
  }
});
