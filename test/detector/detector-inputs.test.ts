// What a detector is given: extractions as they are, features without labels, one class, calibrations that say nothing; and disposal during a call.

import { Detector, scores, Tensor, type DetectorFeatures, type ResNet } from "../../lib";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { detectorOf, normals, sample } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();

describe("what model.extract gives goes in as it is", () => {
  let model: ResNet;
  const [train, held, fresh] = [tinyData(60), tinyData(30, "held out"), tinyData(12, "fresh")];
  beforeAll(async () => {
    model = await tinyNetwork({ seed: 1 });
  });
  afterAll(() => model.dispose());

  test.each(["gaussian-mixture", "nearest-neighbours", "energy", "mahalanobis"] as const)("score %s", async (score) => {
    const scoreOptions = score === "gaussian-mixture" ? { covariance: "ledoit-wolf" } : score === "nearest-neighbours" ? { k: 3 } : {};
    const [training, calibration, test] = [await model.extract(train), await model.extract(held), await model.extract(fresh)];
    const { features, logits, labels } = training;
    const picked = { features, logits, labels, calibration: { features: calibration.features, logits: calibration.logits } };
    using plain = await Detector.fromFeatures({ ...picked, score, scoreOptions } as DetectorFeatures);
    using whole = await Detector.fromFeatures({ ...training, calibration, score, scoreOptions } as DetectorFeatures);
    const wanted = await plain.predict({ features: test.features, logits: test.logits });
    expect(await whole.predict(test)).toEqual(wanted);
    expect((await whole.overlap(training)).indices).toHaveLength(60);
    using own = await scores.fit(score, training, scoreOptions as never);
    expect([...(await own.score(test))]).toEqual(wanted.map((answer) => answer.score));
    await model.extractStream([fresh], async (chunk) => {
      expect(await whole.predict(chunk)).toEqual(wanted);
      expect([...(await own.score(chunk))]).toEqual(wanted.map((answer) => answer.score));
    });
  });

  test("raw features for feature-norm, which a network that does not normalise gives anyway", async () => {
    const norm = await scores.fit("feature-norm");
    const outputs = ["rawFeatures", "logits"] as const;
    const raw = await model.extract(fresh, { outputs });
    const lengths = await norm.score({ rawFeatures: raw.rawFeatures });
    expect(await norm.score(raw)).toEqual(lengths);
    await model.extractStream([fresh], async (chunk) => expect(await norm.score(chunk)).toEqual(lengths), { outputs });
    expect(await libraryFailureOf(async () => norm.score(await model.extract(fresh)))).toMatchObject({ code: "ERR_OPTION" });
    const plain = await tinyNetwork({ l2Normalize: false, seed: 1 });
    const extraction = await plain.extract(fresh);
    expect(await norm.score(extraction)).toEqual(await norm.score({ rawFeatures: extraction.features }));
    plain.dispose();
    const [training, calibration] = [await model.extract(train, { outputs }), await model.extract(held, { outputs })];
    using detector = await Detector.fromFeatures({ ...training, calibration, score: "feature-norm" });
    expect((await detector.predict(raw)).map(({ score }) => score)).toEqual([...lengths]);
  });

  test("raw features are refused by a detector that was fitted to normalised ones", async () => {
    const options = { calibration: held, score: "nearest-neighbours", scoreOptions: { k: 3 }, selfTest: false } as const;
    using detector = await Detector.fit(model, train, options);
    const { code, message } = await libraryFailureOf(async () =>
      detector.predict(await model.extract(fresh, { outputs: ["rawFeatures", "logits"] })),
    );
    expect([code, message]).toEqual(["ERR_OPTION", expect.stringMatching(/^input\.features: expected it for this detector, found none/)]);
  });

  test("images without labels have an empty list of them, which counts as none", async () => {
    const unlabelled = await model.extract({ data: train.images, shape: [60, 1, 8, 8] });
    const calibration = await model.extract({ data: held.images, shape: [30, 1, 8, 8] });
    using detector = await Detector.fromFeatures({ ...unlabelled, calibration, score: "energy" });
    expect(await detector.predict(calibration)).toHaveLength(30);
    expect(await libraryFailureOf(() => Detector.fromFeatures({ ...unlabelled, calibration }))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringMatching(/^labels: expected one per row.*found none.*nearest-neighbours/) as string,
    });
  });

  test("what is neither model outputs nor beside it in an extraction is still refused", async () => {
    using detector = await detectorOf();
    const { features } = sample(5, 3);
    const error = await libraryFailureOf(() => detector.predict({ features, feature: features } as never));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("feature") as string });
  });
});

test("rows without columns are refused, however many", async () => {
  const none = { data: new Float64Array(0), shape: [2 ** 52, 0] as const };
  const { features } = sample(60, 1);
  using detector = await detectorOf();
  for (const call of [
    () => detector.predict(none),
    () => detector.overlap(none),
    () => Detector.fromFeatures({ features, calibration: { features: none }, score: "nearest-neighbours" }),
    () => Detector.fromFeatures({ features: none, calibration: { features }, score: "nearest-neighbours" }),
    () => Detector.fromFeatures({ logits: none, calibration: { logits: none }, score: "energy" }),
  ]) {
    const { code, message } = await libraryFailureOf(call);
    expect([code, message]).toEqual(["ERR_SHAPE", expect.stringMatching(/: expected \[N, columns\], found \[4503599627370496, 0\]$/)]);
  }
  expect(await detector.predict({ data: new Float64Array(0), shape: [0, 2] })).toEqual([]);
});

describe("images that cannot be decoded", () => {
  const pixels = (seed: number) => ({ data: Uint8ClampedArray.from({ length: 256 }, (_, i) => (i * seed) % 256), width: 8, height: 8 });
  const [good, other] = [pixels(37), pixels(91)];
  const broken = Buffer.from("hello");

  // feature-norm looks at raw features, and the class at logits.
  test.each(["energy", "feature-norm"] as const)("%s: they have no prediction, and are told of once", async (score) => {
    const model = await tinyNetwork({ seed: 1 });
    using detector = await Detector.fit(model, tinyData(60), { calibration: tinyData(30, "held out"), score, selfTest: false });
    model.dispose();
    const wanted = await detector.predict([good, other]);
    const images = [broken, good, directory.path("nowhere.png"), other];
    const told: [number, string][] = [];
    expect(await detector.predict(images, { onError: ({ index, code }) => void told.push([index, code]) })).toEqual(wanted);
    expect(told).toEqual([[0, "ERR_CORRUPT_FILE"], [2, "ERR_IO"]]); // prettier-ignore
    expect(await detector.predict([broken], { onError: () => undefined })).toEqual([]);
    for (const onError of [undefined, "throw"] as const) {
      expect(await libraryFailureOf(() => detector.predict(images, { onError: onError as "throw" }))).toMatchObject({
        code: "ERR_CORRUPT_FILE",
      });
    }
    const error = new Error("mine");
    await expect(detector.predict(images, { onError: () => Promise.reject(error) })).rejects.toBe(error);
    expect(await libraryFailureOf(() => detector.predict(good, { onError: "skip" as never }))).toMatchObject({ code: "ERR_OPTION" });
    expect(await libraryFailureOf(() => detector.predict(good, { maxPixels: 0 }))).toMatchObject({ code: "ERR_RANGE" });
  });
});

describe("without labels", () => {
  const [train, held, fresh] = [sample(60, 1), sample(99, 2), sample(30, 3)];
  const unlabelled = { features: train.features, calibration: { features: held.features }, score: "nearest-neighbours" } as const;
  const scoreOptions = { k: 3 };

  test("the verdicts are those with labels, and no class is named; a file keeps that", async () => {
    using detector = await Detector.fromFeatures({ ...unlabelled, scoreOptions });
    using labelled = await Detector.fromFeatures({ ...unlabelled, scoreOptions, labels: train.labels });
    const wanted = (await labelled.predict(fresh.features)).map(({ score, pValue, outOfDistribution }) => ({
      score,
      pValue,
      outOfDistribution,
    }));
    expect(await detector.predict(fresh.features)).toEqual(wanted);
    expect([detector.classNames, detector.needs]).toEqual([[], ["features"]]);
    const path = directory.path("unlabelled.safetensors");
    await detector.save(path);
    using loaded = await Detector.load(path);
    expect(await loaded.predict(fresh.features)).toEqual(wanted);
  });

  test("feature-norm looks at raw features alone", async () => {
    const options = { rawFeatures: train.features, calibration: { rawFeatures: held.features }, score: "feature-norm" } as const;
    using detector = await Detector.fromFeatures(options);
    expect(detector.needs).toEqual(["rawFeatures"]);
    const [first] = await detector.predict({ rawFeatures: fresh.features });
    expect(Object.keys(first as object).sort()).toEqual(["outOfDistribution", "pValue", "score"]);
    expect(await detector.predict(fresh.features)).toHaveLength(30);
  });

  test("logits name classes by themselves", async () => {
    const logits = (s: typeof train) => ({ data: s.features.data, shape: s.features.shape });
    const calibration = { logits: logits(held) };
    using detector = await Detector.fromFeatures({ logits: logits(train), calibration, score: "energy", classNames: ["x", "y"] });
    const [answer] = await detector.predict({ logits: { data: new Float64Array([1, 5]), shape: [1, 2] } });
    expect(answer).toMatchObject({ label: 1, className: "y" });
  });

  test.each([...scores.names])("%s: labels are needed where it is fitted to classes, and nowhere else", async (score) => {
    const of = (s: typeof train) => ({ features: s.features, rawFeatures: s.features, logits: s.features });
    const layer = { weight: { data: new Float64Array([1, 0, 0, 1]), shape: [2, 2] }, bias: { data: new Float64Array([1, 2]), shape: [2] } };
    const scoreOptions = score === "vim" ? { dimension: 1 } : {};
    const made = Detector.fromFeatures({ ...of(train), ...layer, calibration: of(held), score, scoreOptions } as DetectorFeatures);
    if (scores.requirements(score).fit.includes("labels")) await expect(made).rejects.toMatchObject({ code: "ERR_OPTION" });
    else (await made).dispose();
  });

  test("names without labels and logits would name nothing", async () => {
    const error = await libraryFailureOf(() => Detector.fromFeatures({ ...unlabelled, scoreOptions, classNames: ["a"] }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringMatching(/^classNames: /) as string });
  });
});

describe("one class", () => {
  const numbers = (count: number, columns: number, seed: number) => {
    const normal = normals(seed);
    return { data: Float64Array.from({ length: count * columns }, normal), shape: [count, columns] };
  };
  const made = (score: string, scoreOptions = {}) => {
    const of = (count: number, seed: number) => ({ features: numbers(count, 3, seed), rawFeatures: numbers(count, 3, seed) });
    const logits = ["max-softmax", "max-logit", "entropy", "energy"].includes(score);
    const all = (count: number, seed: number) => (logits ? { logits: numbers(count, 1, seed) } : of(count, seed));
    const options = { ...all(60, 1), labels: new Int32Array(60), calibration: all(40, 2), score, scoreOptions };
    return Detector.fromFeatures(options as DetectorFeatures);
  };

  test.each(["gaussian-mixture", "mahalanobis", "nearest-neighbours", "feature-norm", "max-logit", "energy"])(
    "%s serves it",
    async (score) => {
      using detector = await made(score, score === "nearest-neighbours" ? { k: 3 } : {});
      expect(new Set(detector.calibrationScores).size).toBe(40);
    },
  );

  test.each(["relative-mahalanobis", "max-softmax", "entropy"])("%s is refused: it is the same for every input", async (score) => {
    expect(await libraryFailureOf(() => made(score))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringMatching(
        /^calibration: expected scores ".*" that differ, found .* for all 40 inputs: with one class/,
      ) as string,
    });
  });

  test("relative-mahalanobis by itself warns; a name for a class without samples makes no second class", async () => {
    const training = { features: numbers(60, 3, 1), labels: new Int32Array(60).fill(1) };
    using score = await scores.fit("relative-mahalanobis", training, { numClasses: 3 });
    expect(score.warnings).toContainEqual(expect.stringContaining("one class"));
    const options = { ...training, calibration: { features: numbers(40, 3, 2) }, classNames: ["a", "b", "c"] };
    expect(await libraryFailureOf(() => Detector.fromFeatures({ ...options, score: "relative-mahalanobis" }))).toMatchObject({
      code: "ERR_OPTION",
    });
  });
});

describe("calibration scores that are tied", () => {
  const logits = (values: readonly number[]) => ({
    logits: { data: Float64Array.from(values.flatMap((v) => [v, 0])), shape: [values.length, 2] },
  });
  const of = (values: readonly number[], falseAlarmRate = 0.1) =>
    Detector.fromFeatures({ ...logits([-1, -2]), calibration: logits(values), score: "max-logit", falseAlarmRate });

  test("all of them: refused, whatever the score", async () => {
    expect(await libraryFailureOf(() => of(new Array<number>(30).fill(3)))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringContaining("found 3 for all 30 inputs") as string,
    });
    const equal = { data: new Float64Array(60).fill(0.5), shape: [30, 2] };
    expect(await libraryFailureOf(() => detectorOf({ calibration: { features: equal } }))).toMatchObject({ code: "ERR_OPTION" });
    using single = await of([3], 0.5); // one number by itself says nothing of ties
    expect(single.warnings).toEqual([]);
  });

  test("at the low end: a warning says how few are flagged", async () => {
    using low = await of([...new Array<number>(95).fill(1), 2, 3, 4, 5]);
    expect(low.warnings).toEqual([expect.stringMatching(/^calibration: 95 of 99 inputs have the same score 1: of the 10 lowest.*only 0 /)]);
  });

  test("at the high end, in pairs, or wholly below the rate: none", async () => {
    const rising = Array.from({ length: 99 }, (_, i) => i + 1);
    for (const values of [rising, rising.map((v) => Math.min(v, 15)), rising.map((v) => v >> 1), rising.map((v) => Math.max(v, 10))]) {
      using detector = await of(values);
      expect(detector.warnings).toEqual([]);
    }
  });
});

describe("disposal during a call", () => {
  const fresh = sample(300, 3);

  test("of the detector: the call gives its answer, later ones throw", async () => {
    for (const options of [{}, { score: "nearest-neighbours", scoreOptions: { k: 3 } }]) {
      const detector = await detectorOf(options as Partial<DetectorFeatures>);
      const wanted = await detector.predict(fresh.features);
      const path = directory.path("disposed.safetensors");
      const calls = [
        detector.predict(fresh.features),
        detector.predict(fresh.features),
        detector.overlap(fresh),
        detector.save(path),
      ] as const;
      detector.dispose();
      expect(detector.disposed).toBe(true);
      const refused = await libraryFailureOf(() => detector.predict(fresh.features));
      expect(refused).toMatchObject({ code: "ERR_DISPOSED" });
      const [first, second, overlap] = await Promise.all(calls);
      expect([first, second, overlap.indices]).toEqual([wanted, wanted, []]);
      using loaded = await Detector.load(path);
      expect(await loaded.predict(fresh.features)).toEqual(wanted);
      detector.dispose();
    }
  });

  test("of a detector of images, and at any time of the call", async () => {
    const model = await tinyNetwork({ seed: 1 });
    const images = tinyData(40, "fresh");
    for (let wait = 0; wait < 6; wait++) {
      const detector = await Detector.fit(model, tinyData(60), { calibration: tinyData(30, "held out"), score: "energy" });
      const call = detector.predict(images, { batchSize: 4 });
      for (let i = 0; i < wait; i++) await new Promise((resolve) => setImmediate(resolve));
      detector.dispose();
      expect(await call).toHaveLength(40);
    }
    model.dispose();
  });

  test("of the caller's tensors: predict and fromFeatures keep what they read", async () => {
    const tensor = ({ features: { data, shape } }: typeof fresh) => Tensor.from(data, shape);
    const [train, held] = [sample(60, 1), sample(99, 2)];
    const given = { features: tensor(train), labels: Tensor.from(train.labels), calibration: { features: tensor(held) } };
    const making = Detector.fromFeatures({ ...given, score: "nearest-neighbours", scoreOptions: { k: 3 } });
    for (const mine of [given.features, given.labels, given.calibration.features]) mine.dispose();
    using detector = await making;
    using wanted = await detectorOf({ score: "nearest-neighbours", scoreOptions: { k: 3 } } as Partial<DetectorFeatures>);
    const features = tensor(fresh);
    const call = detector.predict(features);
    features.dispose();
    expect(await call).toEqual(await wanted.predict(fresh.features));
  });
});
