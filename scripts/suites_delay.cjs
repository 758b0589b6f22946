// For the tests of socket.io-client (scripts/suites): passes connections to port 3210 on to 3211, each 10 ms late, as the server
// of these tests is.
const net = require("node:net");

const listener = net.createServer((near) => {
  near.on("error", () => {});
  setTimeout(() => {
    const far = net.connect(3211, "127.0.0.1");
    far.on("error", () => near.destroy());
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
    near.pipe(far).pipe(near);
  }, 10);
});

exports.mochaHooks = {
  beforeAll: () => new Promise((done) => listener.listen(3210, done)),
  afterAll: () => listener.close(),
};
