// The application of `examples/socketio_bench.rs` on Node's socket.io, for scripts/bench-socketio:
// node scripts/bench-socketio.mjs PACKAGES HOST:PORT [recovery], where PACKAGES has socket.io in node_modules.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const [packages, address, recovery] = process.argv.slice(2);
const { Server } = createRequire(`${packages}/`)("socket.io");
const [host, port] = address.split(":");
const http = createServer();
const io = new Server(http, {
  serveClient: false,
  connectionStateRecovery: recovery ? { maxDisconnectionDuration: 120_000 } : undefined,
});
io.on("connection", (socket) => {
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack?.();
  });
  socket.on("echo", (data, ack) => ack?.(data));
  socket.on("publish", (room, data, ack) => {
    io.to(room).emit("publish", room, data);
    ack?.();
  });
});
http.listen({ host, port: Number(port), backlog: 4096 }, () => console.log(`socket.io ready: ${address}`));
