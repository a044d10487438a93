// The examples that are programs, each run at a small size in a process of its own.

import { mkdirSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import sharp from "sharp";
import { datasets, Detector, ResNet, type Dataset, type Prediction } from "../../lib";
import { readNpy } from "../../lib/files/npy";
import { packageRoot } from "../../lib/package-root";
import { dataDirectory, program } from "../cli/command";
import { temporaryDirectory } from "../files/temporary-directory";
import { useOneThread } from "../resnet/tiny-network";

useOneThread();
const directory = temporaryDirectory();
const example = (name: string): string => join(packageRoot, "examples", name);

async function writeImages(folder: string, data: Dataset, count: number): Promise<string[]> {
  const files: string[] = [];
  for (let i = 0; i < count; i++) {
    const place = join(folder, data.classNames[data.labels[i]!]!.replace(/\W/g, "-"));
    mkdirSync(place, { recursive: true });
    const file = join(place, `${i}.png`);
    await sharp(Buffer.from(data.image(i)), { raw: { width: 28, height: 28, channels: 1 } })
      .png()
      .toFile(file);
    files.push(file);
  }
  return files;
}

test("extract-million: every row is there, and those of a chunk are those of model.extract", async () => {
  const out = directory.path("features.npy");
  const args = ["--count", "2500", "--chunk", "300", "--width", "0.0625", "--out", out];
  const { code, stdout, stderr } = await program(example("extract-million.mjs"), args);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^2500 of 2500 images, \d+ images\/s, \d+ MiB resident$/m);
  expect(stdout).toMatch(/features\.npy: float32 \[2500, 32\]\nat most \d+ MiB resident in the second quarter, \d+ MiB in the last\n$/);
  const { shape, data } = await readNpy(out);
  expect(shape).toEqual([2500, 32]);
  const rows = Array.from({ length: 2500 }, (_, i) => Math.hypot(...Array.from(data.subarray(32 * i, 32 * i + 32), Number)));
  for (const norm of rows) expect(norm).toBeCloseTo(1, 2); // L2-normalised, whatever the precision: none was left out
  // Stripes repeat after lcm(9, 28) = 252 images, so rows do too, across chunks.
  for (const i of [0, 100, 290, 1700]) {
    const [row, later] = [i, i + 252].map((n) => Array.from(data.subarray(32 * n, 32 * n + 32), Number));
    row!.forEach((value, k) => expect(later![k]).toBeCloseTo(value, 2));
  }
});

test("train-on-a-folder: a detector of the folder's classes", async () => {
  const { train } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["train"] });
  const { test: clothes } = await datasets.fashionMnist(dataDirectory, { prefix: "fashion-", splits: ["test"] });
  await writeImages(directory.path("photos"), train, 300);
  await writeImages(directory.path("strange"), clothes, 20);
  const out = directory.path("photos.safetensors");
  const args = [
    directory.path("photos"),
    "--out",
    out,
    "--size",
    "16",
    "--epochs",
    "2",
    "--width",
    "0.0625",
    "--strange",
    directory.path("strange"),
  ];
  const { code, stdout, stderr } = await program(example("train-on-a-folder.mjs"), args);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^300 images of 10 classes: 0, 1, 2/);
  expect(stdout).toMatch(/^epoch 2\/2, loss [\d.]+, held-out accuracy [\d.]+ %, [\d.]+ s$/m);
  expect(stdout).toMatch(/strange: \d+ of 20 images flagged$/m);
  const detector = await Detector.load(out);
  expect([detector.calibrationScores.length, detector.architecture!.imageSize]).toEqual([30, 16]);
});

describe("http-service", () => {
  const file = directory.path("detector.safetensors");
  let images: string[];
  let answers: Prediction[];
  beforeAll(async () => {
    const { train, test } = await datasets.mnist(dataDirectory, { prefix: "mnist-" });
    const model = await ResNet.create({ numClasses: 10, inChannels: 1, imageSize: 28, width: 0.0625, normalization: train.normalization });
    const [fitted, calibration] = [train.subset(300), train.subset(Array.from({ length: 50 }, (_, i) => 300 + i))];
    const detector = await Detector.fit(model, fitted, { calibration, score: "energy" });
    await detector.save(file);
    images = await writeImages(directory.path("uploads"), test, 3);
    answers = await detector.predict(images);
  });

  interface Answer {
    status: number;
    body: Record<string, unknown>;
  }

  const ask = (port: number, path: string, body?: Buffer, method = body ? "POST" : "GET"): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const call = request({ port, path, method, host: "127.0.0.1" }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode!, body: JSON.parse(text) as Record<string, unknown> }));
      });
      call.on("error", reject);
      call.end(body);
    });

  test("verdicts, errors as status codes, a client that leaves, and an end that waits", async () => {
    const { readFileSync } = await import("node:fs");
    let problem: unknown;
    const use = async (port: number): Promise<void> => {
      expect(await ask(port, "/health")).toMatchObject({ status: 200, body: { status: "ok" } });
      for (const [i, image] of images.entries()) {
        const { status, body } = await ask(port, "/score", readFileSync(image));
        expect(status).toBe(200);
        expect(body).toMatchObject({ label: answers[i]!.label, outOfDistribution: answers[i]!.outOfDistribution });
        expect(body.score).toBeCloseTo(answers[i]!.score, 4);
      }
      expect(await ask(port, "/score", Buffer.from("no image"))).toMatchObject({ status: 422, body: { code: "ERR_CORRUPT_FILE" } });
      expect((await ask(port, "/score", Buffer.alloc(0))).status).toBe(400);
      expect((await ask(port, "/score")).status).toBe(405);
      expect((await ask(port, "/other")).status).toBe(404);
      expect((await ask(port, "/score", Buffer.alloc(5000))).status).toBe(413);
      // A body without a length that goes on and on: refused when it is too long, not when it ends.
      const endless = await new Promise<string>((resolve, reject) => {
        const socket = connect(port, "127.0.0.1", () => {
          socket.write("POST /score HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
          for (let i = 0; i < 8; i++) socket.write(`3e8\r\n${"x".repeat(1000)}\r\n`);
        });
        socket.setEncoding("utf8").once("data", (text: string) => {
          socket.destroy();
          resolve(text);
        });
        socket.on("error", reject);
      });
      expect(endless).toMatch(/^HTTP\/1\.1 413 /);
      // A client that leaves in the middle of its body disturbs nobody.
      await new Promise<void>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => {
          socket.write("POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\nhalf");
          setTimeout(() => socket.destroy(), 20);
        });
        socket.on("close", () => resolve());
      });
      expect((await ask(port, "/score", readFileSync(images[0]!))).status).toBe(200);
    };
    let begun = false;
    const { code, stdout, stderr } = await program(
      example("http-service.mjs"),
      [file, "--port", "0", "--max-bytes", "4096"],
      (child, text) => {
        const [, port] = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(text) ?? [];
        if (port === undefined || begun) return;
        begun = true;
        use(Number(port))
          .catch((error: unknown) => (problem = error))
          .finally(() => child.kill("SIGTERM"));
      },
    );
    if (problem) throw problem as Error;
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^ending: \d+ requests are running\nended$/m);
  });
});
