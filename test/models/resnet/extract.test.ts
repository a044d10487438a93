// Extraction: the folded network gives what the unfolded one gives, however the images are batched and held, also while
// the network is in training, which it does not disturb.

import { Dataset, Tensor, type ExtractOptions, type ResNet, type ResNetOptions } from "../../../lib";
import { fill, labels, numbers, pixels } from "./closed-formula";
import { libraryFailureOf, tinyArchitecture, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();

const normalization = { mean: [0.4, 0.5, 0.6], std: [0.3, 0.25, 0.2] };

function picture(options: Partial<ResNetOptions>, count = 10): { data: Dataset; normalised: Tensor } {
  const { inChannels = 1, imageSize = 8 } = options;
  const area = imageSize ** 2;
  const bytes = pixels(count * inChannels * area);
  const shape = [inChannels, imageSize, imageSize];
  const data = Dataset.fromArrays({ images: bytes, labels: labels(count, 3), shape });
  const values = Float64Array.from(bytes, (byte, i) => {
    const channel = Math.floor(i / area) % inChannels;
    return (byte / 255 - (normalization.mean[channel] as number)) / (normalization.std[channel] as number);
  });
  return { data, normalised: Tensor.from(values, [count, ...shape]) };
}

async function network(options: Partial<ResNetOptions>): Promise<ResNet> {
  const channels = options.inChannels ?? 1;
  const model = await tinyNetwork({
    ...options,
    normalization: { mean: normalization.mean.slice(0, channels), std: normalization.std.slice(0, channels) },
  });
  await fill(model);
  return model;
}

/** The largest difference, relative to the largest value. */
function distance(actual: Tensor, expected: Tensor): number {
  expect(actual.shape).toEqual(expected.shape);
  const [a, b] = [numbers(actual), numbers(expected)];
  const scale = Math.max(...b.map(Math.abs));
  expect(scale).toBeGreaterThan(0);
  return Math.max(...a.map((value, i) => Math.abs(value - (b[i] as number)) / scale));
}

const switches: [string, Partial<ResNetOptions>][] = [
  ["DDU's: everything on", {}],
  ["nothing on", { leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: false }],
  ["ReLU", { leakyRelu: false }],
  ["1×1 convolutions as shortcuts, spectrally normalised", { avgPoolShortcut: false }],
  ["1×1 convolutions as shortcuts, free", { avgPoolShortcut: false, spectralNorm: false }],
  ["no spectral norm", { spectralNorm: false }],
  ["a spectral norm that clamps everything", { spectralNorm: { coefficient: 0.5 } }],
  ["no L2 normalisation", { l2Normalize: false }],
  ["temperature", { temperature: 0.25 }],
  ["temperature without L2 normalisation", { temperature: 4, l2Normalize: false }],
  ["three channels, an odd size", { inChannels: 3, imageSize: 9 }],
  ["an odd size with projections and ReLU", { imageSize: 11, avgPoolShortcut: false, leakyRelu: false }],
  ["a feature dimension of its own", { featureDim: 24 }],
  ["ResNet50", { depth: 50 }],
  ["ResNet50, nothing on", { depth: 50, leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: false }],
  ["ResNet50, projections, three channels", { depth: 50, avgPoolShortcut: false, inChannels: 3 }],
];

describe.each(switches)("the folded network equals the unfolded one: %s", (_, options) => {
  const compare = async (model: ResNet, expectedOf: ResNet, tolerance: number, precision?: "bfloat16") => {
    const { data, normalised } = picture(options);
    const expected = await expectedOf.forward(normalised);
    const found = await model.extract(data, { precision, batchSize: 4, outputs: ["features", "rawFeatures", "logits"] });
    expect(distance(found.features, expected.features)).toBeLessThan(tolerance);
    expect(distance(found.logits, expected.logits)).toBeLessThan(tolerance);
    expect([...found.labels]).toEqual([...data.labels]);
    expect(distance(found.rawFeatures, expected.rawFeatures)).toBeLessThan(tolerance);
    expect(found.features.dtype).toBe(model.dtype);
  };

  test("float64, to 1e-12, and float32, to 1e-5", async () => {
    const exact = await network({ ...options, dtype: "float64" });
    await compare(exact, exact, 1e-12);
    const model = await network(options);
    await compare(model, model, 1e-5);
    exact.dispose();
    model.dispose();
  });

  // bfloat16 keeps 8 bits: a rounding error of up to 2^-9 in each of 17 (53) layers, whose sum of squares, taken four
  // times for the tail of the largest of a thousand values, is 3 % (6 %).
  test("head() makes the logits from the features", async () => {
    const model = await network({ ...options, dtype: "float64" });
    const { features, logits } = await model.extract(picture(options).data);
    const { weight, bias } = await model.head();
    const [z, w, b] = [numbers(features), numbers(weight), numbers(bias)];
    const [rows = 0, dim = 0] = features.shape;
    expect(weight.shape).toEqual([b.length, dim]);
    const made = Float64Array.from({ length: rows * b.length }, (_, at) => {
      const [row, label] = [Math.floor(at / b.length), at % b.length];
      return z
        .slice(row * dim, (row + 1) * dim)
        .reduce((sum, value, j) => sum + value * (w[label * dim + j] as number), b[label] as number);
    });
    expect(distance(Tensor.from(made, logits.shape), logits)).toBeLessThan(1e-12);
  });

  test("bfloat16, to its own precision", async () => {
    const model = await network(options);
    const rounding = 2 ** -9 * 4 * Math.sqrt(options.depth === 50 ? 53 : 17);
    await compare(model, model, rounding, "bfloat16");
    model.dispose();
  });
});

// Squares of float32 numbers from 2e19 on are infinite, and a division by an infinite length gives zeros, which look like features.
test("features of 1e25 are normalised like any others", async () => {
  const model = await network({});
  const last = "layer4.1.bn2.weight";
  const weights = await model.weights();
  const scale = weights.get(last) as Tensor;
  weights.set(
    last,
    Tensor.from(
      Float32Array.from(numbers(scale), (x) => 1e25 * x),
      scale.shape,
    ),
  );
  await model.setWeights(weights);
  const { data, normalised } = picture({});
  const raw = (await model.extract(data, { outputs: ["rawFeatures"] })).rawFeatures;
  const [rows, columns] = raw.shape as [number, number];
  const values = numbers(raw);
  expect(Math.max(...values)).toBeGreaterThan(1e23);
  const expected = values.map((x, i) => {
    const row = Math.floor(i / columns) * columns;
    return x / Math.hypot(...values.slice(row, row + columns));
  });
  for (const { features } of [await model.extract(data), await model.forward(normalised)]) {
    expect(distance(features, Tensor.from(Float64Array.from(expected), [rows, columns]))).toBeLessThan(1e-5);
  }
  model.dispose();
});

// The outputs of one pass are those of a pass for each, to the last bit; the network runs once for all.
describe.each([
  ["a network that normalises", {}],
  ["one that does not", { l2Normalize: false }],
] as [string, Partial<ResNetOptions>][])("outputs: %s", (_, options) => {
  const { data } = picture(options, 20);
  const all = ["features", "rawFeatures", "logits"] as const;

  test.each([
    ["float32", "float32"],
    ["float32", "bfloat16"],
    ["float64", "float32"],
  ] as const)("a %s network, convolutions in %s", async (dtype, precision) => {
    const model = await network({ ...options, dtype });
    const reports: [number, number][] = [];
    const onProgress = (done: number, total: number) => void reports.push([done, total]);
    const together = await model.extract(data, { outputs: all, precision, batchSize: 8, onProgress });
    expect(reports).toEqual([8, 16, 20].map((done) => [done, 20]));
    for (const output of all) {
      const alone = (await model.extract(data, { outputs: [output], precision, batchSize: 8 }))[output];
      expect(alone?.dtype).toBe(dtype);
      expect(alone?.toArray()).toEqual(together[output].toArray());
    }
    const usual = await model.extract(data, { precision, batchSize: 8 });
    expect([usual.features.toArray(), usual.logits.toArray()]).toEqual([together.features.toArray(), together.logits.toArray()]);
    model.dispose();
  });

  test("what is not asked for is not there, but for features that are raw ones", async () => {
    const model = await network(options);
    const rest = ["labels", "precision", "skipped"];
    const features = model.architecture.l2Normalize ? undefined : ["features", "rawFeatures"];
    const expected: Record<string, string[]> = {
      features: features ?? ["features"],
      rawFeatures: features ?? ["rawFeatures"],
      logits: ["logits"],
    };
    for (const output of all) {
      const extraction = await model.extract(data, { outputs: [output] });
      expect(Object.keys(extraction).sort()).toEqual([...(expected[output] as string[]), ...rest].sort());
      if (features !== undefined) expect(extraction.features).toBe(extraction.rawFeatures);
      await model.extractStream(
        [data],
        (chunk) => expect(Object.keys(chunk).sort()).toEqual([...Object.keys(extraction), "offset"].sort()),
        { outputs: [output] },
      );
    }
    model.dispose();
  });
});

describe("one network", () => {
  let model: ResNet;
  beforeAll(async () => {
    model = await network({});
  });
  afterAll(() => model.dispose());

  const { data } = picture({}, 20);

  test.each([1, 3, 7, 19, 20, 64, 1000])("batches of %i images: the same to rounding", async (batchSize) => {
    const whole = await model.extract(data, { batchSize: 20 });
    const parts = await model.extract(data, { batchSize });
    expect(distance(parts.features, whole.features)).toBeLessThan(1e-6);
    expect(distance(parts.logits, whole.logits)).toBeLessThan(1e-6);
  });

  test("the same call gives the same bits", async () => {
    const first = await model.extract(data);
    const second = await model.extract(data);
    expect(first.features.toArray()).toEqual(second.features.toArray());
    expect(first.logits.toArray()).toEqual(second.logits.toArray());
  });

  test("bytes, floats in 0 … 1, doubles, tensors and arrays are the same images", async () => {
    const shape = [20, 1, 8, 8];
    const expected = await model.extract(data);
    const same = [
      Tensor.from(data.images, shape),
      { data: data.images, shape },
      { data: Buffer.from(data.images), shape },
      { data: new Uint8Array(new SharedArrayBuffer(data.images.length)), shape },
      { data: Float32Array.from(data.images, (byte) => byte / 255), shape },
      Tensor.from(
        Float64Array.from(data.images, (byte) => byte / 255),
        shape,
      ),
    ];
    (same[3] as { data: Uint8Array }).data.set(data.images);
    for (const images of same) {
      const found = await model.extract(images);
      expect(distance(found.features, expected.features)).toBeLessThan(2e-6);
      expect(found.labels).toHaveLength(0);
    }
  });

  test("normalised features have norm 1, raw ones their direction", async () => {
    const d = model.featureDim;
    const normalised = numbers((await model.extract(data)).features);
    const raw = numbers((await model.extract(data, { outputs: ["rawFeatures"] })).rawFeatures);
    for (let row = 0; row < 20; row++) {
      const unit = normalised.slice(row * d, (row + 1) * d);
      const free = raw.slice(row * d, (row + 1) * d);
      const norm = Math.hypot(...free);
      expect(Math.abs(Math.hypot(...unit) - 1)).toBeLessThan(1e-6);
      unit.forEach((value, i) => expect(Math.abs(value - (free[i] as number) / norm)).toBeLessThan(1e-6));
    }
  });

  test("no images give no rows", async () => {
    const { features, logits, labels: none } = await model.extract({ data: new Uint8Array(0), shape: [0, 1, 8, 8] });
    expect([features.shape, logits.shape, none.length]).toEqual([[0, 64], [0, 3], 0]);
  });

  test("progress: after every batch, of all", async () => {
    const seen: [number, number][] = [];
    await model.extract(data, { batchSize: 8, onProgress: (done, total) => void seen.push([done, total]) });
    expect(seen).toEqual([
      [8, 20],
      [16, 20],
      [20, 20],
    ]);
  });

  test("the images are taken when the call is made: the caller may write to or dispose of them at once", async () => {
    const expected = await model.extract(data);
    const kept = Tensor.from(data.images, [20, 1, 8, 8]);
    const disposed = Tensor.from(data.images, [20, 1, 8, 8]);
    const array = Uint8Array.from(data.images);
    const calls = [model.extract(kept), model.extract(disposed), model.extract({ data: array, shape: [20, 1, 8, 8] })];
    disposed.dispose();
    array.fill(0);
    for (const { features } of await Promise.all(calls)) expect(features.toArray()).toEqual(expected.features.toArray());
    expect(kept.disposed).toBe(false);
    kept.dispose();
  });

  test("so are the weights", async () => {
    const other = await tinyNetwork({ seed: 5 });
    const expected = (await other.extract(data)).features.toArray();
    const weights = await model.weights();
    const call = other.extract(data);
    const change = other.setWeights(weights);
    expect((await call).features.toArray()).toEqual(expected);
    await change;
    expect((await other.extract(data)).features.toArray()).not.toEqual(expected);
    other.dispose();
  });

  // The folded network is kept between calls: it must not outlive the weights that it was made of.
  test.each<[string, (model: ResNet) => Promise<unknown>]>([
    ["training", (trained) => trained.fit(tinyData(32), { epochs: 1, batchSize: 16, learningRate: 0.1 })],
    ["other weights", async (changed) => changed.setWeights(await model.weights())],
    [
      "a forward pass in training mode, which moves the running statistics",
      (seen) => seen.forward(picture({}).normalised, { training: true }),
    ],
  ])("an extraction follows %s", async (_, change) => {
    const changed = await tinyNetwork({ seed: 5 });
    const before = (await changed.extract(data)).features.toArray();
    await change(changed);
    const after = (await changed.extract(data)).features.toArray();
    expect(after).not.toEqual(before);
    const fresh = await tinyNetwork({ seed: 6 });
    await fresh.setWeights(await changed.weights());
    expect((await fresh.extract(data)).features.toArray()).toEqual(after);
    const { rawFeatures } = await changed.extract(data, { outputs: ["rawFeatures"] });
    const rounded = await changed.extract(data, { precision: "bfloat16" });
    expect(rawFeatures.toArray()).not.toEqual(after);
    expect(rounded.features.toArray()).not.toEqual(after);
    expect((await changed.extract(data)).features.toArray()).toEqual(after);
    changed.dispose();
    fresh.dispose();
  });

  test("a network of NaN gives an error, not scores", async () => {
    const broken = await tinyNetwork({ seed: 1 });
    await broken.fit(tinyData(32), { epochs: 40, learningRate: 1e30 }).catch(() => undefined);
    expect(await libraryFailureOf(() => broken.extract(tinyData(4)))).toMatchObject({ code: "ERR_NON_FINITE" });
    broken.dispose();
  });
});

describe("during training", () => {
  const recipe = { epochs: 12, batchSize: 8, learningRate: 0.05, seed: 2 } as const;
  const train = tinyData(64);
  const options: ExtractOptions = { batchSize: 4 };

  test("an extraction sees one state of the weights, and the training takes no notice of it", async () => {
    const undisturbed = await tinyNetwork({ seed: 7 });
    await undisturbed.fit(train, recipe);

    // The same image many times over: the rows agree to the last bit if and only if the weights were the same.
    const same = Tensor.from(new Uint8Array(64 * 64).fill(100), [64, 1, 8, 8]);
    const model = await tinyNetwork({ seed: 7 });
    const training = model.fit(train, recipe);
    const rows: string[] = [];
    let running = true;
    training.finally(() => (running = false)).catch(() => undefined);
    while (running) {
      const { features } = await model.extract(same, options);
      const distinct = new Set(
        Array.from({ length: 64 }, (_, i) =>
          features
            .slice(i, i + 1)
            .toArray()
            .toString(),
        ),
      );
      expect(distinct.size).toBe(1);
      rows.push([...distinct][0] as string);
    }
    await training;
    expect(new Set(rows).size).toBeGreaterThan(2); // the weights did change between extractions
    expect(await weightBytes(model)).toEqual(await weightBytes(undisturbed));
    model.dispose();
    undisturbed.dispose();
  });

  test("forward() in evaluation mode and weights() do not disturb it either; forward() in training mode is refused", async () => {
    const images = { data: new Float32Array(64).fill(0.5), shape: [1, 1, 8, 8] };
    const undisturbed = await tinyNetwork({ seed: 7 });
    const expected = await undisturbed.fit(train, recipe);
    const model = await tinyNetwork({ seed: 7 });
    const training = model.fit(train, recipe);
    while (!model.training) await new Promise(setImmediate);
    for (let i = 0; i < 5; i++) {
      await model.forward(images);
      await model.weights();
    }
    expect(await libraryFailureOf(() => model.forward(images, { training: true }))).toMatchObject({
      code: "ERR_BUSY",
      message: "forward: the model is being trained",
    });
    expect((await training).map(({ loss }) => loss)).toEqual(expected.map(({ loss }) => loss));
    expect(await weightBytes(model)).toEqual(await weightBytes(undisturbed));
    model.dispose();
    undisturbed.dispose();
  });

  test(`${tinyArchitecture.numClasses} extractions of as many networks at once`, async () => {
    const models = await Promise.all([1, 2, 3].map((seed) => tinyNetwork({ seed })));
    const alone: unknown[] = [];
    for (const model of models) alone.push((await model.extract(train)).features.toArray());
    const together = await Promise.all(models.map((model) => model.extract(train)));
    together.forEach(({ features }, i) => expect(features.toArray()).toEqual(alone[i]));
    for (const model of models) model.dispose();
  });
});
