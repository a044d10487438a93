// Detector: labels, scores and p-values are those of their definitions, the false-alarm rate holds, a file gives the same detector.

import * as fc from "fast-check";
import sharp from "sharp";
import { Dataset, Detector, GaussianMixture, metrics, scores, Tensor, type Prediction, type ResNet } from "../../lib";
import { internals } from "../../lib/models/extractor";
import { readSafetensors, writeSafetensors } from "../../lib/formats/safetensors";
import { seededUint32 } from "../../lib/core/random";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";
import { detectorOf, sample, type Sample } from "./synthetic";

useOneThread();
const directory = temporaryDirectory();

/** The definition, by counting. */
const countedPValue = (calibration: ArrayLike<number>, score: number): number =>
  (1 + Array.from(calibration).filter((value) => value <= score).length) / (calibration.length + 1);

describe("features of another model", () => {
  const train = sample(60, 1);
  const fresh = sample(30, 3);

  test("label and confidence are the mixture's posterior, the score its log density, p-values the share of calibration scores", async () => {
    const detector = await detectorOf({ classNames: ["a", "b", "c"] });
    const mixture = await GaussianMixture.fit(train.features, train.labels);
    const density = await mixture.logDensity(fresh.features);
    const labels = await mixture.predict(fresh.features);
    const posterior = (await mixture.responsibilities(fresh.features)).toArray() as Float64Array;
    const held = await mixture.logDensity(sample(99, 2).features);
    const found = await detector.predict(fresh.features);
    expect([...detector.calibrationScores]).toEqual([...held].sort((a, b) => a - b));
    expect(found).toEqual(
      Array.from(density, (logDensity, i): Prediction => {
        const label = labels[i] as number;
        const pValue = countedPValue(held, logDensity);
        return {
          label,
          className: "abc"[label] as string,
          confidence: posterior[3 * i + label] as number,
          score: logDensity,
          logDensity,
          pValue,
          outOfDistribution: pValue <= 0.05,
        };
      }),
    );
    expect(found.map(({ label }) => label)).toEqual([...fresh.labels]);
    const [far] = await detector.predict({ data: new Float64Array([40, 40]), shape: [1, 2] });
    expect(far).toMatchObject({ pValue: 0.01, outOfDistribution: true });
    detector.dispose();
  });

  const logitsOf = ({ features, labels }: ReturnType<typeof sample>) => ({
    data: Float64Array.from({ length: 3 * labels.length }, (_, k) => {
      const i = Math.floor(k / 3);
      const [x, y] = [features.data[2 * i] as number, features.data[2 * i + 1] as number];
      return [3 - x - y, x - 3, y - 3][k % 3] as number;
    }),
    shape: [labels.length, 3],
  });

  test.each(scores.names)("score %s: its own scores, labels from the logits, without logDensity but for the mixture", async (name) => {
    const held = sample(99, 2);
    const of = (s: ReturnType<typeof sample>) => ({ features: s.features, rawFeatures: s.features, logits: logitsOf(s) });
    const weight = { data: new Float64Array([-1, -1, 1, 0, 0, 1]), shape: [3, 2] };
    const bias = { data: new Float64Array([3, -3, -3]), shape: [3] };
    const scoreOptions = name === "vim" ? { dimension: 1 } : name === "nearest-neighbours" ? { k: 5 } : {};
    const detector = await Detector.fromFeatures({
      ...of(train),
      labels: train.labels,
      weight,
      bias,
      calibration: of(held),
      score: name,
      scoreOptions,
    } as never);
    const wanted = await scores.fit(name, { ...of(train), labels: train.labels, weight, bias }, scoreOptions as never);
    const given = Object.fromEntries(wanted.needs.map((kind) => [kind, of(fresh)[kind]]));
    const expected = await wanted.score(given);
    const found = await detector.predict(Object.fromEntries(detector.needs.map((kind) => [kind, of(fresh)[kind]])));
    expect(found.map(({ score }) => score)).toEqual([...expected]);
    expect(found.map(({ label }) => label)).toEqual([...metrics.predictedClass(logitsOf(fresh))]);
    const softmax = await scores.fit("max-softmax");
    expect(found.map(({ confidence }) => confidence)).toEqual([...(await softmax.score({ logits: logitsOf(fresh) }))]);
    expect(found.every((prediction) => "logDensity" in prediction === (name === "gaussian-mixture"))).toBe(true);

    const path = directory.path(`${name}.safetensors`);
    await detector.save(path);
    const loaded = await Detector.load(path);
    expect(await loaded.predict(Object.fromEntries(detector.needs.map((kind) => [kind, of(fresh)[kind]])))).toEqual(found);
    detector.dispose();
    loaded.dispose();
  });

  test("logits of another number of classes are refused, as their label would have no name", async () => {
    const detector = await detectorOf({ score: "max-softmax", logits: logitsOf(train), calibration: { logits: logitsOf(fresh) } } as never);
    const logits = { data: new Float64Array([0, 0, 0, 9]), shape: [1, 4] };
    const error = await libraryFailureOf(() => detector.predict({ logits }));
    expect(error).toMatchObject({ code: "ERR_SHAPE", message: "input.logits: expected 3 columns, as there are classes, found 4" });
    detector.dispose();
  });

  test("without logits, a score that knows no classes takes labels from linear discriminant analysis", async () => {
    const detector = await detectorOf({ score: "nearest-neighbours", scoreOptions: { k: 3 } } as never);
    const lda = await GaussianMixture.fit(train.features, train.labels, { covariance: "tied" });
    const found = await detector.predict(fresh.features);
    expect(found.map(({ label }) => label)).toEqual([...(await lda.predict(fresh.features))]);
    expect(detector.needs).toEqual(["features"]);
    // Features as small as collapsed ones give the same answers (trap 2): nothing absolute is added to their covariance.
    const tiny = <T extends { features: { data: Float64Array; shape: [number, number] } }>(given: T): T => ({
      ...given,
      features: { ...given.features, data: given.features.data.map((value) => value * 2 ** -20) },
    });
    const options = { score: "nearest-neighbours", scoreOptions: { k: 3, normalize: false } };
    const own = await detectorOf({ ...options } as never);
    const small = await detectorOf({ ...options, ...tiny(train), calibration: { features: tiny(sample(99, 2)).features } } as never);
    const answers = async (of: Detector, given: Sample) =>
      (await of.predict(given.features)).map(({ label, confidence }) => [label, confidence]);
    const wanted = await answers(own, fresh);
    (await answers(small, tiny(fresh))).forEach(([label, confidence], i) => {
      expect([label, confidence]).toEqual([wanted[i]?.[0], expect.closeTo(wanted[i]?.[1] as number, 9)]);
    });
  });

  test("float32 and float64 rows, objects of model outputs and bare features, none at all", async () => {
    const detector = await detectorOf();
    const narrow = { data: Float32Array.from(fresh.features.data), shape: [30, 2] };
    const wide = { data: Float64Array.from(narrow.data), shape: [30, 2] };
    expect(await detector.predict(narrow)).toEqual(await detector.predict({ features: wide }));
    expect(await detector.predict({ data: new Float64Array(0), shape: [0, 2] })).toEqual([]);
  });

  test.each([
    ["ERR_RANGE", "199 calibration inputs are needed for a rate of 0.005, found 99: no p-value is below 1/100", { falseAlarmRate: 0.005 }],
    ["ERR_RANGE", "falseAlarmRate", { falseAlarmRate: 0 }],
    ["ERR_OPTION", "found 60 of 60 among the training inputs", { calibration: { features: train.features } }],
    ["ERR_OPTION", "calibration.features", { calibration: {} }],
    ["ERR_OPTION", "unknown option", { falsealarmrate: 0.1 }],
    ["ERR_OPTION", "one of", { score: "magic" }],
    ["ERR_RANGE", "the greatest label", { classNames: ["a", "b"] }],
    ["ERR_RANGE", "calibration inputs are needed", { falseAlarmRate: 5.74371605504642e-18 }], // 1 / (1 / rate) is above the rate
    ["ERR_OPTION", "scoreOptions", { scoreOptions: true }],
    ["ERR_SHAPE", "scoreOptions.numClasses: expected 3", { scoreOptions: { numClasses: 5 } }],
    [
      "ERR_SHAPE",
      "labels: expected 60",
      { labels: [0, 1, 2], logits: logitsOf(train), score: "max-softmax", calibration: { logits: logitsOf(fresh) } },
    ],
    [
      "ERR_RANGE",
      "labels[1]",
      {
        labels: train.labels.map((label) => -label),
        score: "max-softmax",
        logits: logitsOf(train),
        calibration: { logits: logitsOf(fresh) },
      },
    ],
    [
      "ERR_SHAPE",
      "calibration.logits: expected 3",
      { score: "max-softmax", logits: logitsOf(train), calibration: { logits: { data: new Float64Array(80), shape: [20, 4] } } },
    ],
    ["ERR_NON_FINITE", "", { calibration: { features: { data: new Float64Array(40).fill(NaN), shape: [20, 2] } } }],
    [
      "ERR_RANGE", // finite features, whose squared distances are not
      "row 0 too far away",
      { calibration: { features: { data: new Float64Array(40).fill(1e200), shape: [20, 2] } } },
    ],
    ["ERR_SHAPE", "", { calibration: { features: { data: new Float64Array(60), shape: [20, 3] } } }],
  ])("refused: %s %s", async (code, message, options) => {
    expect(await libraryFailureOf(() => detectorOf(options as never))).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  test("rates at the edge: 1/(n + 1) can be asked for, also where 1/rate rounds", async () => {
    for (const n of [9, 19, 48, 99]) {
      const calibration = { features: sample(n, 5).features };
      const detector = await detectorOf({ calibration, falseAlarmRate: 1 / (n + 1) });
      expect(await libraryFailureOf(() => detector.predict(fresh.features, { falseAlarmRate: (1 / (n + 1)) * (1 - 1e-12) }))).toMatchObject(
        {
          code: "ERR_RANGE",
        },
      );
      const [far] = await detector.predict({ data: new Float64Array([99, 99]), shape: [1, 2] });
      expect(far?.outOfDistribution).toBe(true);
    }
  });

  test("the calibration's hash tells which inputs it was made of, and nothing else (trap 6)", async () => {
    const hashOf = async (count: number, seed: number, options = {}) => {
      using made = await detectorOf({ calibration: { features: sample(count, seed).features }, ...options });
      return made.calibrationHash;
    };
    const hash = await hashOf(99, 2);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(await hashOf(99, 2, { ...sample(80, 4), falseAlarmRate: 0.1 })).toBe(hash);
    expect(await hashOf(99, 3)).not.toBe(hash);
    expect(await hashOf(98, 2)).not.toBe(hash);
    const { data, shape } = sample(99, 2).features;
    const moved = { data: data.map((x, i) => (i === 77 ? x + 1e-9 : x)), shape };
    expect(await hashOf(99, 2, { calibration: { features: moved } })).not.toBe(hash);
  });

  test("calibration inputs that were trained on are taken where that is asked for", async () => {
    const detector = await detectorOf({ calibration: { features: train.features }, allowOverlap: true });
    expect(detector.calibrationScores).toHaveLength(60);
  });

  test("presets give the mixture's options, and the record says what was overridden", async () => {
    const ddu = await detectorOf({ preset: "ddu-2021" });
    const mixture = await GaussianMixture.fit(train.features, train.labels, { prior: "none", jitter: "ddu" });
    expect((await ddu.predict(fresh.features)).map(({ score }) => score)).toEqual([...(await mixture.logDensity(fresh.features))]);
    expect(ddu.preset).toEqual({ name: "ddu-2021", overridden: [] });
    const other = await detectorOf({ preset: "ddu-2021", scoreOptions: { covariance: "tied", prior: "none" } } as never);
    expect(other.preset).toEqual({ name: "ddu-2021", overridden: ["covariance"] });
    await other.save(directory.path("preset.safetensors"));
    expect((await Detector.load(directory.path("preset.safetensors"))).preset).toEqual(other.preset);
    // The mixture inside knows it too: a score by itself, and as the file holds it.
    const score = await scores.fit("gaussian-mixture", train, { preset: "ddu-2021", covariance: "tied" });
    expect(score.mixture.preset).toEqual(other.preset);
    const { metadata } = await readSafetensors(directory.path("preset.safetensors"));
    const description = JSON.parse(metadata.get("description") as string) as { score: { description: { mixture: { preset: unknown } } } };
    expect(description.score.description.mixture.preset).toEqual(other.preset);
    const own = await detectorOf({ scoreOptions: { preset: "ddu-2021" } } as never);
    expect(own.preset).toEqual(ddu.preset);
    expect((await own.predict(fresh.features)).map(({ score: value }) => value)).toEqual([...(await mixture.logDensity(fresh.features))]);
  });
});

describe("the false-alarm rate", () => {
  // One fresh point per calibration: with continuous scores it is flagged with probability floor(α(n + 1))/(n + 1) exactly, and draws are
  // independent, so by Hoeffding's inequality the share of 2,000 draws is off by more than sqrt(ln(2/1e-7)/4000) = 0.065 with probability 1e-7.
  // (#{≤})/(n + 1), (#{≤})/n, (1 + #{≤})/n and (1 + #{<})/(n + 1) on ties are each off by 0.1 at one of the rates or more.
  const draws = 2000;
  const bound = Math.sqrt(Math.log(2 / 1e-7) / (2 * draws));
  const rates = [0.1, 0.12, 0.2, 0.5];

  async function flagged(value: () => number): Promise<number[]> {
    const counts = rates.map(() => 0);
    const logits = (count: number) => {
      const data = new Float64Array(2 * count);
      for (let i = 0; i < count; i++) data[2 * i] = value();
      return { data, shape: [count, 2] };
    };
    const training = { logits: { data: new Float64Array([-1, -2, -3, -4]), shape: [2, 2] }, labels: [0, 1] };
    for (let draw = 0; draw < draws; draw++) {
      const options = { ...training, calibration: { logits: logits(9) }, score: "max-logit", falseAlarmRate: 0.1 } as const;
      const detector = await Detector.fromFeatures(options);
      const [fresh] = await detector.predict({ logits: logits(1) });
      rates.forEach((rate, k) => ((counts[k] as number) += (fresh as Prediction).pValue <= rate ? 1 : 0));
      detector.dispose();
    }
    return counts.map((count) => count / draws);
  }

  test("continuous scores: it is floor(α(n + 1))/(n + 1), no more and no less", async () => {
    const random = seededUint32(7);
    const shares = await flagged(() => 1 + random() / 2 ** 32);
    [0.1, 0.1, 0.2, 0.5].forEach((expected, k) => expect(Math.abs((shares[k] as number) - expected)).toBeLessThan(bound));
  });

  test("scores that are mostly tied: never more", async () => {
    const random = seededUint32(8);
    const shares = await flagged(() => 1 + (random() % 4)); // of two values all nine would now and then be equal, which is refused
    rates.forEach((rate, k) => expect(shares[k]).toBeLessThan(rate + bound));
  });
});

describe("images", () => {
  let model: ResNet;
  let detector: Detector;
  const train = tinyData(60);
  const calibration = tinyData(30, "held out");
  const fresh = tinyData(12, "fresh");
  beforeAll(async () => {
    model = await tinyNetwork({ seed: 1 });
    await model.fit(train, { epochs: 4, batchSize: 16, learningRate: 0.05 });
    detector = await Detector.fit(model, train, { calibration, scoreOptions: { covariance: "ledoit-wolf" } });
  });
  afterAll(() => {
    detector.dispose();
    model.dispose();
  });

  test("label and confidence are the network's, the score that of its features", async () => {
    const { features, logits } = await model.extract(train);
    const mixture = await GaussianMixture.fit(features, train.labels, { covariance: "ledoit-wolf" });
    const held = await mixture.logDensity((await model.extract(calibration)).features);
    const extraction = await model.extract(fresh);
    const density = await mixture.logDensity(extraction.features);
    const matrix = { data: extraction.logits.toArray() as Float32Array, shape: extraction.logits.shape };
    const found = await detector.predict(fresh);
    expect(found.map(({ logDensity }) => logDensity)).toEqual([...density]);
    expect(found.map(({ pValue }) => pValue)).toEqual(Array.from(density, (value) => countedPValue(held, value)));
    expect(found.map(({ label }) => label)).toEqual([...metrics.predictedClass(matrix)]);
    const softmax = await scores.fit("max-softmax");
    expect(found.map(({ confidence }) => confidence)).toEqual([...(await softmax.score({ logits: extraction.logits }))]);
    expect(await detector.predict({ features: extraction.features, logits: extraction.logits })).toEqual(found);
    expect(logits.shape).toEqual([60, 3]);
  });

  test("Dataset, tensor, RGBA pixels, encoded bytes and paths are the same images", async () => {
    const expected = await detector.predict(fresh);
    expect(await detector.predict({ data: fresh.images, shape: [12, 1, 8, 8] })).toEqual(expected);
    const canvas = Array.from({ length: 12 }, (_, i) => ({
      data: Uint8ClampedArray.from({ length: 256 }, (_, k) => (k % 4 === 3 ? 255 : (fresh.image(i)[k >> 2] as number))),
      width: 8,
      height: 8,
    }));
    expect(await detector.predict(canvas)).toEqual(expected);
    const png = await sharp(Buffer.from(fresh.image(5)), { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toBuffer();
    const path = directory.put("5.png", png);
    for (const input of [png, path, [path], Uint8Array.from(png)]) {
      const [answer, ...others] = await detector.predict(input);
      expect(others).toEqual([]);
      expect(answer).toMatchObject({ label: expected[5]?.label, outOfDistribution: expected[5]?.outOfDistribution });
      expect(answer?.score).toBeCloseTo(expected[5]?.score as number, 2); // one image by itself: float32 sums of another order
    }
    expect(await detector.predict(canvas[3] as (typeof canvas)[0])).toHaveLength(1);
    expect(await detector.predict([])).toEqual([]);
  });

  test("a file gives the same detector, and holds the network under DDU's names", async () => {
    const path = directory.path("images.safetensors");
    await detector.save(path);
    const loaded = await Detector.load(path);
    expect(await loaded.predict(fresh)).toEqual(await detector.predict(fresh));
    expect(loaded).toMatchObject({ falseAlarmRate: 0.05, scoreName: "gaussian-mixture", takes: "images", classNames: detector.classNames });
    expect(loaded.calibrationHash).toBe(detector.calibrationHash);
    const { tensors, metadata } = await readSafetensors(path);
    expect(tensors.has("network.layer1.0.conv1.weight_orig") && tensors.has("network.fc.weight")).toBe(true);
    // It records the kernel of its resizes, since images resized by another would not be those of the calibration.
    const description = JSON.parse(metadata.get("description") as string) as { extraction: object };
    const extraction = { precision: "float32", resize: "center-crop", kernel: "antialiased-bilinear" };
    expect(description.extraction).toEqual({ ...extraction, geometry: "torchvision" });
    const other = JSON.stringify({ ...description, extraction: { ...description.extraction, kernel: "bilinear" } });
    const entries = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
    await writeSafetensors(path, entries, { metadata: { ...Object.fromEntries(metadata), description: other } });
    expect(await libraryFailureOf(() => Detector.load(path))).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringContaining("extraction.kernel"),
    });
    // A file from before the geometry was torchvision's does not state it: it is read, with a warning.
    const older = JSON.stringify({ ...description, extraction });
    await writeSafetensors(path, entries, { metadata: { ...Object.fromEntries(metadata), description: older } });
    const warned = await Detector.load(path);
    expect([loaded.warnings.length + 1, warned.warnings.at(-1)]).toEqual([warned.warnings.length, expect.stringContaining("fit it anew")]);
    warned.dispose();
    loaded.dispose();
  });

  test("the detector's network is its own: training the model further changes nothing", async () => {
    const expected = await detector.predict(fresh);
    const other = (await model[internals].copy()) as ResNet;
    const own = await Detector.fit(other, train, { calibration, score: "energy" });
    const before = await own.predict(fresh);
    await other.fit(train, { epochs: 1, batchSize: 16 });
    other.dispose();
    expect(await own.predict(fresh)).toEqual(before);
    expect(await detector.predict(fresh)).toEqual(expected);
    own.dispose();
  });

  test("progress over all passes, raw features beside normalised ones", async () => {
    const seen: number[][] = [];
    const own = await Detector.fit(model, train, {
      calibration,
      score: "feature-norm",
      batchSize: 30,
      onProgress: (done, total) => void seen.push([done, total]),
    });
    // 60 training images for their logits, 30 calibration ones, and as many of noise and of shuffled patches.
    expect(seen).toEqual([30, 60, 90, 120, 150].map((done) => [done, 150]));
    expect(own.needs).toEqual(["rawFeatures", "logits"]);
    own.dispose();
  });

  test("what is refused", async () => {
    const overlap = Dataset.fromArrays({
      images: Uint8Array.from([...calibration.images, ...train.image(7)]),
      labels: [...calibration.labels, 0],
      shape: [1, 8, 8],
    });
    expect(await libraryFailureOf(() => Detector.fit(model, train, { calibration: overlap }))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringContaining("found 1 of 31 among the training inputs (the first is number 30)"),
    });
    expect(await libraryFailureOf(() => Detector.fit(model, train, { calibration: calibration.subset(18) }))).toMatchObject({
      code: "ERR_RANGE",
      message: expect.stringContaining("19 calibration inputs are needed"),
    });
    const aborted = AbortSignal.abort("enough");
    expect(await libraryFailureOf(() => Detector.fit(model, train, { calibration, signal: aborted }))).toMatchObject({
      code: "ERR_ABORTED",
    });
    expect(await libraryFailureOf(() => detector.predict(fresh, { signal: aborted }))).toMatchObject({ code: "ERR_ABORTED" });
    const gone = await Detector.fit(model, train, { calibration, score: "max-softmax" });
    gone.dispose();
    gone.dispose();
    for (const call of [() => gone.predict(fresh), () => gone.save(directory.path("gone"))]) {
      expect(await libraryFailureOf(call)).toMatchObject({ code: "ERR_DISPOSED" });
    }
    expect(await libraryFailureOf(() => Detector.load(directory.path("missing")))).toMatchObject({ code: "ERR_IO" });
    await model.save(directory.path("model.safetensors"));
    expect(await libraryFailureOf(() => Detector.load(directory.path("model.safetensors")))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
  });
});

test("a file of another version, or of another program, is refused by name", async () => {
  const path = directory.path("version.safetensors");
  await (await detectorOf()).save(path);
  const { tensors, metadata } = await readSafetensors(path);
  const entries = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  for (const [key, value, found] of [
    ["version", "2", 'metadata version: expected "1", found "2"'],
    ["format", "other/detector", 'a file of the format "other/detector"'],
    ["format", "libtorch-ood/resnet", 'a network (of "train" or ResNet.save)'],
  ] as const) {
    await writeSafetensors(path, entries, { metadata: { ...Object.fromEntries(metadata), [key]: value } });
    expect(await libraryFailureOf(() => Detector.load(path))).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: `${path}: ${key === "version" ? found : `expected a detector (of "fit" or Detector.save), found ${found}`}`,
    });
  }
});

test("save and load: the same predictions to the last bit, whatever the features", async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        d: fc.integer({ min: 1, max: 4 }),
        seed: fc.integer({ min: 0, max: 1e6 }),
        scale: fc.constantFrom(1e-6, 1, 1e6),
        covariance: fc.constantFrom("full", "tied", "diagonal", "ledoit-wolf"),
        float32: fc.boolean(),
      }),
      async ({ d, seed, scale, covariance, float32 }) => {
        const random = seededUint32(seed);
        const rows = (n: number) => {
          const values = Float64Array.from({ length: n * d }, () => (scale * random()) / 2 ** 32);
          return { data: float32 ? Float32Array.from(values) : values, shape: [n, d] };
        };
        const labels = Array.from({ length: 40 }, (_, i) => i % 2);
        const options = { features: rows(40), labels, calibration: { features: rows(19) }, scoreOptions: { covariance } };
        const detector = await Detector.fromFeatures(options as Parameters<typeof Detector.fromFeatures>[0]);
        const path = directory.path(`round-${run++}.safetensors`);
        await detector.save(path);
        const loaded = await Detector.load(path);
        const queries = rows(8);
        expect(await loaded.predict(queries)).toEqual(await detector.predict(queries));
        expect([...loaded.calibrationScores]).toEqual([...detector.calibrationScores]);
        detector.dispose();
        loaded.dispose();
      },
    ),
    { numRuns: 40, seed: 5 },
  );
});

describe("the network's temperature and class names", () => {
  test("ViM's origin is where the logits are zero: of the last layer divided by the temperature", async () => {
    const model = await tinyNetwork({ l2Normalize: true, temperature: 0.25, seed: 3 });
    const [train, held] = [tinyData(120, "train"), tinyData(40, "held")];
    const weights = await model.weights();
    const bias = { data: new Float32Array([3, -2, 1]), shape: [3] };
    await model.setWeights(new Map([...weights, ["fc.bias", Tensor.from(bias.data)]]));
    const { features, logits } = await model.extract(train);
    const layer = weights.get("fc.weight") as Tensor;
    const weight = { data: Float64Array.from(layer.toArray() as Float32Array, (value) => value / 0.25), shape: layer.shape };
    const vim = await scores.fit("vim", { features, logits, weight, bias });
    const detector = await Detector.fit(model, train, { calibration: held, score: "vim" });
    expect([...detector.calibrationScores]).toEqual(
      [...(await vim.score(await model.extract(held).then((e) => ({ features: e.features, logits: e.logits }))))].sort((a, b) => a - b),
    );
    detector.dispose();
  });

  describe("labels are those of the classes by name", () => {
    const named = (data: Dataset, classNames: readonly string[], order: readonly string[]): Dataset => {
      const { images, shape, normalization } = data;
      const labels = data.labels.map((label) => order.indexOf(classNames[label] as string));
      return Dataset.fromArrays({ images, labels, shape, classNames: order, ...(normalization ? { normalization } : {}) });
    };
    const names = ["upper", "middle", "lower"];
    const [train, held] = [tinyData(60, "train"), tinyData(40, "held")];
    const fit = async (classNames: string[], training: Dataset, calibration: Dataset) => {
      using model = await tinyNetwork({ seed: 2 });
      model.classNames = classNames;
      using detector = await Detector.fit(model, training, { calibration, scoreOptions: { covariance: "tied" }, minimumAccuracy: 0 });
      return { calibration: detector.calibration, selfTest: detector.selfTest(), warnings: detector.warnings };
    };
    const as = (data: Dataset, order: readonly string[]) => named(data, names, order);
    const only = (data: Dataset, classes: number[]) =>
      data.subset([...data.labels.keys()].filter((i) => classes.includes(data.labels[i] as number)));

    test("numbered in another order, or renamed in the network", async () => {
      const expected = await fit(names, as(train, names), as(held, names));
      const other = ["lower", "upper", "middle"];
      expect(await fit(names, as(train, other), as(held, other))).toEqual(expected);
      expect(await fit(names, as(train, names), as(held, other))).toEqual(expected);
      expect(await fit(names, train, held)).toEqual(expected); // without names, by number
      const { warnings, calibration } = await fit(["a", "b", "c"], as(train, names), as(held, other));
      expect({ warnings, calibration }).toEqual({ warnings: expected.warnings, calibration: expected.calibration });
    });

    test("a calibration of some of the classes; one of a foreign class has a warning", async () => {
      const [two, trained] = [only(held, [1, 2]), as(train, names)];
      const expected = await fit(names, trained, as(two, names));
      expect(await fit(names, trained, as(two, ["lower", "middle"]))).toEqual(expected);
      expect(expected.selfTest.byClass?.map(({ className }) => className)).toEqual(["middle", "lower"]);
      const { warnings } = await fit(names, trained, named(two, ["", "x", "lower"], ["lower", "x"]));
      expect(warnings).toContainEqual(expect.stringMatching(/^calibration: found the class "x", which is none of the network's/));
    });
  });

  test("a data set that names another number of classes than a network that was trained here has is refused", async () => {
    const model = await tinyNetwork({ numClasses: 5 });
    const data = tinyData(60, "a");
    await model.fit(data, { epochs: 1 });
    const error = await libraryFailureOf(() => Detector.fit(model, data, { calibration: tinyData(30, "b") }));
    expect(error).toMatchObject({ code: "ERR_SHAPE", message: "classNames: expected 5 names, as the network has classes, found 3" });
  });

  test("with weights from elsewhere, the features name such a data set's classes", async () => {
    const model = await tinyNetwork({ numClasses: 5 });
    const [train, calibration] = [tinyData(60, "a"), tinyData(30, "b")];
    for (const score of ["gaussian-mixture", "energy"] as const) {
      const detector = await Detector.fit(model, train, { calibration, score, falseAlarmRate: 0.1 });
      expect(detector.warnings[0]).toBe("model: its 5 logits are not the 3 classes of the training images; the features name the class");
      const predictions = await detector.predict(calibration);
      expect(new Set(predictions.map(({ className }) => className))).not.toContain(undefined);
      await detector.save(directory.path("features.safetensors"));
      const again = await Detector.load(directory.path("features.safetensors"));
      expect(await again.predict(calibration)).toEqual(predictions);
    }
  });
});
