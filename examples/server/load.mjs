// A load test of the server on the loopback interface: clients that each send an image, wait for the verdict and send the next. One server that
// computes images one at a time, one that batches them; throughput and latency of each.
//
//   node examples/server/load.mjs [detector.safetensors] [--image photo.jpg] [--clients 1,8,32] [--batches 1,32] [--seconds 10]
//
// Without a detector it makes one of a ResNet18 for 32×32 colour images that has learned nothing: what a network says does not change how long it takes.

import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, InvalidArgumentError } from "commander";
import { Dataset, Detector, ResNet } from "libtorch-ood";
import sharp from "sharp";
import { wholeNumber } from "./whole-number.mjs";

const program = new Command("load")
  .description("Measure the server: images/s and latency, one image at a time and in batches.")
  .argument("[detector]", "a file that Detector.save wrote")
  .option("--image <file>", "what clients send; default noise of the network's size as PNG")
  .option("--clients <list>", "how many send at a time", wholeNumbers, [1, 8, 32])
  .option("--batches <list>", "--max-batch of the server", wholeNumbers, [1, 32])
  .option("--max-wait <ms>", "of the server", wholeNumber(0), 0)
  .option("--seconds <n>", "each", wholeNumber(1), 10)
  .option("--width <factor>", "of the network that is made", Number, 1)
  .option("--precision <name>", "of the network that is made: auto, float32 or bfloat16", "auto")
  .parse();
const options = program.opts();

const directory = await mkdtemp(join(tmpdir(), "load-"));
try {
  const file = program.args[0] ?? (await makeDetector(join(directory, "detector.safetensors")));
  const image = options.image === undefined ? await noise(file) : await readFile(options.image);
  console.log(`${image.length} bytes an image; ${options.seconds} s each\n`);
  console.log("batch  clients  images/s  p50 ms  p99 ms  mean batch  resident MiB");
  for (const maxBatch of options.batches) {
    const { port, stop } = await serve(file, maxBatch);
    for (const clients of options.clients) {
      await drive(port, image, clients, 1); // what a size of batch sets up once
      const before = await counters(port);
      const latencies = await drive(port, image, clients, options.seconds);
      const after = await counters(port);
      const mean = (after.images_total - before.images_total) / (after.batches_total - before.batches_total);
      const cells = [
        maxBatch,
        clients,
        (latencies.length / options.seconds).toFixed(1),
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
      ];
      const widths = [5, 9, 10, 8, 8, 12, 14];
      const row = [...cells, mean.toFixed(1), (after.resident_bytes / 2 ** 20).toFixed(0)];
      console.log(row.map((cell, i) => String(cell).padStart(widths[i])).join(""));
    }
    await stop();
  }
} finally {
  await rm(directory, { recursive: true });
}

/** Latencies in milliseconds, ascending. */
async function drive(port, image, clients, seconds) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const latencies = [];
  const end = performance.now() + 1000 * seconds;
  const client = async () => {
    while (performance.now() < end) {
      const since = performance.now();
      const { status, text } = await ask(port, "/score", { agent, body: image });
      if (status !== 200) throw new Error(`expected 200, found ${status}: ${text}`);
      latencies.push(performance.now() - since);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  agent.destroy();
  return latencies.sort((a, b) => a - b);
}

function ask(port, path, { agent, body } = {}) {
  return new Promise((resolve, reject) => {
    const call = request({ port, path, agent, host: "127.0.0.1", method: body ? "POST" : "GET" }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode, text }));
    });
    call.on("error", reject);
    call.end(body);
  });
}

async function counters(port) {
  const { text } = await ask(port, "/metrics");
  return Object.fromEntries([...text.matchAll(/^detector_(\w+) (\S+)$/gm)].map(([, name, value]) => [name, Number(value)]));
}

function quantile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))].toFixed(1);
}

function serve(file, maxBatch) {
  const server = fileURLToPath(new URL("server.mjs", import.meta.url));
  const args = [
    server,
    file,
    "--port",
    "0",
    "--max-batch",
    maxBatch,
    "--max-wait",
    options.maxWait,
    "--max-requests",
    Math.max(...options.clients),
  ];
  const child = spawn(process.execPath, args.map(String), { stdio: ["ignore", "pipe", "inherit"] });
  const stop = () =>
    new Promise((resolve) => {
      child.once("exit", resolve);
      child.kill("SIGTERM");
    });
  let text = "";
  return new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
    child.stdout.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
      const [, port] = /listening on \S+:(\d+)/.exec(text) ?? [];
      if (text.includes("ready")) resolve({ port: Number(port), stop });
    });
  });
}

async function makeDetector(file) {
  const normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const shape = [3, 32, 32];
  const images = Uint8Array.from({ length: 300 * 3072 }, (_, i) => (Math.imul(i + 1, 2654435761) >>> 24) ^ (i % 251));
  const labels = Int32Array.from({ length: 300 }, (_, i) => i % 10);
  const data = Dataset.fromArrays({ images, labels, shape, normalization });
  const model = await ResNet.create({ numClasses: 10, width: options.width, seed: 1, normalization });
  const [train, calibration] = [data.subset(200), data.subset(Array.from({ length: 100 }, (_, i) => 200 + i))];
  const detector = await Detector.fit(model, train, {
    calibration,
    precision: options.precision,
    scoreOptions: { covariance: "ledoit-wolf" },
  });
  await detector.save(file);
  detector.dispose();
  model.dispose();
  return file;
}

async function noise(file) {
  const detector = await Detector.load(file);
  const side = detector.model.input.size;
  detector.dispose();
  const pixels = Uint8Array.from({ length: 3 * side * side }, (_, i) => Math.imul(i + 7, 2246822519) >>> 24);
  return sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toBuffer();
}

function wholeNumbers(text) {
  const numbers = text.split(",").map(Number);
  if (numbers.some((value) => !Number.isInteger(value) || value < 1))
    throw new InvalidArgumentError("expected whole numbers, as in 1,8,32");
  return numbers;
}
