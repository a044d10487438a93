// defineExtractor: the batches that a function gets, the forms that its rows may have, what is refused, back-pressure, aborts and disposal.

import {
  defineExtractor,
  Detector,
  type CustomExtractor,
  type EmbeddedBatch,
  type ExtractorOptions,
  type ImageBatch,
  Tensor,
} from "../../../lib";
import { internals } from "../../../lib/models/extractor";
import { failureOf, libraryFailureOf, tinyData, useOneThread } from "../resnet/tiny-network";

useOneThread();

const input = { channels: 1, size: 8, mean: [0.4], std: [0.3] };
const data = tinyData(30);

/** Mean of the upper, middle and lower rows, which tell the classes apart, and the mean of all. */
function regions({ count, data: pixels }: Pick<ImageBatch, "count" | "data">): Float32Array {
  const features = new Float32Array(count * 4);
  for (let i = 0; i < count; i++) {
    for (let p = 0; p < 64; p++) {
      const value = pixels[i * 64 + p]!;
      features[4 * i + Math.floor(p / 24)]! += value / 24;
      features[4 * i + 3]! += value / 64;
    }
  }
  return features;
}

const logitsOf = (features: ArrayLike<number>): Float32Array => {
  const logits = new Float32Array((features.length / 4) * 3);
  for (let i = 0; i < logits.length; i++) logits[i] = 4 * features[4 * Math.floor(i / 3) + (i % 3)]!;
  return logits;
};

const both = (batch: ImageBatch): EmbeddedBatch => {
  const features = regions(batch);
  return { features, logits: logitsOf(features) };
};

const make = (options: Partial<ExtractorOptions> = {}): CustomExtractor =>
  defineExtractor({ name: "regions", featureDim: 4, numClasses: 3, input, embed: both, ...options });

describe("what the function gets", () => {
  test("batches in order, normalised pixels, the pixels themselves, the call's signal", async () => {
    const batches: ImageBatch[] = [];
    const pixels: number[] = [];
    const { signal } = new AbortController();
    const model = make({
      embed: (batch) => {
        batches.push(batch);
        pixels.push(...batch.pixels!);
        expect(batch.pixels).toBe(batch.pixels);
        return both(batch);
      },
    });
    await model.extract(data, { batchSize: 12, signal });
    expect(batches.map(({ count, shape }) => [count, ...shape])).toEqual([12, 12, 6].map((n) => [n, n, 1, 8, 8]));
    expect(batches[0]!.signal).toBe(signal);
    expect(pixels).toEqual([...data.images]);
    const normalised = batches.flatMap((batch) => [...batch.data]);
    normalised.forEach((value, i) => expect(value).toBeCloseTo((data.images[i]! / 255 - 0.4) / 0.3, 5));
  });

  test("floats are normalised without a division by 255, and have no pixels", async () => {
    const images = { data: Float64Array.from(data.images, (value) => value / 255), shape: [30, 1, 8, 8] };
    const seen: unknown[] = [];
    const model = make({ embed: (batch) => (seen.push(batch.pixels), both(batch)) });
    const [floats, bytes] = [await model.extract(images), await model.extract(data)];
    expect(seen).toEqual([undefined, expect.any(Uint8Array)]);
    const [a, b] = [floats.features.toArray(), bytes.features.toArray()].map((array) => Array.from(array, Number));
    a!.forEach((value, i) => expect(value).toBeCloseTo(b![i]!, 5));
  });

  test("pixels are gone after the batch; those that were looked at stay", async () => {
    const batches: ImageBatch[] = [];
    await make({ embed: (batch) => (batches.push(batch), batches.length === 1 ? batch.pixels : undefined, both(batch)) }).extract(data, {
      batchSize: 15,
    });
    expect(batches[0]!.pixels).toHaveLength(15 * 64);
    expect(await libraryFailureOf(() => batches[1]!.pixels)).toMatchObject({ code: "ERR_DISPOSED" });
  });

  test("a batch of many megabytes has the numbers that small ones have", async () => {
    const size = 600; // two images of it are more than one piece
    const images = { data: Uint8Array.from({ length: 5 * 3 * size * size }, (_, i) => (i * 7919) >> 5), shape: [5, 3, size, size] };
    const sums = (batch: ImageBatch) => ({
      features: Float64Array.from({ length: batch.count }, (_, i) =>
        batch.data.subarray(i * 3 * size * size, (i + 1) * 3 * size * size).reduce((sum, value, k) => sum + value * ((k % 13) - 6), 0),
      ),
    });
    const options = { name: "sums", featureDim: 1, input: { size, mean: [0.5, 0.4, 0.3], std: [0.2, 0.3, 0.4] }, embed: sums };
    const of = async (batchSize: number) => {
      const { features } = await defineExtractor(options).extract(images, { outputs: ["features"], batchSize });
      return [...(features.toArray() as Float32Array)];
    };
    expect(await of(5)).toEqual(await of(1));
  });
});

describe("what it may give", () => {
  const expected = async () => (await make().extract(data, { batchSize: 7 })).features.toArray();
  const rows = (flat: Float32Array) => Array.from({ length: flat.length / 4 }, (_, i) => flat.subarray(4 * i, 4 * i + 4));
  // prettier-ignore
  const forms: [string, (features: Float32Array) => EmbeddedBatch["features"]][] = [
    ["a Float32Array", (features) => features],
    ["a Float64Array", (features) => Float64Array.from(features)],
    ["an array with its shape", (features) => ({ data: features, shape: [features.length / 4, 4] })],
    ["a Tensor", (features) => Tensor.from(features, [features.length / 4, 4])],
    ["a Tensor of float64", (features) => Tensor.from(Float64Array.from(features), [features.length / 4, 4])],
    ["a list of typed arrays", rows],
    ["a list of lists", (features) => rows(features).map((row) => [...row])],
  ];
  test.each(forms)("%s", async (_, form) => {
    const model = make({ embed: (batch) => ({ ...both(batch), features: form(regions(batch)) }) });
    const { features, logits, rawFeatures, labels, precision } = await model.extract(data, { batchSize: 7 });
    expect([features.shape, logits.shape, features.dtype, precision]).toEqual([[30, 4], [30, 3], "float32", "float32"]);
    expect(rawFeatures).toBe(features);
    expect(features.toArray()).toEqual(await expected());
    expect(labels).toEqual(Int32Array.from(data.labels));
  });

  test("one buffer for all batches", async () => {
    const buffer = new Float32Array(7 * 4);
    const model = make({
      embed: async (batch) => {
        buffer.set(regions(batch));
        return { ...both(batch), features: buffer.subarray(0, batch.count * 4) };
      },
    });
    expect((await model.extract(data, { batchSize: 7 })).features.toArray()).toEqual(await expected());
  });

  test("logits may be left out where features alone are asked for", async () => {
    const asked: unknown[] = [];
    const model = make({ embed: (batch, outputs) => (asked.push(outputs), { features: regions(batch) }) });
    const { features, logits } = await model.extract(data, { outputs: ["rawFeatures"] });
    expect([features?.shape, logits, asked]).toEqual([[30, 4], undefined, [{ features: true, logits: false }]]);
    const error = await libraryFailureOf(() => model.extract(data));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("logits: expected one row per image, found none") });
  });

  test("no images: no rows, and the function is not called", async () => {
    const model = make({ embed: () => { throw new Error("called"); } }); // prettier-ignore
    const { features, logits } = await model.extract({ data: new Uint8Array(0), shape: [0, 1, 8, 8] });
    expect([features.shape, logits.shape]).toEqual([
      [0, 4],
      [0, 3],
    ]);
  });
});

describe("what is refused, with the batch named", () => {
  const third = (change: (given: { features: Float32Array; logits: Float32Array }) => unknown): ExtractorOptions["embed"] => {
    let calls = 0;
    return (batch) => {
      const given = both(batch) as { features: Float32Array; logits: Float32Array };
      return (++calls === 3 ? change(given) : given) as EmbeddedBatch;
    };
  };
  // prettier-ignore
  const wrong: [string, Parameters<typeof third>[0], string, RegExp][] = [
    ["too few rows", (given) => ({ ...given, features: given.features.subarray(4) }), "ERR_SHAPE", /features: expected \[10, 4\], one row per image, found 36 numbers/],
    ["another width", (given) => ({ ...given, features: { data: given.features, shape: [8, 5] } }), "ERR_SHAPE", /features: expected \[10, 4\].*found \[8, 5\]/],
    ["a wrong shape", (given) => ({ ...given, features: { data: given.features, shape: "10×4" } }), "ERR_SHAPE", /features: expected \[10, 4\].*found no shape/],
    ["too few numbers for a shape", (given) => ({ ...given, features: { data: given.features.subarray(1), shape: [10, 4] } }), "ERR_SHAPE", /found 39 numbers/],
    ["logits of another width", (given) => ({ ...given, logits: given.features }), "ERR_SHAPE", /logits: expected \[10, 3\]/],
    ["a row too few", (given) => ({ ...given, features: Array.from({ length: 9 }, () => [1, 2, 3, 4]) }), "ERR_SHAPE", /found 9 rows/],
    ["a short row", (given) => ({ ...given, features: Array.from({ length: 10 }, (_, i) => (i === 5 ? [1] : [1, 2, 3, 4])) }), "ERR_SHAPE", /found 1 numbers in row 5/],
    ["integers", (given) => ({ ...given, features: Int32Array.from(given.features) }), "ERR_DTYPE", /features: expected a Float32Array or Float64Array, found a Int32Array/],
    ["a Tensor of integers", (given) => ({ ...given, features: Tensor.from(Int32Array.from(given.features), [10, 4]) }), "ERR_DTYPE", /found "int32"/],
    ["text in a row", (given) => ({ ...given, features: Array.from({ length: 10 }, () => [1, 2, 3, "4"]) }), "ERR_DTYPE", /features\[0\]\[3\]: expected a number, found "4"/],
    ["NaN", (given) => (given.features.set([NaN], 22), given), "ERR_NON_FINITE", /features\[5\]: expected finite numbers, found NaN/],
    ["infinity in the logits", (given) => (given.logits.set([Infinity], 3), given), "ERR_NON_FINITE", /logits\[1\]: expected finite numbers, found Infinity/],
    ["more than a float32 holds", (given) => ({ ...given, features: Float64Array.from(given.features, (value, i) => (i === 39 ? 1e300 : value)) }), "ERR_NON_FINITE", /features\[9\]/],
    ["nothing", () => undefined, "ERR_OPTION", /features: expected one row per image, found none/],
    ["text", () => ({ features: "many" }), "ERR_OPTION", /features: expected .*found "many"/],
  ];
  test.each(wrong)("%s", async (_, change, code, message) => {
    const error = await libraryFailureOf(() => make({ embed: third(change) }).extract(data, { batchSize: 10 }));
    expect(error).toMatchObject({ code, message: expect.stringMatching(/^batch 3 \(images 20 to 29\): /) });
    expect(error.message).toMatch(message);
  });

  test("logits of a model whose classes are not stated", async () => {
    const model = make({ numClasses: undefined });
    expect(await libraryFailureOf(() => model.extract(data))).toMatchObject({
      code: "ERR_OPTION",
      message: expect.stringContaining("gives no logits"),
    });
    const error = await libraryFailureOf(() => model.extract(data, { outputs: ["features"] }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("logits: expected none") });
  });

  test("images of another size, and infinite ones", async () => {
    const small = await libraryFailureOf(() => make().extract({ data: new Uint8Array(49), shape: [1, 1, 7, 7] }));
    expect(small).toMatchObject({ code: "ERR_SHAPE", message: "images: expected [N, 1, 8, 8], found [1, 1, 7, 7]" });
    const images = { data: Float32Array.from({ length: 640 }, (_, i) => (i === 400 ? Infinity : 0)), shape: [10, 1, 8, 8] };
    const infinite = await libraryFailureOf(() => make().extract(images, { batchSize: 5 }));
    expect(infinite).toMatchObject({ code: "ERR_NON_FINITE", message: expect.stringMatching(/^batch 2 \(images 5 to 9\): /) });
  });

  test("an error of the function is the error of the call", async () => {
    const thrown = new TypeError("mine");
    expect(await failureOf(() => make({ embed: () => { throw thrown; } }).extract(data))).toBe(thrown); // prettier-ignore
    expect(await failureOf(() => make({ embed: () => Promise.reject(thrown) }).extract(data))).toBe(thrown);
    expect(await failureOf(() => make({ embed: async () => { throw undefined; } }).extract(data))).toBeUndefined(); // prettier-ignore
  });
});

describe("options", () => {
  // prettier-ignore
  const wrong: [string, object, string, RegExp][] = [
    ["an unknown one", { labels: [] }, "ERR_OPTION", /unknown option "labels"/],
    ["no name", { name: undefined }, "ERR_OPTION", /^name:/],
    ["no length", { featureDim: undefined }, "ERR_OPTION", /^featureDim:/],
    ["a length of 0", { featureDim: 0 }, "ERR_RANGE", /^featureDim:/],
    ["no input", { input: undefined }, "ERR_OPTION", /^input/],
    ["an unknown preprocessing", { input: "imagenets" }, "ERR_OPTION", /^input: expected one of imagenet/],
    ["no function", { embed: 3 }, "ERR_OPTION", /^embed: expected a function/],
    ["names of other classes", { classNames: ["a", "b"] }, "ERR_SHAPE", /^classNames: expected 3 names/],
    ["a head without classes", { numClasses: undefined, head: { weight: { data: new Float32Array(12), shape: [3, 4] } } }, "ERR_OPTION", /^head:/],
    ["a head of another width", { head: { weight: { data: new Float32Array(15), shape: [3, 5] } } }, "ERR_SHAPE", /^head.weight: expected \[3, 4\], found \[3, 5\]/],
    ["a head of integers", { head: { weight: { data: new Int32Array(12), shape: [3, 4] } } }, "ERR_DTYPE", /^head.weight/],
    ["an infinite head", { head: { weight: { data: new Float32Array(12).fill(Infinity), shape: [3, 4] } } }, "ERR_NON_FINITE", /^head.weight\[0\]/],
  ];
  test.each(wrong)("%s", async (_, options, code, message) => {
    const error = await libraryFailureOf(() => make(options));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test("facts, description and head", async () => {
    const weight = Float32Array.from({ length: 12 }, (_, i) => i);
    const model = make({
      numClasses: undefined,
      classNames: ["a", "b", "c"],
      input: "imagenet",
      head: { weight: { data: weight, shape: [3, 4] } },
    });
    weight.fill(0); // it was copied
    const { kind, name, featureDim, numClasses, classNames, device } = model;
    expect({ kind, name, featureDim, numClasses, classNames, device }).toEqual({
      ...{ kind: "custom", name: "regions", featureDim: 4, numClasses: 3, classNames: ["a", "b", "c"], device: "cpu" },
    });
    expect(model.describe()).toEqual({ kind, name, featureDim, numClasses, classNames, input: model.input });
    expect(model.input).toMatchObject({ size: 224, resizeTo: 256 });
    const head = await model.head();
    expect([head!.weight.shape, [...(head!.weight.toArray() as Float64Array)]]).toEqual([
      [3, 4],
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    ]);
    expect([...(head!.bias.toArray() as Float64Array)]).toEqual([0, 0, 0]);
    expect(await make().head()).toBeUndefined();
    expect(JSON.parse(JSON.stringify(model[internals].stored()))).toMatchObject({
      name: "regions",
      featureDim: 4,
      classNames: ["a", "b", "c"],
    });
  });
});

describe("order, aborts and disposal", () => {
  const pending = () => new Promise<EmbeddedBatch>(() => undefined);
  const turns = () => new Promise((resolve) => setTimeout(resolve, 30));

  test("one batch at a time, and progress after each", async () => {
    let running = 0;
    const most: number[] = [];
    const done: number[] = [];
    const model = make({
      embed: async (batch) => {
        most.push(++running);
        await turns();
        running--;
        return both(batch);
      },
    });
    await model.extract(data, { batchSize: 10, onProgress: (count, total) => void done.push(count, total) });
    expect([most, done]).toEqual([
      [1, 1, 1],
      [10, 30, 20, 30, 30, 30],
    ]);
  });

  test("an error of onProgress ends the call, and no batch follows", async () => {
    const thrown = new Error("mine");
    let calls = 0;
    const model = make({ embed: (batch) => (calls++, both(batch)) });
    const onProgress = () => { throw thrown; }; // prettier-ignore
    expect(await failureOf(() => model.extract(data, { batchSize: 10, onProgress }))).toBe(thrown);
    expect(calls).toBe(1);
  });

  test("an abort ends the call while the function never settles", async () => {
    const controller = new AbortController();
    const call = make({ embed: pending }).extract(data, { signal: controller.signal });
    setTimeout(() => controller.abort("enough"), 20);
    expect(await libraryFailureOf(() => call)).toMatchObject({ code: "ERR_ABORTED", cause: "enough" });
  });

  test("calls in flight outlive disposal; later ones are refused; copies live on", async () => {
    let go: () => void = () => undefined;
    const wait = new Promise<void>((resolve) => (go = resolve));
    const model = make({ embed: (batch) => wait.then(() => both(batch)) });
    const call = model.extract(data, { batchSize: 10 });
    await turns();
    const copy = await model[internals].copy();
    model.dispose();
    model.dispose();
    expect([model.disposed, copy.disposed]).toEqual([true, false]);
    for (const later of [() => model.extract(data), () => model.head(), () => model[internals].copy()]) {
      expect(await libraryFailureOf(later)).toMatchObject({ code: "ERR_DISPOSED" });
    }
    go();
    expect((await call).features.shape).toEqual([30, 4]);
    expect((await copy.extract(data)).features.shape).toEqual([30, 4]);
  });

  test("a stream: the rows of extract(), chunk by chunk", async () => {
    const model = make();
    const rows: number[] = [];
    const { count } = await model.extractStream(
      [data.subset([0, 1, 2]), data.subset(Array.from({ length: 27 }, (_, i) => i + 3))],
      ({ features }) => void rows.push(...(features.toArray() as Float32Array)),
      { outputs: ["features"] },
    );
    expect(count).toBe(30);
    expect(rows).toEqual([...((await model.extract(data)).features.toArray() as Float32Array)]);
  });
});

test("a detector over a function", async () => {
  const [train, calibration] = [tinyData(200, "train"), tinyData(100, "calibration")];
  const detector = await Detector.fit(make({ classNames: train.classNames }), train, {
    calibration,
    scoreOptions: { covariance: "ledoit-wolf" },
  });
  const answers = await detector.predict(tinyData(50, "test"));
  const right = answers.filter(({ label }, i) => label === tinyData(50, "test").labels[i]);
  expect(right.length).toBeGreaterThan(45);
  const noise = { data: Uint8Array.from({ length: 640 }, (_, i) => (i * 2654435761) >>> 24), shape: [10, 1, 8, 8] };
  expect((await detector.predict(noise)).every(({ outOfDistribution }) => outOfDistribution)).toBe(true);
  detector.dispose();
});
