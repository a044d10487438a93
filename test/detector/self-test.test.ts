// What a detector says of itself: range of false alarms, accuracy and confidence of the calibration, warnings where it deserves them and only there,
// and what it flags of generated inputs and left-out classes.

import { Dataset, Detector, scores, type DetectorFeatures, type SelfTest } from "../../lib";
import { falseAlarmInterval, regularizedBeta } from "../../lib/detector/beta-distribution";
import { flaggedCount } from "../../lib/detector/calibration";
import { generatedFeatures, noiseImages, shuffledImages } from "../../lib/detector/generated-inputs";
import { rowsAt } from "../../lib/detector/rows-at";
import { readSafetensors, writeSafetensors } from "../../lib/formats/safetensors";
import { seededUint32 } from "../../lib/core/random";
import { Tensor } from "../../lib/native/tensor";
import { temporaryDirectory } from "../support/temporary-directory";
import reference from "../reference/false_alarm_interval.json";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { detectorOf, normals, sample } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();

describe("the range of later false alarms", () => {
  test("is that of scipy's Beta distribution", () => {
    for (const { count, rate, flagged, lower, upper } of reference.cases) {
      expect(flaggedCount(rate, count)).toBe(flagged);
      const found = falseAlarmInterval(flagged, count);
      // ln Γ(10^6) is 1e7: its rounding, three times over, is some 5e-9 of the probability, and as much of the quantile.
      expect([found.lower / lower, found.upper / upper]).toEqual([expect.closeTo(1, 7), expect.closeTo(1, 7)]);
    }
    for (const { x, a, b, value } of reference.probabilities) expect(regularizedBeta(x, a, b)).toBeCloseTo(value, 9);
  });

  test("is where calibrations of this size come out, by simulation of the calibration itself", async () => {
    const random = seededUint32(3);
    const uniform = () => random() / 2 ** 32;
    const logits = (count: number) => ({
      logits: { data: Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 ? -9 : uniform())), shape: [count, 2] },
    });
    const shares: number[] = [];
    let range: SelfTest["falseAlarms"] | undefined;
    for (let draw = 0; draw < 200; draw++) {
      const options = { ...logits(2), calibration: logits(50), score: "max-logit", falseAlarmRate: 0.1, selfTest: false } as const;
      using detector = await Detector.fromFeatures(options);
      range ??= detector.selfTest().falseAlarms;
      const sorted = detector.calibrationScores;
      shares.push(sorted[flaggedCount(0.1, 50) - 1] as number); // of uniform scores this is the share below the k-th
    }
    const { lower, upper } = range as SelfTest["falseAlarms"];
    const inside = shares.filter((share) => share >= lower && share <= upper).length / shares.length;
    expect(inside).toBeGreaterThan(0.9); // 0.95 ± 0.0154, over three of these
    expect(inside).toBeLessThan(1);
  });

  test("a rate of 1 flags everything; a rate that the calibration cannot give is refused", async () => {
    using detector = await detectorOf();
    expect(detector.selfTest({ falseAlarmRate: 1 }).falseAlarms).toEqual({ lower: 1, upper: 1 });
    expect(() => detector.selfTest({ falseAlarmRate: 0 })).toThrow("falseAlarmRate: expected more than 0, at most 1, found 0");
    expect(() => detector.selfTest({ falseAlarmRate: 0.001 })).toThrow(expect.objectContaining({ code: "ERR_RANGE" }));
    expect(() => detector.selfTest({ rate: 0.1 } as never)).toThrow(expect.objectContaining({ code: "ERR_OPTION" }));
  });
});

/** Logits of `count` inputs of `classes` classes, of which the share `accuracy` is named rightly by a margin of `sure`. */
function logitsOf(count: number, accuracy: number, { classes = 10, sure = 4, seed = 1 } = {}) {
  const normal = normals(seed);
  const labels = Int32Array.from({ length: count }, (_, i) => i % classes);
  const data = Float64Array.from({ length: count * classes }, normal);
  labels.forEach((label, i) => {
    const wrong = Math.floor(i * (1 - accuracy) + 1e-9) !== Math.floor((i + 1) * (1 - accuracy) + 1e-9);
    const named = wrong ? (label + 1) % classes : label;
    const row = data.subarray(i * classes, (i + 1) * classes);
    row[named] = Math.max(...row) + sure * (0.5 + Math.abs(normal()));
  });
  return { logits: { data, shape: [count, classes] }, labels };
}

type Known = ReturnType<typeof logitsOf>;
const warningsOf = async (training: Known, calibration: Known, options = {}) => {
  using detector = await Detector.fromFeatures({
    ...training,
    calibration,
    score: "energy",
    selfTest: false,
    ...options,
  } as DetectorFeatures);
  return detector.warnings;
};

describe("accuracy and confidence of the calibration", () => {
  test("are in the report, of calibration and training inputs, and in the file", async () => {
    const [training, calibration] = [logitsOf(400, 0.95), logitsOf(200, 0.8, { seed: 2 })];
    using detector = await Detector.fromFeatures({ ...training, calibration, score: "energy" });
    expect(detector.calibration).toEqual({
      calibration: { count: 200, accuracy: expect.closeTo(0.8, 9) as number, meanConfidence: expect.any(Number) as number },
      training: { count: 400, accuracy: expect.closeTo(0.95, 9) as number, meanConfidence: expect.any(Number) as number },
    });
    const answers = await detector.predict(calibration);
    const mean = answers.reduce((sum, { confidence = NaN }) => sum + confidence, 0) / 200;
    expect(detector.calibration.calibration?.meanConfidence).toBeCloseTo(mean, 12);
    await detector.save(directory.path("report.safetensors"));
    using loaded = await Detector.load(directory.path("report.safetensors"));
    expect([loaded.calibration, loaded.selfTest(), loaded.warnings]).toEqual([
      detector.calibration,
      detector.selfTest(),
      detector.warnings,
    ]);
  });

  test("without labels there is the confidence alone; wrong labels are refused", async () => {
    const { logits } = logitsOf(200, 0.9, { seed: 2 });
    using detector = await Detector.fromFeatures({ ...logitsOf(400, 0.95), calibration: { logits }, score: "energy" });
    expect(Object.keys(detector.calibration.calibration ?? {})).toEqual(["count", "meanConfidence"]);
    expect(detector.selfTest().byClass).toBeUndefined();
    for (const [labels, code] of [
      [[1, 2], "ERR_SHAPE"],
      [new Int32Array(200).fill(10), "ERR_RANGE"],
      [new Int32Array(200).fill(-1), "ERR_RANGE"],
      [new Float64Array(200), "ERR_DTYPE"],
    ] as const) {
      const calibration = { logits, labels } as never;
      expect(await libraryFailureOf(() => Detector.fromFeatures({ ...logitsOf(400, 0.95), calibration, score: "energy" }))).toMatchObject({
        code,
      });
    }
  });

  test.each([
    ["32 % of ten classes", 10, 0.32, /^calibration: 32 % of the 200 .*by chance 10 % .*of little use \(expected at least 50 %\)$/],
    ["less than twice chance of three", 3, 0.6, /expected at least 66.7 %/],
    ["little more than chance of two", 2, 0.6, /expected at least 75 %/],
    ["chance of a hundred", 100, 0.02, /expected at least 50 %/],
  ])("a network that names few: %s", async (_, classes, accuracy, message) => {
    const [training, calibration] = [logitsOf(400, accuracy, { classes }), logitsOf(200, accuracy, { classes, seed: 2 })];
    expect(await warningsOf(training, calibration)).toEqual([expect.stringMatching(message)]);
    expect(await warningsOf(training, calibration, { minimumAccuracy: accuracy / 2 })).toEqual([]);
    expect(await warningsOf(training, calibration, { minimumAccuracy: 0 })).toEqual([]);
  });

  test("where only training inputs have labels, a network that names few of them", async () => {
    const calibration = { logits: logitsOf(200, 0.4, { seed: 2 }).logits } as Known;
    expect(await warningsOf(logitsOf(400, 0.4), calibration)).toEqual([
      expect.stringMatching(/^training: 40 % of the 400 training inputs .*of little use \(expected at least 50 %\)$/),
    ]);
    expect(await warningsOf(logitsOf(400, 0.4), calibration, { minimumAccuracy: 0.3 })).toEqual([]);
  });

  test("a bar of one's own", async () => {
    const [training, calibration] = [logitsOf(400, 0.9), logitsOf(200, 0.9, { seed: 2 })];
    expect(await warningsOf(training, calibration, { minimumAccuracy: 0.95 })).toEqual([expect.stringMatching(/expected at least 95 %/)]);
    expect(await libraryFailureOf(() => warningsOf(training, calibration, { minimumAccuracy: 2 }))).toMatchObject({ code: "ERR_RANGE" });
    expect(await libraryFailureOf(() => warningsOf(training, calibration, { selfTest: "yes" }))).toMatchObject({ code: "ERR_OPTION" });
  });

  test.each([
    [
      "far below the training's",
      logitsOf(400, 0.98),
      logitsOf(200, 0.42, { seed: 2 }),
      /42 % named rightly.*98 % are.*overfits, or the two sets differ/,
    ],
    ["far above", logitsOf(400, 0.8), logitsOf(200, 1, { seed: 2 }), /100 % named rightly.*80 % are.*confused/],
    [
      "much less sure",
      logitsOf(400, 0.98, { sure: 9 }),
      logitsOf(200, 0.9, { sure: 0.4, seed: 2 }),
      /mean confidence 0\.\d+ against training inputs with 0\.99/,
    ],
  ])("calibration inputs that are %s warn", async (_, training, calibration, message) => {
    expect(await warningsOf(training, calibration, { minimumAccuracy: 0 })).toEqual([expect.stringMatching(message)]);
  });

  test("both parts from what the model was trained on: all named rightly, and as surely as the fitted ones", async () => {
    const [training, calibration] = [logitsOf(1000, 1, { sure: 9 }), logitsOf(400, 1, { sure: 9, seed: 2 })];
    expect(await warningsOf(training, calibration)).toEqual([expect.stringMatching(/must not be among the model's own training data/)]);
    // An easy task with inputs that were not seen: nearly all named rightly, but less surely.
    expect(await warningsOf(training, logitsOf(400, 0.9975, { sure: 7, seed: 2 }))).toEqual([]);
  });

  test.each([
    ["a good network", 10, 0.99, 0.95, 5, 5],
    ["one that overfits", 10, 1, 0.735, 8, 5],
    ["a hundred classes", 100, 0.999, 0.66, 8, 5],
    ["a hundred classes, not overfitted", 100, 0.6, 0.58, 3, 3],
    ["two classes", 2, 0.97, 0.9, 5, 5],
    ["one that is not done with training", 10, 0.7, 0.71, 3, 3],
  ])("no warning of %s, of large or small calibrations", async (_, classes, fitted, held, sure, heldSure) => {
    for (const [count, seed] of [
      [20, 5],
      [100, 6],
      [1000, 7],
    ] as const) {
      const [training, calibration] = [logitsOf(1500, fitted, { classes, sure }), logitsOf(count, held, { classes, sure: heldSure, seed })];
      expect(await warningsOf(training, calibration)).toEqual([]);
    }
  });

  test("no warning of Gaussian classes that are well apart, whatever the score", async () => {
    const calibration = sample(300, 2);
    for (const score of ["gaussian-mixture", "mahalanobis", "nearest-neighbours"] as const) {
      const scoreOptions = score === "nearest-neighbours" ? { k: 5 } : {};
      using detector = await Detector.fromFeatures({ ...sample(600, 1), calibration, score, scoreOptions } as DetectorFeatures);
      expect(detector.warnings).toEqual([]);
      expect(detector.calibration.calibration?.accuracy).toBeGreaterThan(0.95);
    }
  });
});

describe("generated inputs", () => {
  const data = tinyData(200);

  test("noise has the shape and no structure; shuffled images have the pixels of their own, patch by patch", () => {
    const noise = noiseImages(data);
    expect([noise.length, noise.shape]).toEqual([128, data.shape]);
    const mean = noise.images.reduce((sum, value) => sum + value, 0) / noise.images.length;
    expect(Math.abs(mean - 127.5)).toBeLessThan((5 * 74) / Math.sqrt(noise.images.length));
    const images = Uint8Array.from({ length: 2 * 3 * 9 * 10 }, (_, i) => i % 251);
    const given = Dataset.fromArrays({ images, labels: [0, 0], shape: [3, 9, 10] });
    const shuffled = shuffledImages(given);
    const planes = (of: Dataset) => [0, 1].map((i) => [...of.image(i)]);
    for (const i of [0, 1]) {
      expect([...shuffled.image(i)].sort()).toEqual([...given.image(i)].sort());
      expect([...shuffled.image(i)]).not.toEqual([...given.image(i)]);
    }
    // Each 2 × 2 patch of a channel is one of the original, the same in every channel; the ninth row and the last two columns stay.
    const patch = (of: number[], c: number, y: number, x: number) =>
      [0, 1].flatMap((dy) => [0, 1].map((dx) => of[(c * 9 + 2 * y + dy) * 10 + 2 * x + dx]));
    const [original] = planes(given);
    const [mixed] = planes(shuffled);
    const cells = Array.from({ length: 16 }, (_, k) => [k >> 2, k % 4] as const);
    for (const [y, x] of cells) {
      const from = cells.find(([v, u]) => String(patch(original as number[], 0, v, u)) === String(patch(mixed as number[], 0, y, x)));
      expect(from).toBeDefined();
      const [v, u] = from as readonly [number, number];
      for (const c of [1, 2]) expect(patch(mixed as number[], c, y, x)).toEqual(patch(original as number[], c, v, u));
    }
    for (let c = 0; c < 3; c++) for (let x = 0; x < 10; x++) expect(mixed?.[(c * 9 + 8) * 10 + x]).toBe(original?.[(c * 9 + 8) * 10 + x]);
  });

  test("features: columns keep mean, deviation or values, and lose what binds them", async () => {
    const normal = normals(4);
    const rows = Float64Array.from({ length: 2000 }, () => 0);
    for (let i = 0; i < 1000; i++) {
      rows[2 * i] = 100 + 3 * normal();
      rows[2 * i + 1] = -2 * (rows[2 * i] as number);
    }
    const features = Tensor.from(rows, [1000, 2]);
    const { noise, shuffled } = await generatedFeatures({ features }, ["features"]);
    for (const made of [noise, shuffled]) {
      const values = (made.features as Tensor).toArray() as Float64Array;
      const column = (k: number) => Array.from({ length: 128 }, (_, i) => values[2 * i + k] as number);
      const mean = (list: number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
      const [x, y] = [column(0), column(1)];
      expect(Math.abs(mean(x) - 100)).toBeLessThan(1.5); // five standard errors
      const [dx, dy] = [x.map((v) => v - mean(x)), y.map((v) => v - mean(y))];
      const dot = (a: number[], b: number[]) => a.reduce((sum, v, i) => sum + v * (b[i] as number), 0);
      expect(Math.abs(dot(dx, dy)) / Math.sqrt(dot(dx, dx) * dot(dy, dy))).toBeLessThan(0.45); // five standard errors; of the calibration 1
    }
    const known = new Set(rows);
    expect(((shuffled.features as Tensor).toArray() as Float64Array).every((value) => known.has(value))).toBe(true);
  });
});

describe("selfTest", () => {
  const [train, calibration] = [sample(300, 1), sample(200, 2)];

  test("classes that the score does not know: as a detector without them flags them", async () => {
    using detector = await Detector.fromFeatures({ ...train, calibration, falseAlarmRate: 0.1 });
    const { leftOutClasses } = detector.selfTest();
    expect(leftOutClasses?.classes.map(({ label, className }) => [label, className])).toEqual([[0, "0"], [1, "1"], [2, "2"]]); // prettier-ignore
    for (const [label, { flagged, count }] of leftOutClasses?.classes.entries() ?? []) {
      const rows = async (s: typeof train, keep: (value: number) => boolean) => {
        const kept = [...s.labels.keys()].filter((i) => keep(s.labels[i] as number));
        const { data, shape } = s.features;
        const features = await rowsAt(Tensor.from(data, shape), kept);
        return { features, labels: Int32Array.from(kept, (i) => (s.labels[i] as number) - ((s.labels[i] as number) > label ? 1 : 0)) };
      };
      const without = await rows(train, (value) => value !== label);
      const held = await rows(calibration, (value) => value !== label);
      using other = await Detector.fromFeatures({ ...without, calibration: held, falseAlarmRate: 0.1 });
      const answers = await other.predict((await rows(calibration, (value) => value === label)).features);
      expect([count, flagged]).toEqual([answers.length, answers.filter((answer) => answer.outOfDistribution).length / answers.length]);
    }
    expect(leftOutClasses?.flagged).toBeGreaterThan(0.9); // six deviations apart
  });

  test("noise and disorder of features, and the false alarms of each class, which sum up to those asked for", async () => {
    const far = { ...train, features: { ...train.features, data: train.features.data.map((value, i) => value + (i % 2 ? 50 : 0)) } };
    using detector = await Detector.fromFeatures({
      ...far,
      calibration: {
        ...calibration,
        features: { ...calibration.features, data: calibration.features.data.map((value, i) => value + (i % 2 ? 50 : 0)) },
      },
    });
    const { noise, shuffled, byClass, falseAlarmRate } = detector.selfTest();
    expect(falseAlarmRate).toBe(0.05);
    expect([noise?.count, shuffled?.count]).toEqual([128, 128]);
    expect(noise?.flagged).toBeGreaterThan(0.3);
    expect(shuffled?.flagged).toBeGreaterThan(0.05); // one corner of four, (6, 6), is empty
    const flagged = byClass?.reduce((sum, { count, flagged: share }) => sum + count * share, 0);
    expect(flagged).toBeCloseTo(flaggedCount(0.05, 200), 9);
    expect(byClass?.map(({ count }) => count)).toEqual([67, 67, 66]);
    const more = detector.selfTest({ falseAlarmRate: 0.5 });
    expect(more.noise?.flagged).toBeGreaterThanOrEqual(noise?.flagged as number);
  });

  const layer = {
    weight: { data: new Float64Array([-1, -1, 1, 0, 0, 1]), shape: [3, 2] },
    bias: { data: new Float64Array([3, -3, -3]), shape: [3] },
  };
  test.each([...scores.names])("of the score %s, kept in a file", async (score) => {
    const of = ({ features, labels }: typeof train) => {
      const logits = Float64Array.from({ length: 3 * labels.length }, (_, k) => {
        const [x, y] = [features.data[2 * Math.floor(k / 3)] as number, features.data[2 * Math.floor(k / 3) + 1] as number];
        return [3 - x - y, x - 3, y - 3][k % 3] as number;
      });
      return { features, rawFeatures: features, labels, logits: { data: logits, shape: [labels.length, 3] } };
    };
    const scoreOptions = score === "vim" ? { dimension: 1 } : score === "nearest-neighbours" ? { k: 5 } : {};
    using detector = await Detector.fromFeatures({
      ...of(train),
      ...layer,
      calibration: of(calibration),
      score,
      scoreOptions,
    } as DetectorFeatures);
    const found = detector.selfTest();
    const parts = ["noise", "shuffled", "byClass", ...(score === "feature-norm" ? [] : ["leftOutClasses"])];
    expect(Object.keys(found).sort()).toEqual(["falseAlarmRate", "falseAlarms", ...parts].sort());
    const path = directory.path(`${score}.safetensors`);
    await detector.save(path);
    using loaded = await Detector.load(path);
    expect(loaded.selfTest()).toEqual(found);
    expect(detector.warnings).toEqual([]);
  });

  test("of images: noise and shuffled patches go through the network; without a self-test there are no shares", async () => {
    const model = await tinyNetwork({ seed: 1 });
    const data = tinyData(120);
    await model.fit(data, { epochs: 6, batchSize: 16, learningRate: 0.05 });
    const options = { calibration: tinyData(60, "held out"), scoreOptions: { covariance: "ledoit-wolf" } } as const;
    using detector = await Detector.fit(model, data, options);
    const found = detector.selfTest();
    const noise = await detector.predict(noiseImages(options.calibration));
    const shuffled = await detector.predict(shuffledImages(options.calibration));
    const share = (answers: typeof noise) => ({ count: 60, flagged: answers.filter((answer) => answer.outOfDistribution).length / 60 });
    expect([found.noise, found.shuffled]).toEqual([share(noise), share(shuffled)]);
    expect(found.leftOutClasses?.classes).toHaveLength(3);
    const answers = await detector.predict(options.calibration);
    const right = answers.filter(({ label }, i) => label === options.calibration.labels[i]).length / 60;
    expect(detector.calibration.calibration?.accuracy).toBe(right);
    using without = await Detector.fit(model, data, { ...options, selfTest: false });
    expect(Object.keys(without.selfTest()).sort()).toEqual(["byClass", "falseAlarmRate", "falseAlarms"]);
    expect([...without.calibrationScores]).toEqual([...detector.calibrationScores]);
    model.dispose();
  });

  test("a file of before it is read, and says what it can; one that lies is refused", async () => {
    const path = directory.path("old.safetensors");
    using detector = await Detector.fromFeatures({ ...train, calibration });
    await detector.save(path);
    const { tensors, metadata } = await readSafetensors(path);
    const { report, selfTest, ...old } = JSON.parse(metadata.get("description") as string) as Record<string, object>;
    const entries = [...tensors].flatMap(([name, tensor]) => (name === "calibration.labels" ? [] : [{ name, ...tensor }]));
    const write = (description: object) =>
      writeSafetensors(path, entries, { metadata: { ...Object.fromEntries(metadata), description: JSON.stringify(description) } });
    await write(old);
    using loaded = await Detector.load(path);
    expect(loaded.calibration).toEqual({});
    expect(loaded.selfTest()).toEqual({ falseAlarmRate: 0.05, falseAlarms: detector.selfTest().falseAlarms });
    expect(await loaded.predict(sample(9, 3).features)).toEqual(await detector.predict(sample(9, 3).features));
    for (const lie of [
      { report: null },
      { report: { calibration: { count: 0, meanConfidence: 1 } } },
      { report: { training: { count: 5, meanConfidence: 1.5 } } },
      { report: { calibration: { count: 5, accuracy: "1", meanConfidence: 1 } } },
      { selfTest: [] },
      { selfTest: { noise: [] } },
      { selfTest: { noise: [0] } },
      { selfTest: { shuffled: [0.5, null] } },
      { selfTest: { leftOutClasses: [{ label: 3, calibrationCount: 5, pValues: [1] }] } },
      { selfTest: { leftOutClasses: [{ label: 0, calibrationCount: 0, pValues: [1] }] } },
    ]) {
      await write({ ...old, report, selfTest, ...lie });
      const error = await libraryFailureOf(() => Detector.load(path));
      expect(error).toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining("old.safetensors: ") as string });
    }
  });
});
