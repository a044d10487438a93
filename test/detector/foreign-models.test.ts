// Detectors over models whose weights lie outside the detector's file: fit, predict, save, and what has to be handed over to load them.

import { Dataset, defineExtractor, Detector, files, type ExtractorOptions, type FeatureExtractor } from "../../lib";
import { libraryFailureOf, tinyData, useOneThread } from "../models/resnet/tiny-network";
import { temporaryDirectory } from "../support/temporary-directory";

useOneThread();
const directory = temporaryDirectory();
const input = { channels: 1, size: 8, mean: [0.4], std: [0.3] };

/** Mean of each quarter of the rows: tinyData's classes are bright above, in the middle or below. */
const bands: ExtractorOptions["embed"] = ({ count, data }) => {
  const features = new Float32Array(4 * count);
  (data as Float32Array).forEach((value, i) => (features[Math.floor(i / 16)]! += value / 16));
  return { features };
};

/** The same with logits: how bright the three parts are. */
const classified: ExtractorOptions["embed"] = ({ count, data }) => {
  const logits = new Float32Array(3 * count);
  (data as Float32Array).forEach((value, i) => {
    const row = Math.floor(i / 8) % 8;
    logits[3 * Math.floor(i / 64) + Math.floor(row / 3)]! += value / 8;
  });
  return { ...bands({ count, data } as never, {} as never), logits };
};

const features = (): FeatureExtractor => defineExtractor({ name: "bands", featureDim: 4, input, embed: bands });
const logits = (): FeatureExtractor =>
  defineExtractor({ name: "classified", featureDim: 4, classNames: ["0", "1", "2"], input, embed: classified });

const [train, calibration, fresh] = [tinyData(90, "train"), tinyData(40, "calibration"), tinyData(20, "fresh")];
const noise = Dataset.fromArrays({ images: new Uint8Array(20 * 64).fill(255), labels: new Int32Array(20), shape: [1, 8, 8] });

test.each(["gaussian-mixture", "nearest-neighbours", "mahalanobis"] as const)(
  "features alone: %s, whose classes the features name",
  async (score) => {
    const model = features();
    const scoreOptions = score === "nearest-neighbours" ? { k: 5, normalize: false } : {};
    const detector = await Detector.fit(model, train, { calibration, score, scoreOptions, falseAlarmRate: 0.1 });
    expect(detector.model).toEqual(model.describe());
    expect(detector.takes).toBe("images");
    model.dispose(); // the detector has its own
    const predictions = await detector.predict(fresh);
    expect(predictions.filter(({ label }, i) => label === fresh.labels[i]).length).toBeGreaterThan(14);
    expect((await detector.predict(noise)).every(({ outOfDistribution }) => outOfDistribution)).toBe(true);
    expect(detector.calibration.calibration!.accuracy).toBeGreaterThan(0.7);
    const path = directory.path(`${score}.safetensors`);
    await detector.save(path);
    const again = await Detector.load(path, { model: features() });
    expect(await again.predict(fresh)).toEqual(predictions);
    expect(again.model).toEqual(detector.model);
    expect([again.selfTest(), again.warnings]).toEqual([detector.selfTest(), detector.warnings]);
  },
);

test("logits, by which classes are named", async () => {
  const detector = await Detector.fit(logits(), train, { calibration, score: "energy", falseAlarmRate: 0.1 });
  const predictions = await detector.predict(fresh);
  expect(predictions.filter(({ label }, i) => label === fresh.labels[i]).length).toBeGreaterThan(14);
  const path = directory.path("logits.safetensors");
  await detector.save(path);
  expect(await (await Detector.load(path, { model: logits() })).predict(fresh)).toEqual(predictions);
});

test("a score that the model's outputs cannot serve is refused by name", async () => {
  const fit = (model: FeatureExtractor, score: "energy" | "vim") => Detector.fit(model, train, { calibration, score, falseAlarmRate: 0.1 });
  expect(await libraryFailureOf(() => fit(features(), "energy"))).toMatchObject({
    code: "ERR_OPTION",
    message: 'model: expected a model that gives logits, for the score "energy", found one of kind "custom" that gives features alone',
  });
  expect(await libraryFailureOf(() => fit(logits(), "vim"))).toMatchObject({
    code: "ERR_OPTION",
    message: 'model: expected one whose last layer is known, for the score "vim"; this one\'s is not',
  });
  expect(await libraryFailureOf(() => Detector.fit({} as never, train, { calibration }))).toMatchObject({
    code: "ERR_OPTION",
    message: expect.stringMatching(/^model: expected a ResNet or another FeatureExtractor, found /),
  });
});

test("load needs the very model", async () => {
  const path = directory.path("own.safetensors");
  await (await Detector.fit(features(), train, { calibration, falseAlarmRate: 0.1 })).save(path);
  const refused = async (model: unknown) => (await libraryFailureOf(() => Detector.load(path, { model } as never))).message;
  expect(await refused(undefined)).toBe(
    `${path}: expected the option "model", since the file holds no weights of the extractor "bands": pass { model } of defineExtractor`,
  );
  expect(await refused("bands.onnx")).toBe('model: expected what defineExtractor gave, found "bands.onnx"');
  expect(await refused(logits())).toBe(`${path}: expected the extractor "bands" with name "bands", found "classified"`);
  const other = defineExtractor({ name: "bands", featureDim: 4, input: { ...input, std: [0.5] }, embed: bands });
  expect(await refused(other)).toMatch(/with input \{.*"std":\[0\.3\]\}, found \{.*"std":\[0\.5\]\}$/);
  const plain = directory.path("plain.safetensors");
  const rows = { features: { data: Float32Array.from({ length: 80 }, (_, i) => Math.sin(i)), shape: [20, 4] }, labels: Array.from({ length: 20 }, (_, i) => i % 2) }; // prettier-ignore
  const held = { features: { data: Float32Array.from({ length: 80 }, (_, i) => Math.cos(i)), shape: [20, 4] } };
  await (await Detector.fromFeatures({ ...rows, calibration: held, score: "nearest-neighbours", scoreOptions: { k: 2 } })).save(plain);
  expect((await libraryFailureOf(() => Detector.load(plain, { model: features() }))).message).toMatch(
    /^model: expected none: the detector takes features/,
  );
});

test("a file whose description of the model is damaged", async () => {
  const path = directory.path("damaged.safetensors");
  await (await Detector.fit(features(), train, { calibration, falseAlarmRate: 0.1 })).save(path);
  const { metadata, tensors } = await files.readSafetensors(path);
  const damage = async (change: (model: Record<string, unknown>) => void): Promise<string> => {
    const description = JSON.parse(metadata.get("description") as string) as { model: Record<string, unknown> };
    change(description.model);
    const changed = new Map([...metadata, ["description", JSON.stringify(description)]] as [string, string][]);
    const list = [...tensors].map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, data }));
    await files.writeSafetensors(path, list, { metadata: changed });
    const error = await libraryFailureOf(() => Detector.load(path, { model: features() }));
    expect(error.code).toBe("ERR_CORRUPT_FILE");
    return error.message;
  };
  expect(await damage((model) => (model.kind = "resnet"))).toContain('model.kind: expected one of "torchscript", "onnx", "custom"');
  expect(await damage((model) => (model.featureDim = 0))).toContain("model.featureDim");
  expect(await damage((model) => (model.input = { size: 8 }))).toContain("model.input.mean");
  expect(await damage((model) => Object.assign(model, { kind: "onnx", path: "x.onnx", sha256: "ab" }))).toContain("model.sha256");
  expect(await damage((model) => (model.numClasses = -1))).toContain("model.numClasses");
});
