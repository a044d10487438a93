// The HTTP side of a detector: an image in, a verdict out. Limits on bodies, on time and on requests at a time; errors as status codes; and an
// end that answers what was accepted.

import { createServer } from "node:http";
import { isLibtorchOodError } from "libtorch-ood";
import { Batcher } from "./batcher.mjs";
import { Metrics } from "./metrics.mjs";
import { imageErrors, verdicts } from "./verdicts.mjs";

class HttpError extends Error {
  constructor(status, code, message, headers = {}) {
    super(message);
    Object.assign(this, { status, code, headers });
  }
}

export class Service {
  server;
  #options;
  #batcher;
  #detector;
  #ending = false;
  #metrics = new Metrics();
  #pending = new Set(); // an AbortController for each request that is accepted and not answered

  /**
   * @param options.maxBatch, maxWait - of the Batcher
   * @param options.maxRequests - accepted at a time; more are told to come back
   * @param options.maxBytes - of a body
   * @param options.timeout - milliseconds from the headers of a request to its verdict
   */
  constructor(options) {
    this.#options = options;
    this.#batcher = new Batcher((images, signal) => this.#score(images, signal), options);
    // A client that dribbles its headers; a body is under the request's own timeout.
    const limits = { headersTimeout: 10_000, connectionsCheckingInterval: 1000 };
    this.server = createServer(limits, (request, response) => this.#take(request, response));
  }

  /** Begins to score with it; until then the service lives but is not ready. */
  async start(detector) {
    const { inChannels, imageSize } = detector.architecture;
    // The first pass sets up more than later ones: before anybody waits for it.
    await detector.predict({ data: new Uint8Array(inChannels * imageSize ** 2), shape: [1, inChannels, imageSize, imageSize] });
    this.#detector = detector;
  }

  get pending() {
    return this.#pending.size;
  }

  /** Accepts nothing more, answers what is accepted, but for at most `grace` milliseconds. */
  async end(grace) {
    this.#ending = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.#batcher.end();
    this.server.closeIdleConnections();
    const late = setTimeout(() => {
      for (const controller of this.#pending) controller.abort(busy("the service has ended"));
      this.server.closeAllConnections();
    }, grace);
    await closed;
    clearTimeout(late);
    this.#detector?.dispose();
  }

  async #score(images, signal) {
    const results = await verdicts(this.#detector, images, signal);
    this.#metrics.computed(results);
    return results;
  }

  async #take(request, response) {
    const since = performance.now();
    const path = request.url.split("?")[0];
    let answer;
    try {
      answer = path === "/score" ? { status: 200, body: await this.#verdict(request, response) } : this.#status(path);
    } catch (error) {
      answer = failure(error);
    }
    if (path === "/score") this.#metrics.answered(answer.status, (performance.now() - since) / 1000);
    this.#send(response, answer);
  }

  /** Of the service itself: whether the process lives, whether it wants requests, what it has done. */
  #status(path) {
    if (path === "/health") return { status: 200, body: { status: "ok" } };
    if (path === "/ready") {
      const ready = this.#detector !== undefined && !this.#ending;
      if (!ready) return { status: 503, body: this.#notReady() };
      return { status: 200, body: { status: "ready", classes: this.#detector.classNames } };
    }
    if (path === "/metrics") return { status: 200, body: this.#metrics.text(this.#pending.size), type: "text/plain; version=0.0.4" };
    throw new HttpError(404, "NOT_FOUND", "expected /score, /health, /ready or /metrics");
  }

  #notReady() {
    return { status: this.#ending ? "ending" : "loading" };
  }

  async #verdict(request, response) {
    const { maxRequests, maxBytes, timeout } = this.#options;
    if (request.method !== "POST") throw new HttpError(405, "METHOD", "expected POST", { allow: "POST" });
    if (this.#detector === undefined || this.#ending) throw busy(`the service is ${this.#notReady().status}`);
    if (this.#pending.size >= maxRequests) throw busy(`${maxRequests} requests are waiting already`);
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new HttpError(504, "TIMEOUT", `no verdict within ${timeout} ms`)), timeout);
    const gone = () => controller.abort(new HttpError(499, "GONE", "the client has gone"));
    this.#pending.add(controller);
    response.once("close", gone);
    try {
      const image = await readBody(request, maxBytes, controller.signal);
      if (image.length === 0) throw new HttpError(400, "EMPTY", "expected the bytes of an image as the body");
      return await this.#batcher.submit(image, controller.signal);
    } finally {
      clearTimeout(timer);
      response.off("close", gone);
      this.#pending.delete(controller);
    }
  }

  #send(response, { status, body, headers = {}, type = "application/json" }) {
    if (response.destroyed) return; // nobody to tell
    const text = typeof body === "string" ? body : `${JSON.stringify(body)}\n`;
    const closing = this.#ending ? { connection: "close" } : {};
    response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), ...headers, ...closing });
    response.end(text);
  }
}

/** Never holds more than `limit` bytes, whatever the client says or sends. */
function readBody(request, limit, signal) {
  return new Promise((resolve, reject) => {
    const tooLarge = () => reject(new HttpError(413, "TOO_LARGE", `expected at most ${limit} bytes`, { connection: "close" }));
    if (Number(request.headers["content-length"]) > limit) return tooLarge();
    const chunks = [];
    let length = 0;
    request.on("data", (chunk) => {
      length += chunk.length;
      if (length <= limit) return chunks.push(chunk);
      chunks.length = 0;
      tooLarge();
    });
    request.once("end", () => resolve(Buffer.concat(chunks)));
    request.once("error", reject);
    const late = () => reject(Object.assign(signal.reason, { headers: { connection: "close" } })); // the rest of the body is not wanted
    signal.addEventListener("abort", late, { once: true });
  });
}

function busy(message) {
  return new HttpError(503, "BUSY", message, { "retry-after": "1" });
}

/** What the client is told: of its own faults everything, of the service's nothing but that there was one. */
function failure(error) {
  if (error instanceof HttpError) {
    return { status: error.status, body: { code: error.code, message: error.message }, headers: error.headers };
  }
  const code = isLibtorchOodError(error) ? error.code : "INTERNAL";
  if (imageErrors.includes(code)) return { status: 400, body: { code, message: error.message } };
  if (code === "ERR_OUT_OF_MEMORY") return failure(busy("not enough memory for now"));
  console.error(error);
  return { status: 500, body: { code, message: "the service failed" } };
}
