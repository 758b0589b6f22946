// A throng of the tests' own: started on free ports, ended by its process id whatever happened.
import { spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

const bin = process.env.THRONG_BIN;
if (!bin) throw new Error("THRONG_BIN must name the throng binary");

/** A port below the ephemeral range, so that no client's source port can take it before the server binds. */
export async function freePort() {
  for (;;) {
    const port = 20000 + Math.floor(Math.random() * 12000);
    const probe = net.createServer();
    const free = await new Promise((done) => {
      probe.once("error", () => done(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

export class Server {
  /**
   * Starts `throng serve` with two shards and these further flags; resolves when both of its listeners accept connections.
   * With a `config`, that is written to a file in JSON, and the server is not in development mode.
   */
  static async start(flags = [], port = undefined, config = undefined) {
    const server = new Server();
    server.port = port ?? (await freePort());
    server.control = await freePort();
    server.http = `http://127.0.0.1:${server.port}`;
    server.url = `ws://127.0.0.1:${server.port}/connection/websocket`;
    const listeners = ["--listen", `127.0.0.1:${server.port}`, "--control", `127.0.0.1:${server.control}`];
    if (config) {
      server.folder = fs.mkdtempSync(path.join(os.tmpdir(), "throng-clients-"));
      const file = path.join(server.folder, "config.json");
      fs.writeFileSync(file, JSON.stringify(config));
      listeners.push("--config", file);
    }
    server.key = config?.http_api?.key;
    server.process = spawn(bin, ["serve", ...listeners, "--shards", "2", ...flags], { stdio: ["ignore", "ignore", "pipe"] });
    server.log = "";
    server.process.stderr.on("data", (data) => (server.log += data));
    server.exited = once(server.process, "exit");
    const until = Date.now() + 10_000;
    while (!(await reachable(server.port)) || !(await reachable(server.control))) {
      if (server.process.exitCode !== null || Date.now() > until) {
        await server.kill();
        throw new Error(`the server did not start: ${server.log}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    return server;
  }

  /** Calls a method of the server API; resolves with its result. */
  async api(method, body = {}) {
    const headers = { "Content-Type": "application/json", ...(this.key ? { "X-API-Key": this.key } : {}) };
    const response = await fetch(`http://127.0.0.1:${this.control}/api/${method}`, {
      method: "POST",
      headers,
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!answer.result) throw new Error(`${method} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
    return answer.result;
  }

  /** Sends SIGTERM; resolves with the exit code. */
  async drain() {
    this.process.kill("SIGTERM");
    const [code] = await this.exited;
    return code;
  }

  async kill() {
    if (this.process.exitCode === null) this.process.kill("SIGKILL");
    await this.exited;
    if (this.folder) fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One of the repository's examples, built beside the server, which takes its address and further words as arguments. */
export class Example {
  static async start(name, port = undefined, words = []) {
    const example = new Example();
    example.port = port ?? (await freePort());
    example.http = `http://127.0.0.1:${example.port}`;
    const program = path.join(path.dirname(bin), "examples", name);
    example.process = spawn(program, [`127.0.0.1:${example.port}`, ...words], { stdio: ["ignore", "ignore", "pipe"] });
    example.log = "";
    example.process.stderr.on("data", (data) => (example.log += data));
    example.exited = once(example.process, "exit");
    const until = Date.now() + 10_000;
    while (!(await reachable(example.port))) {
      if (example.process.exitCode !== null || Date.now() > until) {
        await example.kill();
        throw new Error(`${name} did not start: ${example.log}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    return example;
  }

  /** Sends SIGTERM; resolves with the exit code. */
  async drain() {
    this.process.kill("SIGTERM");
    const [code] = await this.exited;
    return code;
  }

  async kill() {
    if (this.process.exitCode === null) this.process.kill("SIGKILL");
    await this.exited;
  }
}

function reachable(port) {
  return new Promise((done) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => (socket.destroy(), done(true)));
    socket.once("error", () => done(false));
  });
}

/** A JSON Web Token (RFC 7519) with these claims, signed with HS256. */
export function token(secret, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}
