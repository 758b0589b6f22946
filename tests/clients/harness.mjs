// What the tests of the JavaScript client share: a client for each way to the server, and waiting for what it tells.
//
// Every peer speaks in values: over Protobuf, whose payloads are bytes, they travel as the bytes of their JSON, so that one
// scenario serves all transports and their clients understand each other.
import assert from "node:assert/strict";
import net from "node:net";
import { Centrifuge } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import WebSocket from "ws";

/** How a client reaches the server: the official client's class for the encoding, and its name of the transport. */
export const TRANSPORTS = [
  { name: "WebSocket, JSON", transport: "websocket", path: "/connection/websocket", isProtobuf: false },
  { name: "WebSocket, Protobuf", transport: "websocket", path: "/connection/websocket", isProtobuf: true },
  { name: "SSE", transport: "sse", path: "/connection/sse", isProtobuf: false },
  { name: "HTTP streaming, JSON", transport: "http_stream", path: "/connection/http_stream", isProtobuf: false },
  { name: "HTTP streaming, Protobuf", transport: "http_stream", path: "/connection/http_stream", isProtobuf: true },
];

/** A test that takes longer has failed. */
export const LIMIT = { timeout: 20_000 };

const peers = [];
const doors = [];

/** Disconnects all peers that were made, and shuts all doors; for `afterEach`. */
export function endAll() {
  for (const peer of peers.splice(0)) peer.client.disconnect();
  for (const door of doors.splice(0)) door.shut();
}

/** Between clients and the server: passes bytes on, until it cuts the connections as a network does, without a word. */
export class Door {
  static async to({ port }) {
    const door = new Door();
    door.sockets = new Set();
    door.listener = net.createServer((near) => {
      const far = net.connect(port, "127.0.0.1");
      for (const [one, other] of [[near, far], [far, near]]) {
        door.sockets.add(one);
        one.pipe(other);
        one.on("error", () => {});
        one.on("close", () => (door.sockets.delete(one), other.destroy()));
      }
    });
    await new Promise((done) => door.listener.listen(0, "127.0.0.1", done));
    door.port = door.listener.address().port;
    door.http = `http://127.0.0.1:${door.port}`;
    doors.push(door);
    return door;
  }

  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  shut() {
    this.listener.close();
    this.cut();
  }
}

export const event = (emitter, name) => new Promise((done) => emitter.once(name, done));

export async function until(condition, what) {
  const end = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < end, `never happened: ${what()}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

/** The numbers from `first` to `last`. */
export const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, n) => first + n);

export class Peer {
  constructor(server, { transport, path, isProtobuf }, options = {}) {
    const endpoint = `${transport === "websocket" ? "ws" : "http"}://127.0.0.1:${server.port}${path}`;
    const Client = isProtobuf ? ProtobufCentrifuge : Centrifuge;
    this.encode = isProtobuf ? (value) => new TextEncoder().encode(JSON.stringify(value)) : (value) => value;
    this.decode = isProtobuf ? (data) => JSON.parse(new TextDecoder().decode(data)) : (data) => data;
    if (options.data !== undefined) options = { ...options, data: this.encode(options.data) };
    this.client = new Client([{ transport, endpoint }], {
      websocket: WebSocket,
      eventsource: EventSource,
      emulationEndpoint: `${server.http}/emulation`,
      minReconnectDelay: 20,
      maxReconnectDelay: 100,
      ...options,
    });
    /** The id that the server gave, when connected. */
    this.id = undefined;
    this.client.on("connected", ({ client }) => (this.id = client));
    this.errors = [];
    this.client.on("error", (context) => this.errors.push(context.error));
    peers.push(this);
  }

  /** Resolves with the context of `connected`. */
  async connect() {
    const context = event(this.client, "connected");
    this.client.connect();
    return context;
  }

  /** A subscription that remembers what it was told, not yet subscribed. */
  channel(name, options = {}) {
    if (options.data !== undefined) options = { ...options, data: this.encode(options.data) };
    const subscription = this.client.newSubscription(name, { minResubscribeDelay: 20, maxResubscribeDelay: 100, ...options });
    Object.assign(subscription, { received: [], offsets: [], publications: [], joined: [], left: [], contexts: [] });
    subscription.on("publication", (publication) => {
      subscription.received.push(this.decode(publication.data));
      subscription.offsets.push(publication.offset);
      subscription.publications.push(publication);
    });
    subscription.on("join", ({ info }) => subscription.joined.push(info.client));
    subscription.on("leave", ({ info }) => subscription.left.push(info.client));
    subscription.on("subscribed", (context) => subscription.contexts.push(context));
    return subscription;
  }

  /** A subscription of a channel, resolved when the server said so. */
  async subscribe(name, options) {
    const subscription = this.channel(name, options);
    const context = event(subscription, "subscribed");
    subscription.subscribe();
    await context;
    return subscription;
  }

  publish(channel, value) {
    return this.client.publish(channel, this.encode(value));
  }
}
