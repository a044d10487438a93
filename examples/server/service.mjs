// The HTTP side of a detector: an image in, a verdict out. Limits on bodies, on time and on requests at a time; errors as status codes; and an
// end that answers what was accepted.

import { createServer } from "node:http";
import { isLibtorchOodError } from "libtorch-ood";
import { Batcher } from "./batcher.mjs";
import { answerAndDrain, hasBody, HttpError, readBody } from "./http-body.mjs";
import { Metrics } from "./metrics.mjs";
import { imageErrors, statedPixels, verdicts } from "./verdicts.mjs";

export class Service {
  server;
  #options;
  #batcher;
  #detector;
  #ending = false;
  #metrics = new Metrics();
  #open = new Set(); // an AbortController for each request whose body comes or that is accepted, and that is not answered
  #accepted = 0; // of those, the ones whose body is there
  #received = 0; // bytes of the bodies that are coming

  /**
   * @param options.maxBatch, maxWait - of the Batcher
   * @param options.maxRequests - accepted at a time; more are told to come back
   * @param options.maxBytes - of a body; those that are coming hold maxRequests times as much in all
   * @param options.maxPixels - of an image, as its header states them
   * @param options.bodyTimeout - milliseconds from the headers of a request to the end of its body
   * @param options.timeout - milliseconds from the headers of a request to its verdict
   */
  constructor(options) {
    this.#options = options;
    this.#batcher = new Batcher((images, signal) => this.#score(images, signal), options);
    // A client that dribbles its headers; a body has a time of its own.
    const limits = { headersTimeout: 10_000, connectionsCheckingInterval: 1000 };
    this.server = createServer(limits, (request, response) => this.#take(request, response));
  }

  /** Begins to score with it; until then the service lives but is not ready. */
  async start(detector) {
    const { channels, size } = detector.model.input;
    // The first pass sets up more than later ones: before anybody waits for it.
    await detector.predict({ data: new Uint8Array(channels * size ** 2), shape: [1, channels, size, size] });
    this.#detector = detector;
  }

  get pending() {
    return this.#accepted;
  }

  /** Accepts nothing more, answers what is accepted, but for at most `grace` milliseconds. */
  async end(grace) {
    this.#ending = true;
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.#batcher.end();
    this.server.closeIdleConnections();
    const late = setTimeout(() => {
      for (const controller of this.#open) controller.abort(busy("the service has ended"));
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
    this.#send(request, response, answer);
  }

  /** Of the service itself: whether the process lives, whether it wants requests, what it has done. */
  #status(path) {
    if (path === "/health") return { status: 200, body: { status: "ok" } };
    if (path === "/ready") {
      const ready = this.#detector !== undefined && !this.#ending;
      if (!ready) return { status: 503, body: this.#notReady() };
      return { status: 200, body: { status: "ready", classes: this.#detector.classNames } };
    }
    if (path === "/metrics") return { status: 200, body: this.#metrics.text(this.#accepted), type: "text/plain; version=0.0.4" };
    throw new HttpError(404, "NOT_FOUND", "expected /score, /health, /ready or /metrics");
  }

  #notReady() {
    return { status: this.#ending ? "ending" : "loading" };
  }

  async #verdict(request, response) {
    if (request.method !== "POST") throw new HttpError(405, "METHOD", "expected POST", { allow: "POST" });
    if (this.#detector === undefined || this.#ending) throw busy(`the service is ${this.#notReady().status}`);
    this.#requirePlace();
    const { timeout } = this.#options;
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(new HttpError(504, "TIMEOUT", `no verdict within ${timeout} ms`)), timeout);
    const gone = () => controller.abort(new HttpError(499, "GONE", "the client has gone"));
    this.#open.add(controller);
    response.once("close", gone);
    try {
      return await this.#judge(await this.#receive(request, controller), controller.signal);
    } finally {
      clearTimeout(timer);
      response.off("close", gone);
      this.#open.delete(controller);
    }
  }

  #requirePlace() {
    const { maxRequests } = this.#options;
    if (this.#accepted >= maxRequests) throw busy(`${maxRequests} requests are waiting already`);
  }

  /** The body. Clients that are slow to send it take no places, only their own time and what they have sent. */
  async #receive(request, controller) {
    const { maxRequests, maxBytes, bodyTimeout } = this.#options;
    const late = () => controller.abort(new HttpError(408, "BODY_TIMEOUT", `no whole body within ${bodyTimeout} ms`));
    const timer = setTimeout(late, bodyTimeout);
    let received = 0;
    const take = (bytes) => {
      received += bytes;
      this.#received += bytes;
      if (this.#received > maxRequests * maxBytes) throw busy("too many bodies are coming");
    };
    try {
      return await readBody(request, maxBytes, controller.signal, take);
    } finally {
      clearTimeout(timer);
      this.#received -= received;
    }
  }

  async #judge(image, signal) {
    const { maxPixels } = this.#options;
    this.#requirePlace();
    this.#accepted++;
    try {
      if (image.length === 0) throw new HttpError(400, "EMPTY", "expected the bytes of an image as the body");
      const pixels = await statedPixels(image);
      if (pixels > maxPixels)
        throw new HttpError(400, "TOO_MANY_PIXELS", `expected an image of at most ${maxPixels} pixels, found ${pixels}`);
      return await this.#batcher.submit(image, signal);
    } finally {
      this.#accepted--;
    }
  }

  #send(request, response, { status, body, headers = {}, type = "application/json" }) {
    if (response.destroyed) return; // nobody to tell
    const text = typeof body === "string" ? body : `${JSON.stringify(body)}\n`;
    const closing = this.#ending ? { connection: "close" } : {};
    response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), ...headers, ...closing });
    if (hasBody(request) && !request.complete) answerAndDrain(request, response, text);
    else response.end(text);
  }
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
