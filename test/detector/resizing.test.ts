// How images were resized goes with them into data set, detector and results, and a difference is told (trap 7).

import { Dataset, Detector, scores as scoring, type ResizeRecord } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const directory = temporaryDirectory();
const squash: ResizeRecord = { mode: "squash", kernel: "antialiased-bilinear" };
const resized = (data: Dataset, resize?: ResizeRecord) =>
  Dataset.fromArrays({ images: data.images, labels: data.labels, shape: data.shape, resize });
const detectorOf = async (train?: ResizeRecord, calibration?: ResizeRecord, options = {}) =>
  Detector.fit(await tinyNetwork(), resized(tinyData(30), train), {
    calibration: resized(tinyData(20, "held"), calibration),
    score: "energy",
    minimumAccuracy: 0, // the network is not trained
    ...options,
  });

test("the record stays with subsets, splits and normalisation, and is the data set's own", () => {
  const given = { ...squash };
  const data = resized(tinyData(30), given);
  (given as { kernel: string }).kernel = "nearest";
  expect(tinyData(3).resize).toBeUndefined();
  for (const part of [data, data.subset(3), data.subset([4, 2]), data.split(0.5, 1).validation, data.withNormalization(undefined)]) {
    expect(part.resize).toEqual(squash);
    expect(Object.isFrozen(part.resize)).toBe(true);
  }
});

test.each([
  ["ERR_OPTION", "resize.mode", { mode: "stretch", kernel: "nearest" }],
  ["ERR_OPTION", "resize.kernel", { mode: "squash", kernel: 7 }],
  ["ERR_OPTION", "unknown option", { ...squash, kernels: 2 }],
  ["ERR_OPTION", "resize", "squash"],
])("refused: %s %s", async (code, message, resize) => {
  expect(await libraryFailureOf(() => resized(tinyData(3), resize as never))).toMatchObject({
    code,
    message: expect.stringContaining(message) as string,
  });
});

test("a detector resizes later images as its training images were, and its file says so", async () => {
  const detector = await detectorOf(squash, squash);
  expect([detector.resize, detector.warnings]).toEqual(["squash", []]);
  const path = directory.path("squash.safetensors");
  await detector.save(path);
  expect((await Detector.load(path)).resize).toBe("squash");
  expect((await detectorOf()).resize).toBe("center-crop");
  const asTheyWere = { mode: "none", kernel: "another" } as const; // nothing was resized, by whatever kernel
  const unresized = await detectorOf(asTheyWere, asTheyWere);
  expect([unresized.resize, unresized.warnings]).toEqual(["center-crop", []]);
});

test("a detector resizes the images that it is given as it says", async () => {
  const model = await tinyNetwork();
  const wide = {
    data: Uint8ClampedArray.from({ length: 4 * 24 * 8 }, (_, k) => (k % 4 === 3 ? 255 : (k * k) % 251)),
    width: 24,
    height: 8,
  };
  const scores: number[] = [];
  for (const resize of ["squash", "center-crop"] as const) {
    const { logits } = await model.extract(wide, { resize });
    const [wanted] = await (await scoring.fit("energy")).score({ logits });
    const detector = await Detector.fit(model, tinyData(30), { calibration: tinyData(20, "held"), score: "energy", resize });
    const [answer] = await detector.predict(wide);
    expect(answer?.score).toBe(wanted);
    scores.push(wanted as number);
  }
  expect(scores[0]).not.toBeCloseTo(scores[1] as number, 4);
});

test("another kernel, another mode, calibration unlike training: a warning for each, also in the file", async () => {
  const plain = { mode: "squash", kernel: "bilinear without antialiasing" } as const;
  const detector = await detectorOf(plain, squash);
  const told =
    "train: its images were resized by squash, bilinear without antialiasing, later ones will be by squash, antialiased-bilinear";
  expect(detector.warnings).toEqual([told]);
  const path = directory.path("plain.safetensors");
  await detector.save(path);
  expect((await Detector.load(path)).warnings).toEqual([told]);
  const unlike = await detectorOf(squash, { ...squash, mode: "center-crop" }, { resize: "squash" });
  expect(unlike.warnings).toEqual([
    expect.stringMatching(/^calibration: its images were resized by center-crop, antialiased-bilinear, later/),
  ]);
  expect((await detectorOf(squash, squash, { resize: "center-crop" })).warnings).toHaveLength(2);
});
