// A chat with rooms and answers: the backend of throng for Socket.IO clients, in Node without packages.
//
//   SECRET=s3cret node examples/socketio_backend.mjs 127.0.0.1:3001
//   throng --config FILE with [socketio.proxy.event] and [socketio.proxy.disconnect], see docs/SOCKETIO.md
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = process.env.SECRET;
/** The names of those in each room. The state of a socket travels with its events; this is for all of them. */
const rooms = new Map();

const leave = (sid, state) => {
  rooms.get(state.room)?.delete(sid);
  return [{ leave: { rooms: state.room } }, { emit: { event: "went", args: [state.name], to: state.room } }];
};

const events = {
  __proto__: null, // names of events are a client's
  join({ sid, args: [room, name], state }) {
    if (typeof room !== "string" || typeof name !== "string") return { ack: [{ error: "join takes a room and a name" }] };
    const left = state ? leave(sid, state) : [];
    if (!rooms.has(room)) rooms.set(room, new Map());
    rooms.get(room).set(sid, name);
    const came = { event: "came", args: [name], to: room, except: sid };
    return {
      ack: [{ members: [...rooms.get(room).values()] }],
      state: { room, name },
      do: [...left, { join: { rooms: room } }, { emit: came }],
    };
  },
  "chat message"({ args: [text], state }) {
    if (!state) return { ack: [{ error: "join a room first" }] };
    return { ack: ["ok"], do: [{ emit: { event: "chat message", args: [state.name, text], to: state.room } }] };
  },
  leave({ sid, state }) {
    return state ? { ack: ["ok"], state: null, do: leave(sid, state) } : { ack: ["ok"] };
  },
  bye: () => ({ do: [{ disconnect: {} }] }),
};

const paths = {
  "/event": (asked) => events[asked.event]?.(asked) ?? { ack: [{ error: `unknown event ${asked.event}` }] },
  "/disconnect": ({ sid, state }) => void rooms.get(state?.room)?.delete(sid),
};

createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const sign = secret && `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
  const signed = request.headers["x-throng-signature"] ?? "";
  if (sign && !(signed.length === sign.length && timingSafeEqual(Buffer.from(signed), Buffer.from(sign)))) {
    return response.writeHead(403).end();
  }
  const result = paths[request.url]?.(JSON.parse(body));
  if (!result) return response.writeHead(request.url in paths ? 204 : 404).end();
  response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify({ result }));
}).listen(...(process.argv[2] ?? "127.0.0.1:3001").split(":").reverse());
