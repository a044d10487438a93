// Detectors over files of other tools, TorchScript and ONNX: by program and by command line, with pictures in files, saved and loaded again.

import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { datasets, Detector, loadModel, OnnxModel, type Prediction } from "../../lib";
import { packageRoot } from "../../lib/core/package-root";
import { cli, dataDirectory, good } from "../cli/command";
import { libraryFailureOf, useOneThread } from "../models/resnet/tiny-network";
import { temporaryDirectory } from "../support/temporary-directory";

useOneThread();
const directory = temporaryDirectory();
const input = { size: 16, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
const kinds = [
  ["torchscript", "torchscript/classifier-traced.pt"],
  ["onnx", "onnx/gemm-17.onnx"],
] as const;

/** Digits and clothes as PNG files, one folder per class; 12 of each. */
beforeAll(async () => {
  const { test: digits } = await datasets.mnist(dataDirectory, { prefix: "mnist-", splits: ["test"] });
  for (const label of [0, 1, 2]) {
    const folder = directory.path(`photos/${label}`);
    mkdirSync(folder, { recursive: true });
    const indices = Array.from(digits.labels.keys()).filter((i) => digits.labels[i] === label);
    for (const [n, i] of indices.slice(0, 20).entries()) {
      const pixels = digits.images.subarray(784 * i, 784 * (i + 1));
      await sharp(pixels, { raw: { width: 28, height: 28, channels: 1 } }).toFile(join(folder, `${n}.png`));
    }
  }
  const white = { create: { width: 40, height: 30, channels: 3, background: "white" } } as const;
  await sharp(white).toFile(directory.path("white.png"));
});

test("an ONNX model that was loaded from bytes: the detector's file knows its hash", async () => {
  const path = join(packageRoot, "test", "reference", "onnx/gemm-17.onnx");
  const model = await OnnxModel.load(readFileSync(path), { input });
  const photos = await datasets.imageFolder(directory.path("photos"), { preprocessing: input, cache: false });
  const { train, validation } = photos.split(0.4, 1);
  const detector = await Detector.fit(model, train, { calibration: validation, score: "energy", falseAlarmRate: 0.1 });
  const saved = directory.path("bytes.safetensors");
  await detector.save(saved);
  const again = await Detector.load(saved, { model: path });
  expect(await again.predict(validation)).toEqual(await detector.predict(validation));
  expect((await libraryFailureOf(() => Detector.load(saved))).message).toMatch(
    /no weights of the ONNX model of SHA-256 [0-9a-f]{64}: pass/,
  );
  for (const one of [again, detector, model]) one.dispose();
});

describe.each(kinds)("%s", (kind, name) => {
  const model = join(packageRoot, "test", "reference", name);
  const detectorPath = directory.path(`${kind}.safetensors`);

  test("by program: fit, predict, save, load with the path or the model", async () => {
    const network = await loadModel(model, { input });
    expect(network.kind).toBe(kind);
    const photos = await datasets.imageFolder(directory.path("photos"), { preprocessing: network.input!, cache: false });
    const { train, validation } = photos.split(0.4, 1);
    const options = { calibration: validation, score: "nearest-neighbours", scoreOptions: { k: 3, normalize: false } } as const;
    const detector = await Detector.fit(network, train, { ...options, falseAlarmRate: 0.1 });
    const pictures = [directory.path("photos/0/0.png"), directory.path("white.png")];
    const predictions = await detector.predict(pictures);
    expect(predictions[1]!.outOfDistribution).toBe(true);
    await detector.save(detectorPath);
    for (const given of [model, network]) {
      const again = await Detector.load(detectorPath, { model: given });
      expect(again.model).toEqual(detector.model);
      expect(await again.predict(pictures)).toEqual(predictions);
      again.dispose();
    }
    const printed = (await good(["score", detectorPath, ...pictures, "--model", model, "--json"])).stdout.trim().split("\n");
    const verdicts = printed.map((line) => JSON.parse(line) as Prediction);
    expect(verdicts.map(({ outOfDistribution }) => outOfDistribution)).toEqual(
      predictions.map(({ outOfDistribution }) => outOfDistribution),
    );
    verdicts.forEach(({ score }, i) => expect(score).toBeCloseTo(predictions[i]!.score, 5));
    for (const one of [detector, network]) one.dispose();
  });

  test("without the model, with another one, or where it is missing", async () => {
    const refused = async (given: unknown) => libraryFailureOf(() => Detector.load(detectorPath, { model: given } as never));
    expect(await refused(undefined)).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining('expected the option "model"') });
    expect(await refused(directory.path("none.pt"))).toMatchObject({ code: "ERR_IO" });
    const other = directory.path(`other-${kind}`);
    copyFileSync(model, other);
    writeFileSync(other, Buffer.concat([readFileSync(model), Buffer.from([0])]));
    expect(await refused(other)).toMatchObject({ code: "ERR_CORRUPT_FILE" });
    const { code, stderr } = await cli(["score", detectorPath, directory.path("white.png")]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("--model on the command line")]);
  });

  test("by command line: inspect, extract, fit and evaluate", async () => {
    const how = ["--preprocessing", JSON.stringify(input)];
    const facts = JSON.parse((await good(["inspect", model, ...how, "--json"])).stdout) as Record<string, unknown>;
    expect(facts).toMatchObject({ kind: expect.stringMatching(/^an? (ONNX|TorchScript) model$/), featureDim: 8 });
    const out = directory.path(`features-${kind}`);
    await good(["extract", model, directory.path("photos"), ...how, "--out", out]);
    expect(JSON.parse((await good(["inspect", out, "--json"])).stdout)).toMatchObject({
      kind: "features",
      "features.npy": "float32 [60, 8]",
    });
    const fitted = directory.path(`fitted-${kind}.safetensors`);
    const shares = ["--calibration", "0.4", "--seed", "1"];
    const score = ["--score", "nearest-neighbours", "--score-option", "k=3"];
    const larger = ["--preprocessing", JSON.stringify({ ...input, resizeTo: 20 })];
    for (const preprocessing of [larger, how]) {
      const { stderr } = await good(["fit", model, directory.path("photos"), ...preprocessing, ...shares, ...score, "--out", fitted]);
      expect(stderr).not.toContain("were made"); // read as the model takes them, and not cropped again
    }
    expect(JSON.parse((await good(["inspect", fitted, "--json"])).stdout)).toMatchObject({
      kind: "a detector",
      score: "nearest-neighbours",
    });
    const set = ["--test", directory.path("photos"), "--ood", directory.path("photos"), "--allow-overlap"];
    const { stdout } = await good(["evaluate", fitted, "--model", model, ...set, "--json"]);
    expect(Object.values((JSON.parse(stdout) as { sets: Record<string, { auroc: number }> }).sets)[0]!.auroc).toBe(0.5);
    const { code, stderr } = await cli(["extract", model, directory.path("white.png"), "--out", directory.path("x")]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^ERR_OPTION: input: expected .*--preprocessing/)]);
  });
});
