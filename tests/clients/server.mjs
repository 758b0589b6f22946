// A throng of the tests' own: started on free ports, ended by its process id whatever happened.
import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";

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
  /** Starts `throng serve` with two shards and these further flags; resolves when it accepts connections. */
  static async start(flags = [], port = undefined) {
    const server = new Server();
    server.port = port ?? (await freePort());
    server.url = `ws://127.0.0.1:${server.port}/connection/websocket`;
    const args = ["serve", "--listen", `127.0.0.1:${server.port}`, "--control", "off", "--shards", "2", ...flags];
    server.process = spawn(bin, args, { stdio: ["ignore", "ignore", "pipe"] });
    server.log = "";
    server.process.stderr.on("data", (data) => (server.log += data));
    server.exited = once(server.process, "exit");
    const until = Date.now() + 10_000;
    while (!(await reachable(server.port))) {
      if (server.process.exitCode !== null || Date.now() > until) {
        server.process.kill("SIGKILL");
        throw new Error(`the server did not start: ${server.log}`);
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    return server;
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
