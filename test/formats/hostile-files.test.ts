// Damaged files for every reader: each is read or refused with ERR_CORRUPT_FILE, soon. What each format's own tests cannot foresee.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { ClassStatistics, GaussianMixture, isLibtorchOodError, ResNet } from "../../lib";
import { readCifarRecords } from "../../lib/data/readers/cifar-records";
import { readPythonBatches } from "../../lib/data/readers/cifar-python";
import { readIdx } from "../../lib/formats/idx";
import { readMat5 } from "../../lib/formats/mat5";
import { readNpy } from "../../lib/formats/npy";
import { decodeImages } from "../../lib/images/decode";
import { checkGeometry } from "../../lib/images/geometry";
import { takeImages } from "../../lib/images/image";
import images from "../reference/images.json";
import npy from "../reference/files_npy.json";
import { sample } from "../detector/synthetic";
import { figures, times } from "../reliability/campaign";
import { tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { damageBytes, damageMeaning, draws, type Draws } from "./damage";
import { header, matrix } from "./mat5-writer";
import { array, byte, dictionary, list } from "./pickle-writer";
import { temporaryDirectory } from "../support/temporary-directory";

useOneThread();
const directory = temporaryDirectory();
const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const noise = (length: number): Uint8Array => new Uint8Array(length).map((_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);

interface Reader {
  sources: () => Promise<Uint8Array[]> | Uint8Array[];
  /** Reads, and throws if what it got is not sound in itself. */
  read: (path: string, bytes: Buffer) => Promise<void>;
  /** Bytes at the start that matter most. Default: 64. */
  head?: number;
  /** Default: damage to the bytes. */
  damage?: (file: Uint8Array, draw: Draws) => Uint8Array;
  /** Files in `npm test`; in a campaign 10,000. */
  short: number;
}

function expectSound(isSound: boolean, what: string): void {
  if (!isSound) throw new Error(`read as sound: ${what}`);
}

const idx = Buffer.concat([Buffer.from([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 3]), noise(60)]);
const cifar = (labels: number): Buffer =>
  Buffer.concat(Array.from({ length: 3 }, (_, i) => Buffer.concat([Buffer.alloc(labels, i), noise(3072)])));
const cifarLabel = { name: "label", classes: 10 };
const matNames = ["datasets_svhn_mixed.mat", "datasets_svhn_deflated.mat", "datasets_svhn_plain.mat"];

async function savedFile(save: (path: string) => Promise<void>): Promise<Uint8Array> {
  const path = directory.path("sound");
  await save(path);
  return readFileSync(path);
}

const someOf = (file: Uint8Array, draw: Draws): Uint8Array => (draw.below(2) ? damageBytes(file, 2000, draw) : damageMeaning(file, draw));

const readers: Record<string, Reader> = {
  npy: {
    sources: () => npy.arrays.map(({ base64 }) => Buffer.from(base64, "base64")).filter((file) => file.length < 4096),
    read: async (path, bytes) => {
      const { data, shape } = await readNpy(path);
      expectSound(data.length === product(shape) && data.byteLength <= bytes.length, `[${shape.join(", ")}]`);
    },
    head: 128,
    short: 1000,
  },
  idx: {
    sources: () => [idx],
    read: async (path) => {
      const { data, shape } = await readIdx(path, 3);
      expectSound(data.length === product(shape), `[${shape.join(", ")}]`);
    },
    head: 20,
    short: 1000,
  },
  "idx, gzip": {
    sources: () => [idx],
    read: async (path) => {
      const { data, shape } = await readIdx(path, 3);
      expectSound(data.length === product(shape), `[${shape.join(", ")}]`);
    },
    // The checksum finds what changes the stream, so that most damage goes to what was compressed.
    damage: (file, draw) => (draw.below(4) ? gzipSync(damageBytes(file, 20, draw)) : damageBytes(gzipSync(file), 20, draw)),
    short: 1000,
  },
  "CIFAR, binary": {
    sources: () => [cifar(1)],
    read: async (path) => {
      const { images: pixels, labels } = await readCifarRecords([path], 3, [cifarLabel]);
      expectSound(pixels.length === 3 * 3072 && (labels[0] as Int32Array).every((label) => label < 10), "labels");
    },
    head: 1,
    short: 1000,
  },
  "CIFAR, Python": {
    sources: () => [dictionary({ labels: list([byte(1), byte(2)]), data: array(2, noise(6144)) })],
    read: async (path) => {
      const { images: pixels, labels } = await readPythonBatches([path], 2, [{ key: "labels", ...cifarLabel }]);
      expectSound(pixels.length === 6144 && (labels[0] as Int32Array).every((label) => label < 10), "labels");
    },
    head: 220,
    short: 1000,
  },
  MAT: {
    // The undeflated arrays matter most, since damage to a stream is found by its checksum.
    sources: () => {
      const own = Buffer.concat([
        header(),
        matrix({ name: "X", shape: [2, 1, 3] }),
        matrix({ name: "y" }),
        matrix({ name: "z", flags: 1 }),
      ]);
      return [...matNames.map((name) => readFileSync(join(__dirname, "../reference", name))), own, own, own];
    },
    read: async (path) => {
      const found = await readMat5(path, ["X", "y"], () => undefined);
      for (const { values, shape } of found.values()) expectSound(values.length === product(shape), `[${shape.join(", ")}]`);
    },
    head: 256,
    short: 10_000,
  },
  images: {
    sources: () => [...images.exact, ...images.lossy].map(({ file }) => Buffer.from(file, "base64")),
    read: async (_, bytes) => {
      let rows = 0;
      const target = { ...checkGeometry({ channels: 3, size: 8, resize: "squash" }, "target"), signal: undefined };
      await decodeImages(takeImages(bytes, "image"), target, new Uint8Array(192), { onDone: () => rows++ });
      expectSound(rows === 1, `${rows} rows`);
    },
    short: 300,
  },
  network: {
    sources: async () => {
      const model = await tinyNetwork({ width: 1 / 64 });
      return [await savedFile((path) => model.save(path))];
    },
    read: async (path) => (await ResNet.load(path)).dispose(),
    damage: someOf,
    short: 100,
  },
  "class statistics": {
    sources: async () => {
      const files: Uint8Array[] = [];
      for (const scatter of ["full", "pooled", "diagonal"] as const) {
        const statistics = new ClassStatistics({ numClasses: 3, featureDim: 2, scatter });
        const { features, labels } = sample(30, 1);
        await statistics.update(features, labels);
        files.push(await savedFile((path) => statistics.save(path)));
      }
      return files;
    },
    read: async (path) => {
      const statistics = await ClassStatistics.load(path);
      const counts = await statistics.counts();
      expectSound(
        counts.every((count) => Number.isInteger(count) && count >= 0),
        `counts ${counts.join(", ")}`,
      );
      statistics.dispose();
    },
    damage: someOf,
    short: 500,
  },
  mixture: {
    sources: async () => {
      const files: Uint8Array[] = [];
      for (const covariance of ["full", "tied", "diagonal", "low-rank"] as const) {
        const { features, labels } = sample(60, 1);
        const mixture = await GaussianMixture.fit(features, labels, covariance === "low-rank" ? { covariance, rank: 1 } : { covariance });
        files.push(await savedFile((path) => mixture.save(path)));
      }
      return files;
    },
    read: async (path) => (await GaussianMixture.load(path)).dispose(),
    damage: someOf,
    short: 500,
  },
};

/** Not the file's fault, but what it asks for is unavailable here. */
const alsoAllowed = ["ERR_DEVICE", "ERR_OUT_OF_MEMORY"];

test("the sound files are read", async () => {
  for (const { sources, read } of Object.values(readers)) {
    for (const source of await sources()) await read(directory.put("sound", source), Buffer.from(source));
  }
});

test.each(Object.entries(readers))("%s: read or ERR_CORRUPT_FILE", async (name, { sources, read, head = 64, damage, short }) => {
  const sound = await sources();
  const draw = draws(20240901);
  const number = times(short, 10_000);
  const codes: Record<string, number> = { read: 0, ERR_CORRUPT_FILE: 0 };
  let slowest = 0;
  for (let i = 0; i < number; i++) {
    const source = sound[i % sound.length] as Uint8Array;
    const bytes = Buffer.from(damage === undefined ? damageBytes(source, head, draw) : damage(source, draw));
    const path = directory.put("damaged", bytes);
    const started = performance.now();
    let outcome = "read";
    try {
      await read(path, bytes);
    } catch (error) {
      if (!isLibtorchOodError(error)) throw new Error(`file ${i}: no typed error: ${String(error)}`, { cause: error });
      outcome = error.code;
      if (outcome !== "ERR_CORRUPT_FILE" && !alsoAllowed.includes(outcome)) throw error;
    }
    slowest = Math.max(slowest, performance.now() - started);
    codes[outcome] = (codes[outcome] ?? 0) + 1;
  }
  figures(`hostile files, ${name}`, { files: number, ...codes, slowestMilliseconds: Math.round(slowest) });
  // Both have to come, or the test says nothing.
  expect(codes.read).toBeGreaterThan(0.02 * number);
  expect(codes.ERR_CORRUPT_FILE).toBeGreaterThan(0.1 * number);
  expect(slowest).toBeLessThan(5000); // a few kilobytes: what a length in a file can make a reader do
});
