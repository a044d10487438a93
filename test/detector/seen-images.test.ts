// Evaluation on images that network or score have seen, and a split that differs between training and evaluation (trap 6): refused or warned of.

import { Dataset, Detector, ResNet } from "../../lib";
import { internals } from "../../lib/models/extractor";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { detectorOf, sample } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();
const whole = tinyData(120);
const { train, validation } = whole.split(0.25, 1);
const other = whole.split(0.25, 2); // the same images, split by another seed
const fresh = tinyData(40, "fresh");
const options = { epochs: 1, batchSize: 30, learningRate: 0.05 };
const both = (a: Dataset, b: Dataset) =>
  Dataset.fromArrays({ images: Uint8Array.from([...a.images, ...b.images]), labels: [...a.labels, ...b.labels], shape: a.shape });

describe("a network says what it was trained on", () => {
  let model: ResNet;
  beforeAll(async () => {
    model = await tinyNetwork({ seed: 1 });
    await model.fit(train, { ...options, validation });
  });

  test("before training nothing; then its training images, those held out not", async () => {
    expect(await (await tinyNetwork()).overlap(whole)).toEqual({ indices: [], checked: 120 });
    expect(await model.overlap(train)).toMatchObject({ indices: Array.from({ length: 90 }, (_, i) => i) });
    expect(await model.overlap(validation)).toEqual({ indices: [], checked: 30 });
    expect((await model.overlap(both(fresh, train.subset([3])))).indices).toEqual([40]);
    const pixels = train.image(0).length;
    const others = Dataset.fromArrays({
      images: train.images.map((byte, i) => (i % pixels === pixels - 1 ? byte ^ 1 : byte)),
      labels: train.labels,
      shape: train.shape,
    });
    expect((await model.overlap(others)).indices).toEqual([]); // each by its last pixel
  });

  test("a share held out by fit itself was not trained on", async () => {
    const own = await tinyNetwork({ seed: 1 });
    await own.fit(whole, { ...options, seed: 1, validation: 0.25 });
    expect((await own.overlap(validation)).indices).toEqual([]);
    expect((await own.overlap(train)).indices).toHaveLength(90);
  });

  test("also after a file, in a copy, in a checkpoint and when it is resumed; and after further training of both", async () => {
    const path = directory.path("model.safetensors");
    await model.save(path);
    const checkpoint = directory.path("checkpoint.safetensors");
    await (await tinyNetwork()).fit(train, { ...options, checkpoint });
    const resumed = await tinyNetwork();
    await resumed.fit(train, { ...options, epochs: 2, checkpoint, resume: true });
    for (const network of [await ResNet.load(path), (await model[internals].copy()) as ResNet, await ResNet.load(checkpoint), resumed]) {
      expect((await network.overlap(whole)).indices).toHaveLength(90);
    }
    const again = await tinyNetwork();
    await again.fit(fresh, options);
    const second = directory.path("second.safetensors");
    await again.fit(train, { ...options, checkpoint: second });
    const continued = await tinyNetwork();
    await continued.fit(train, { ...options, epochs: 2, checkpoint: second, resume: true });
    expect((await continued.overlap(both(train, fresh))).indices).toHaveLength(130);
    const further = await ResNet.load(path);
    await further.fit(fresh, options);
    expect((await further.overlap(both(train, fresh))).indices).toHaveLength(130);
  });

  test("a refused or aborted call adds nothing", async () => {
    const untouched = await tinyNetwork();
    await libraryFailureOf(() => untouched.fit(train, { ...options, signal: AbortSignal.abort() }));
    const ofFour = Dataset.fromArrays({ images: fresh.images, labels: fresh.labels.map(() => 3), shape: fresh.shape });
    await libraryFailureOf(() => untouched.fit(ofFour, options));
    expect((await untouched.overlap(both(train, fresh))).indices).toEqual([]);
  });

  test("calibration images of another split are refused, though they are not among those that the score is fitted to", async () => {
    const error = await libraryFailureOf(() => Detector.fit(model, other.train, { calibration: other.validation }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("was it trained on another split?") as string });
    const trained = (await model.overlap(other.validation)).indices.length;
    expect(trained).toBeGreaterThan(0);
    expect(error.message).toContain(`found ${trained} of 30 among those that the network was trained on`);
    expect(error.message).toMatch(/leave them out, or set allowOverlap: true \(--allow-overlap\)$/);
  });

  test("what is let through all the same is a warning, also in the file", async () => {
    const allowed = await Detector.fit(model, other.train, {
      calibration: other.validation,
      allowOverlap: true,
      score: "energy",
      minimumAccuracy: 0,
    });
    const trained = (await model.overlap(other.validation)).indices.length;
    expect(allowed.warnings).toEqual([
      expect.stringMatching(
        `^calibration: ${trained} of 30 among those that the network was trained on.*the false-alarm rate does not hold$`,
      ),
      `train: ${trained} of 90 images are not among those that the network was trained on (was it trained on another split?)`,
    ]);
    const path = directory.path("allowed.safetensors");
    await allowed.save(path);
    expect((await Detector.load(path)).warnings).toEqual(allowed.warnings);
  });

  test("a score that is fitted to held-out images too: a warning", async () => {
    const detector = await Detector.fit(model, whole, { calibration: fresh, score: "energy", minimumAccuracy: 0 });
    expect(detector.warnings).toEqual([expect.stringMatching(/^train: 30 of 120 images are not among those/)]);
    const one = await Detector.fit(model, both(train, validation.subset(1)), { calibration: fresh, score: "energy", minimumAccuracy: 0 });
    expect(one.warnings).toEqual([expect.stringMatching(/^train: 1 of 91 images are not among those/)]);
    expect((await Detector.fit(model, train, { calibration: validation, score: "energy", minimumAccuracy: 0 })).warnings).toEqual([]);
  });

  test("a detector knows what it was made from: training, fit, calibration; also after a file", async () => {
    const detector = await Detector.fit(model, train.subset(60), { calibration: validation, score: "energy", minimumAccuracy: 0 });
    const path = directory.path("detector.safetensors");
    await detector.save(path);
    for (const each of [detector, await Detector.load(path)]) {
      expect((await each.overlap(whole)).indices).toHaveLength(120);
      expect(await each.overlap(fresh)).toEqual({ indices: [], checked: 40 });
    }
    expect(await libraryFailureOf(() => detector.overlap("photo.jpg" as never))).toMatchObject({ code: "ERR_OPTION" });
    detector.dispose();
    expect(await libraryFailureOf(() => detector.overlap(fresh))).toMatchObject({ code: "ERR_DISPOSED" });
  });
});

test("a detector over features knows its rows, whatever their dtype", async () => {
  const narrow = ({ features, labels }: ReturnType<typeof sample>) => ({
    features: { data: Float32Array.from(features.data), shape: features.shape },
    labels,
  });
  const detector = await detectorOf({ ...narrow(sample(60, 1)) });
  const seen = narrow(sample(60, 1)).features;
  const wide = { data: Float64Array.from(seen.data), shape: seen.shape };
  for (const rows of [seen, wide, { features: wide }]) expect((await detector.overlap(rows)).indices).toHaveLength(60);
  expect((await detector.overlap(sample(99, 2).features)).indices).toHaveLength(99); // the calibration
  expect(await detector.overlap(sample(30, 3).features)).toEqual({ indices: [], checked: 30 });
  const fromRow20 = { data: Float64Array.from([...wide.data.subarray(40), ...sample(30, 3).features.data]), shape: [70, 2] };
  expect((await detector.overlap(fromRow20)).indices).toEqual(Array.from({ length: 40 }, (_, i) => i));
  const moved = { data: wide.data.map((x, i) => (i % 2 === 1 ? x + 1e-9 : x)), shape: wide.shape };
  expect((await detector.overlap(moved)).indices).toEqual([]); // each by its last value
  const overlapping = await detectorOf({ calibration: { features: sample(60, 1).features }, allowOverlap: true });
  expect(overlapping.warnings).toEqual(["calibration: 60 of 60 among the training inputs: the false-alarm rate does not hold"]);
});
