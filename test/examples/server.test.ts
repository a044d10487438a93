// examples/server as its clients see it: verdicts of requests that share a forward pass, errors as status codes, limits, and an end that answers
// what was accepted.

import { readFileSync } from "node:fs";
import { request, type IncomingHttpHeaders } from "node:http";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import sharp from "sharp";
import type { Prediction } from "../../lib";
import { packageRoot } from "../../lib/core/package-root";
import { program, type Ending } from "../cli/command";
import { temporaryDirectory } from "../support/temporary-directory";
import { useOneThread } from "../models/resnet/tiny-network";
import { writeDigitDetector } from "./digit-detector";

useOneThread();
const directory = temporaryDirectory();
const file = directory.path("detector.safetensors");
let images: Buffer[];
let answers: Prediction[];
beforeAll(async () => {
  const made = await writeDigitDetector(file, directory.path("uploads"), 8);
  images = made.images.map((path) => readFileSync(path));
  answers = made.answers;
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  body: Record<string, unknown>;
}

interface Client {
  get: (path: string) => Promise<Answer>;
  score: (body: Buffer, method?: string) => Promise<Answer>;
  /** Of /metrics, by name without its prefix. */
  metrics: () => Promise<Record<string, number>>;
  /** Resolves when so many requests are accepted and not answered. */
  accepted: (count: number) => Promise<void>;
  port: number;
  /** SIGTERM. */
  end: () => void;
}

/** Runs the server, uses it when it is ready, tells it to end, and gives its ending. */
async function serve(args: readonly (string | number)[], use: (client: Client) => Promise<void>): Promise<Ending> {
  let begun = false;
  let problem: unknown;
  const all = [file, "--port", "0", ...args.map(String)];
  const ending = await program(join(packageRoot, "examples", "server", "server.mjs"), all, (child, stdout) => {
    const [, port] = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(stdout) ?? [];
    if (port === undefined || !stdout.includes("ready, 10 classes") || begun) return;
    begun = true;
    const end = (): void => void child.kill("SIGTERM");
    let ended = false;
    use(client(Number(port), () => ((ended = true), end())))
      .catch((error: unknown) => (problem = error))
      .finally(() => ended || end());
  });
  if (problem) throw problem as Error;
  return ending;
}

function client(port: number, end: () => void): Client {
  const ask = (path: string, method: string, body?: Buffer): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const call = request({ port, path, method, host: "127.0.0.1", agent: false }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => {
          const json = response.headers["content-type"] === "application/json";
          const parsed = json ? (JSON.parse(text) as Record<string, unknown>) : {};
          resolve({ status: response.statusCode!, headers: response.headers, text, body: parsed });
        });
      });
      call.on("error", reject);
      call.end(body);
    });
  const metrics = async (): Promise<Record<string, number>> => {
    const { text } = await ask("/metrics", "GET");
    return Object.fromEntries([...text.matchAll(/^detector_(\S+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]));
  };
  const accepted = async (count: number): Promise<void> => {
    while ((await metrics()).pending_requests !== count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return { get: (path) => ask(path, "GET"), score: (body, method = "POST") => ask("/score", method, body), metrics, accepted, port, end };
}

function expectVerdict({ status, body }: Answer, i: number): void {
  const { label, outOfDistribution, score, pValue } = answers[i]!;
  expect(status).toBe(200);
  expect(body).toMatchObject({ label, outOfDistribution });
  expect(body.score).toBeCloseTo(score, 4); // another size of batch adds in another order
  expect(body.pValue).toBeCloseTo(pValue, 1); // a score that is equal to one of the 50 in the calibration may fall on its other side
}

test("requests that come together share one forward pass, and each gets the verdict that it would get alone", async () => {
  const { code, stdout, stderr } = await serve(["--max-batch", 8, "--max-wait", 10_000], async ({ score, metrics, get }) => {
    const together = await Promise.all(images.map((image) => score(image)));
    together.forEach(expectVerdict);
    expect(await metrics()).toMatchObject({ batches_total: 1, images_total: 8, 'requests_total{status="200"}': 8, pending_requests: 0 });
    // One that is no image among them: it alone is refused, with the library's code, and the others are in one batch still.
    const mixed = await Promise.all(images.map((image, i) => score(i === 5 ? Buffer.from("no image") : image)));
    mixed.forEach((answer, i) => {
      if (i !== 5) return expectVerdict(answer, i);
      expect(answer).toMatchObject({ status: 400, body: { code: "ERR_CORRUPT_FILE" } });
      expect(answer.body.message).toMatch(/expected a PNG, JPEG, WebP, GIF, TIFF or AVIF image/);
    });
    const { text } = await get("/metrics");
    expect(text).toMatch(/^detector_batches_total 2$/m);
    expect(text).toMatch(/^detector_request_seconds_count 15$/m);
    expect(text).toMatch(/^detector_request_seconds_bucket\{le="\+Inf"\} 15$/m);
  });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^ending: 0 requests are accepted\nended\n$/m);
});

test("what is not served: other paths and methods, nothing, too much, a body without an end; a client that leaves harms nobody", async () => {
  const { code, stderr } = await serve(["--max-bytes", 4096], async ({ get, score, port }) => {
    expect(await get("/health")).toMatchObject({ status: 200, body: { status: "ok" } });
    expect((await get("/ready")).body).toMatchObject({ status: "ready", classes: Array.from({ length: 10 }, (_, i) => String(i)) });
    expect(await get("/other")).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
    expect(await get("/score")).toMatchObject({ status: 405, headers: { allow: "POST" } });
    expect(await score(Buffer.alloc(0))).toMatchObject({ status: 400, body: { code: "EMPTY" } });
    expect(await score(Buffer.alloc(5000))).toMatchObject({ status: 413, body: { code: "TOO_LARGE" } });
    expect(await score(images[0]!.subarray(0, 100))).toMatchObject({ status: 400, body: { code: "ERR_CORRUPT_FILE" } });
    // A body without a length that goes on and on: refused when it is too long, not when it ends.
    const endless = await raw(port, (write) => {
      write("POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (let i = 0; i < 8; i++) write(`3e8\r\n${"x".repeat(1000)}\r\n`);
    });
    expect(endless).toMatch(/^HTTP\/1\.1 413 /);
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => {
        socket.write("POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\nhalf");
        setTimeout(() => socket.destroy(), 20);
      });
      socket.on("close", () => resolve());
    });
    expectVerdict(await score(images[0]!), 0);
  });
  expect([code, stderr]).toEqual([0, ""]);
});

test("more requests than are accepted at a time are told to come back, and the accepted ones are answered", async () => {
  const { code, stderr } = await serve(["--max-requests", 3, "--max-wait", 700, "--max-batch", 8], async ({ score, accepted, metrics }) => {
    const first = images.slice(0, 3).map((image) => score(image));
    await accepted(3);
    for (const image of images.slice(3, 6)) {
      expect(await score(image)).toMatchObject({ status: 503, headers: { "retry-after": "1" }, body: { code: "BUSY" } });
    }
    (await Promise.all(first)).forEach(expectVerdict);
    expect(await metrics()).toMatchObject({ 'requests_total{status="503"}': 3, batches_total: 1, pending_requests: 0 });
    expectVerdict(await score(images[3]!), 3); // there is room again
  });
  expect([code, stderr]).toEqual([0, ""]);
});

test("a request that waits or sends for too long is answered in time, and its place is free again", async () => {
  const { code, stderr } = await serve(["--timeout", 1000, "--max-wait", 60_000, "--max-batch", 2], async ({ score, accepted, port }) => {
    expect(await score(images[0]!)).toMatchObject({ status: 504, body: { code: "TIMEOUT" } }); // no second one came in time
    const dribbling = await raw(port, (write) => write("POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\nhalf"));
    expect(dribbling).toMatch(/^HTTP\/1\.1 504 [^]*connection: close/i);
    await accepted(0);
    (await Promise.all([score(images[1]!), score(images[2]!)])).forEach((answer, i) => expectVerdict(answer, i + 1));
  });
  expect([code, stderr]).toEqual([0, ""]);
});

test("clients that are slow to send hold no places, and are told so when their time is over", async () => {
  const { code, stderr } = await serve(["--max-requests", 2, "--body-timeout", 1500], async ({ score, metrics, port }) => {
    const slow = Array.from({ length: 20 }, () =>
      raw(port, (write) => write("POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\nhalf")),
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await metrics()).toMatchObject({ pending_requests: 0 });
    expectVerdict(await score(images[0]!), 0);
    for (const answer of await Promise.all(slow)) expect(answer).toMatch(/^HTTP\/1\.1 408 [^]*connection: close[^]*BODY_TIMEOUT/i);
    expectVerdict(await score(images[1]!), 1);
  });
  expect([code, stderr]).toEqual([0, ""]);
});

test("a body above the limit is answered, whoever asks and however large it is; the rest of it is taken for a while only", async () => {
  const { code, stderr } = await serve(["--max-bytes", 4096], async ({ port, score }) => {
    const body = new Uint8Array(2 * 2 ** 20);
    for (let i = 0; i < 20; i++) {
      const response = await fetch(`http://127.0.0.1:${port}/score`, { method: "POST", body });
      expect([response.status, (await response.json()) as unknown]).toEqual([413, expect.objectContaining({ code: "TOO_LARGE" })]);
      expect(await score(Buffer.from(body))).toMatchObject({ status: 413 });
    }
    // One that never ends, to a path that wants none.
    const since = performance.now();
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () =>
        socket.write("POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
      );
      const more = setInterval(() => socket.write("a\r\n0123456789\r\n"), 20);
      socket.on("error", () => undefined);
      socket.on("close", () => (clearInterval(more), resolve()));
      socket.resume();
    });
    expect(performance.now() - since).toBeLessThan(20_000);
  });
  expect([code, stderr]).toEqual([0, ""]);
});

test("an image of too many pixels is refused by its header", async () => {
  const wide = await sharp({ create: { width: 3000, height: 1000, channels: 3, background: "#000" } })
    .png()
    .toBuffer();
  const { code, stderr } = await serve(["--max-pixels", 1_000_000], async ({ score }) => {
    expect(await score(wide)).toMatchObject({
      status: 400,
      body: { code: "TOO_MANY_PIXELS", message: expect.stringContaining("3000000") },
    });
    expectVerdict(await score(images[0]!), 0);
  });
  expect([code, stderr]).toEqual([0, ""]);
});

test.each([
  [["missing.safetensors"], 1, /^ERR_IO: cannot open missing\.safetensors.*\n$/],
  [["package.json"], 1, /^ERR_CORRUPT_FILE: package\.json.*\n$/],
  [[file, "--max-image-size", "27"], 1, /^ERR_RANGE: .*at most 27×27 pixels.*, found 28×28\n$/],
  [["x", "--timeout", "3000000000"], 1, /expected a whole number from 1 to 2147483647/],
  [["x", "--port", "65536"], 1, /expected a whole number from 0 to 65535/],
])("started wrongly, %j: one line", async (args, expected, message) => {
  const { code, stderr } = await program(join(packageRoot, "examples", "server", "server.mjs"), ["--port", "0", ...args]);
  expect(code).toBe(expected);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/\n +at /);
});

test("a port that is taken: one line", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  const { port } = taken.address() as AddressInfo;
  const { code, stderr } = await program(join(packageRoot, "examples", "server", "server.mjs"), [file, "--port", String(port)]);
  taken.close();
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^listen EADDRINUSE.*\n$/)]);
});

test("SIGTERM: what was accepted is answered, without waiting for company; nothing more is accepted", async () => {
  const { code, stdout, stderr } = await serve(["--max-wait", 60_000, "--max-batch", 8], async ({ score, accepted, end, get }) => {
    const asked = images.slice(0, 3).map((image) => score(image));
    await accepted(3);
    end();
    const ended = await Promise.all(asked);
    ended.forEach((answer, i) => {
      expectVerdict(answer, i);
      expect(answer.headers.connection).toBe("close");
    });
    await expect(get("/health")).rejects.toThrow(/ECONNREFUSED|ECONNRESET|hang up/);
  });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^ending: 3 requests are accepted\nended\n$/m);
});

test("the batcher: what comes together goes together, the rest gathers meanwhile; who leaves takes nobody along", async () => {
  const { code, stdout, stderr } = await program(join(__dirname, "programs", "batcher.mjs"), []);
  expect([code, stderr]).toEqual([0, ""]);
  expect(JSON.parse(stdout)).toEqual({
    together: {
      batches: [
        [1, 2],
        [3, 4, 5],
        [6, 7],
      ],
      answers: [10, 20, 30, 40, 50, 60, 70],
    },
    company: { before: 0, full: 1, waiting: 1, batches: [[1, 2, 3, 4], [5]], answers: [10, 20, 30, 40, 50] },
    leaving: {
      afterOne: false,
      aborted: true,
      batches: [[1, 2], [4]],
      answers: ["rejected: gone 1", "rejected: gone 2", "rejected: gone 3", 40],
    },
    failing: ["rejected: failed", "rejected: failed", "rejected: bad item", 4, "rejected: too late"],
  });
});

/** What the server sends back over a connection of its own, up to its first chunk. */
function raw(port: number, send: (write: (text: string) => void) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => send((text) => socket.write(text)));
    socket.setEncoding("utf8").once("data", (text: string) => {
      socket.destroy();
      resolve(text);
    });
    socket.on("error", reject);
  });
}
