// A detector behind HTTP: an image in, a verdict out. What a service needs beside the one call to `predict` is here too: a limit on bodies, a limit on
// waiting requests, errors as status codes, work that stops when the client has gone, and an end that lets running requests finish.
//
//   node examples/http-service.mjs detector.safetensors [--port 8080] [--host 127.0.0.1]
//   curl --data-binary @photo.jpg http://127.0.0.1:8080/score

import { createServer } from "node:http";
import { Command } from "commander";
import { Detector, isLibtorchOodError } from "libtorch-ood";
import { wholeNumber } from "./digits.mjs";

const program = new Command("http-service")
  .description("Serve a detector of images: POST /score with the bytes of a PNG, JPEG or WebP image.")
  .argument("<detector>", "a file that Detector.save or `libtorch-ood fit` wrote")
  .option("--port <n>", "0: any that is free", wholeNumber(0), 8080)
  .option("--host <name>", "address to listen on", "127.0.0.1")
  .option("--max-bytes <n>", "largest body", wholeNumber(1), 10 * 2 ** 20)
  .option("--max-requests <n>", "requests at a time; more are told to come back", wholeNumber(1), 32)
  .option("--grace <seconds>", "for running requests, when the service is told to end", wholeNumber(0), 10)
  .parse();
const options = program.opts();
const detector = await Detector.load(program.args[0]);

/** What the client can do about an error; every other code is a fault of the service, 500, whose message is not sent. */
const statusOf = {
  ERR_CORRUPT_FILE: 422, // not an image, or a damaged one
  ERR_SHAPE: 422,
  ERR_RANGE: 422,
  ERR_OUT_OF_MEMORY: 503,
};

class HttpError extends Error {
  constructor(status, message, headers = {}) {
    super(message);
    Object.assign(this, { status, headers });
  }
}

const running = new Set(); // an AbortController per request
const server = createServer((request, response) => {
  const controller = new AbortController();
  running.add(controller);
  response.once("close", () => {
    running.delete(controller);
    controller.abort(); // without effect where the answer has been sent; else the client has gone, and the work stops within a batch
  });
  answer(request, controller.signal).then(
    (body) => send(response, 200, body),
    (error) => fail(response, error),
  );
});
server.requestTimeout = 30_000; // a client that dribbles its body
server.headersTimeout = 10_000;

async function answer(request, signal) {
  const path = request.url.split("?")[0];
  if (path === "/health") return { status: "ok", classes: detector.classNames };
  if (path !== "/score") throw new HttpError(404, "expected /score or /health");
  if (request.method !== "POST") throw new HttpError(405, "expected POST", { allow: "POST" });
  if (running.size > options.maxRequests) throw new HttpError(503, "too many requests at a time", { "retry-after": "1" });
  const image = await readBody(request, options.maxBytes);
  if (image.length === 0) throw new HttpError(400, "expected the bytes of an image as the body");
  const [verdict] = await detector.predict(image, { signal });
  return verdict;
}

/** Never holds more than `limit` bytes, whatever the client says or sends. */
async function readBody(request, limit) {
  const tooLarge = () => new HttpError(413, `expected at most ${limit} bytes`, { connection: "close" });
  if (Number(request.headers["content-length"]) > limit) throw tooLarge();
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function fail(response, error) {
  if (response.destroyed) return; // nobody to tell
  if (error instanceof HttpError) return send(response, error.status, { message: error.message }, error.headers);
  const code = isLibtorchOodError(error) ? error.code : "ERR_INTERNAL";
  const status = statusOf[code] ?? 500;
  if (status >= 500) console.error(error);
  send(response, status, { code, message: status >= 500 ? "the service failed" : error.message });
}

function send(response, status, body, headers = {}) {
  if (response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text), ...headers });
  response.end(text);
}

server.listen(options.port, options.host, () => {
  console.log(`listening on http://${options.host}:${server.address().port}, ${detector.classNames.length} classes`);
});

let ending = false;
function end() {
  if (ending) process.exit(1); // told twice
  ending = true;
  console.log(`ending: ${running.size} requests are running`);
  const late = setTimeout(() => {
    for (const controller of running) controller.abort();
    server.closeAllConnections();
  }, options.grace * 1000);
  server.close(() => {
    clearTimeout(late);
    detector.dispose();
    console.log("ended");
  });
  server.closeIdleConnections();
}
process.on("SIGTERM", end);
process.on("SIGINT", end);
