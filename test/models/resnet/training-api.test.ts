// What fit, create, save and load promise apart from the numbers of training: history, reproducibility, validation,
// busy and disposed networks, several trainings at once, files.

import { existsSync, readFileSync } from "node:fs";
import { createContext, runInContext } from "node:vm";
import { Dataset, ResNet, Tensor, type BatchReport, type EpochReport, type FitOptions } from "../../../lib";
import { receiveWarnings } from "../../../lib/core/warnings";
import { temporaryDirectory } from "../../support/temporary-directory";
import { numbers } from "./closed-formula";
import { failureOf, libraryFailureOf, tinyArchitecture, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const train = tinyData(48);

async function trained(options: Partial<FitOptions> = {}, network: object = {}, data = train) {
  const model = await tinyNetwork({ seed: 1, ...network });
  const history = await model.fit(data, { epochs: 2, batchSize: 16, learningRate: 0.05, ...options });
  return { model, history, weights: await weightBytes(model) };
}

describe("history", () => {
  test("one report per epoch, equal to what onEpoch was given, with sensible numbers", async () => {
    const seen: EpochReport[] = [];
    const { history } = await trained({ epochs: 3, milestones: [1], gamma: 0.5, onEpoch: (report) => void seen.push(report) });
    expect(history).toEqual(seen);
    expect(history.map(({ epoch }) => epoch)).toEqual([1, 2, 3]);
    expect(history.map(({ learningRate }) => learningRate)).toEqual([0.05, 0.025, 0.025]);
    for (const report of history) {
      expect(Object.keys(report)).toEqual([
        "epoch",
        "loss",
        "accuracy",
        "validationAccuracy",
        "learningRate",
        "imagesPerSecond",
        "seconds",
        "precision",
      ]);
      expect(report.loss).toBeGreaterThan(0);
      expect(report.accuracy * 48).toBeCloseTo(Math.round(report.accuracy * 48), 9);
      expect(report.validationAccuracy).toBeUndefined();
      expect(report.seconds).toBeGreaterThan(0);
      expect(report.imagesPerSecond * report.seconds).toBeCloseTo(48, 6);
    }
  });

  test("what a callback does to its report does not reach the history", async () => {
    const { history } = await trained({ onEpoch: (report) => void (report.loss = NaN) });
    expect(history.every(({ loss }) => Number.isFinite(loss))).toBe(true);
  });

  test("batches: at least the last of every epoch, in order; its loss is the epoch's", async () => {
    const batches: BatchReport[] = [];
    const { history } = await trained({ epochs: 3, batchSize: 10, onBatch: (report) => void batches.push(report) });
    expect(batches.every((report) => report.batches === 5 && report.imagesPerSecond > 0)).toBe(true);
    const places = batches.map(({ epoch, batch }) => 5 * epoch + batch);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    const last = batches.filter(({ batch }) => batch === 5);
    expect(last.map(({ epoch, loss }) => [epoch, loss])).toEqual(history.map(({ epoch, loss }) => [epoch, loss]));
  });

  test("an epoch's loss is the mean per sample, however the last batch is filled (trap 8)", async () => {
    // At rate 0, without the buffers of spectral norm, every batch has the loss that it has alone.
    const still = (data: Dataset) => trained({ epochs: 1, batchSize: 10, learningRate: 0, shuffle: false }, { spectralNorm: false }, data);
    const part = (from: number, to: number): Dataset => train.subset(Array.from({ length: to - from }, (_, i) => from + i));
    const lossOf = async (data: Dataset): Promise<number> => ((await still(data)).history[0] as EpochReport).loss;
    const [ten, three, all] = [await lossOf(part(0, 10)), await lossOf(part(10, 13)), await lossOf(part(0, 13))];
    expect(Math.abs(ten - three)).toBeGreaterThan(0.01); // the mean over batches is off by 3.5/13 of it
    expect(all).toBeCloseTo((10 * ten + 3 * three) / 13, 6); // float32 losses

    const last = part(10, 13);
    const input = { data: Float64Array.from(last.images, (byte) => (byte / 255 - 0.4) / 0.3), shape: [3, 1, 8, 8] };
    const { logits } = await (await tinyNetwork({ seed: 1, spectralNorm: false })).forward(input, { training: true });
    const rows = logits.toArray() as Float32Array;
    const entropies = Array.from(last.labels, (label, i) => {
      const row = rows.subarray(3 * i, 3 * i + 3);
      return Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - (row[label] as number);
    });
    expect(three).toBeCloseTo(entropies.reduce((a, b) => a + b) / 3, 5);
  });

  test("it learns what can be learnt", async () => {
    const { history } = await trained({ epochs: 12 });
    expect((history.at(-1) as EpochReport).accuracy).toBeGreaterThan(0.9);
    expect((history.at(-1) as EpochReport).loss).toBeLessThan((history[0] as EpochReport).loss);
  });
});

describe("seeds", () => {
  test("the same seeds give the same weights, bit for bit", async () => {
    const augmentation = { cropPadding: 1, horizontalFlip: true };
    const first = await trained({ augmentation, seed: 5 });
    const second = await trained({ augmentation, seed: 5 });
    expect(second.weights).toEqual(first.weights);
    expect(second.history.map(({ loss }) => loss)).toEqual(first.history.map(({ loss }) => loss));
  });

  test("another seed of fit, or of the network, gives other weights", async () => {
    const { weights } = await trained({ seed: 5 });
    expect((await trained({ seed: 6 })).weights).not.toEqual(weights);
    expect((await trained({ seed: 5 }, { seed: 2 })).weights).not.toEqual(weights);
  });

  test("without shuffling and augmentation the seed of fit matters not", async () => {
    const { weights } = await trained({ seed: 5, shuffle: false });
    expect((await trained({ seed: 6, shuffle: false })).weights).toEqual(weights);
  });

  test("networks of neighbouring seeds differ in every random tensor", async () => {
    const [a, b] = await Promise.all([tinyNetwork({ seed: 1 }).then(weightBytes), tinyNetwork({ seed: 2 }).then(weightBytes)]);
    for (const name of Object.keys(a).filter((key) => /weight_orig$|weight_[uv]$|^fc/.test(key))) expect(b[name]).not.toBe(a[name]);
  });
});

describe("validation", () => {
  const validation = tinyData(40, "validation");

  const rightOf = async (model: ResNet, data: Dataset): Promise<number> => {
    const logits = [...((await model.extract(data)).logits.toArray() as Float32Array)];
    const right = [...data.labels].filter((label, i) => {
      const row = logits.slice(3 * i, 3 * i + 3);
      return row.indexOf(Math.max(...row)) === label;
    });
    return right.length / data.length;
  };

  test("a Dataset: its accuracy after each epoch is that of extract(), and it is not trained on", async () => {
    const { model, history, weights } = await trained({ validation, epochs: 3 });
    expect((history.at(-1) as EpochReport).validationAccuracy).toBe(await rightOf(model, validation));
    const named = ({ images, labels, shape }: Dataset, classNames: string[], numbers = [0, 1, 2]) =>
      Dataset.fromArrays({ images, labels: labels.map((label) => numbers[label] as number), shape, classNames });
    const [known, turned] = [named(train, ["a", "b", "c"]), named(validation, ["b", "c", "a"], [2, 0, 1])]; // classes are matched by name
    const byName = await trained({ validation: turned, epochs: 3 }, {}, known);
    expect(byName.history.at(-1)?.validationAccuracy).toBe(history.at(-1)?.validationAccuracy);
    expect((await trained({ epochs: 3 })).weights).toEqual(weights);
    const warnings: string[] = [];
    const restore = receiveWarnings((message, code) => warnings.push(`${code}: ${message}`));
    await trained({ validation: named(validation, ["a", "b", "x"]) }, {}, known);
    restore();
    expect(warnings).toEqual([
      expect.stringMatching(/^LIBTORCH_OOD_OTHER_CLASSES: .*: found the class "x", which is none of the network's/),
    ]);
  });

  test("a share: split as Dataset.split does with the seed of fit", async () => {
    const split = train.split(0.25, 3);
    const explicit = await trained({ validation: split.validation, seed: 3 }, {}, split.train);
    const { model, history, weights } = await trained({ validation: 0.25, seed: 3 });
    expect(weights).toEqual(explicit.weights);
    expect(history.map(({ validationAccuracy }) => validationAccuracy)).toEqual(
      explicit.history.map(({ validationAccuracy }) => validationAccuracy),
    );
    expect((history.at(-1) as EpochReport).validationAccuracy).toBe(await rightOf(model, split.validation));
  });

  test("in batches that do not divide it", async () => {
    const { model, history } = await trained({ validation, batchSize: 7, epochs: 1 });
    expect((history[0] as EpochReport).validationAccuracy).toBe(await rightOf(model, validation));
  });
});

describe("a network in training", () => {
  const endless = { epochs: 100000, batchSize: 8, learningRate: 0.001 };

  /** Calls `during` in mid-training, then aborts the training and gives what it ended with. */
  async function inTraining(during: (model: ResNet) => Promise<void>, data = train): Promise<unknown> {
    const model = await tinyNetwork();
    const controller = new AbortController();
    const started = new Promise<void>((resolve) => {
      const onBatch = () => resolve();
      ending = failureOf(() => model.fit(data, { ...endless, signal: controller.signal, onBatch }));
    });
    await started;
    expect(model.training).toBe(true);
    try {
      await during(model);
    } finally {
      controller.abort();
    }
    return ending;
  }
  let ending: Promise<unknown>;

  test("a second fit, setWeights and a training pass are refused with ERR_BUSY, and the first goes on", async () => {
    const error = await inTraining(async (model) => {
      const weights = await model.weights();
      const busy: [() => unknown, string][] = [
        [() => model.fit(train, endless), "fit: the model is being trained already"],
        [() => model.setWeights(weights), "loadState: the model is being trained"],
        [
          () => model.forward({ data: new Float32Array(64), shape: [1, 1, 8, 8] }, { training: true }),
          "forward: the model is being trained",
        ],
      ];
      for (const [call, message] of busy) expect(await libraryFailureOf(call)).toMatchObject({ code: "ERR_BUSY", message });
      expect(model.training).toBe(true);
    });
    expect(error).toMatchObject({ code: "ERR_ABORTED" });
  });

  test("reading it is allowed: weights, save, extract", async () => {
    const path = directory.path("snapshot.safetensors");
    await inTraining(async (model) => {
      expect((await model.weights()).get("fc.weight")?.shape).toEqual([3, 64]);
      await model.save(path);
      expect((await model.extract(train)).features.shape).toEqual([48, 64]);
    });
    const loaded = await ResNet.load(path);
    expect((await loaded.extract(train)).features.shape).toEqual([48, 64]);
  });

  test("dispose lets the training end as it would, and everything later is refused", async () => {
    const model = await tinyNetwork();
    const checkpoint = directory.path("disposed.safetensors");
    const history = await model.fit(train, {
      epochs: 3,
      batchSize: 16,
      checkpoint,
      onEpoch: ({ epoch }) => {
        if (epoch === 1) model.dispose();
      },
    });
    expect(history).toHaveLength(3);
    expect(model.disposed).toBe(true);
    expect(existsSync(checkpoint)).toBe(true);
    expect(await libraryFailureOf(() => model.extract(train))).toMatchObject({ code: "ERR_DISPOSED" });
    const loaded = await ResNet.load(checkpoint);
    expect((await loaded.extract(train)).features.shape).toEqual([48, 64]);
  });

  test("dispose at once after a call lets it end too, however much it prepares first", async () => {
    const model = await tinyNetwork({ seed: 1 });
    const expected = await trained();
    const checkpoint = directory.path("disposed-at-once.safetensors");
    const fitted = model.fit(train, { epochs: 2, batchSize: 16, learningRate: 0.05, checkpoint });
    model.dispose();
    expect(await fitted).toHaveLength(2);
    const loaded = await ResNet.load(checkpoint);
    expect(await weightBytes(loaded)).toEqual(expected.weights);
    const other = await tinyNetwork({ seed: 9 });
    const set = other.setWeights(await loaded.weights());
    other.dispose();
    await set;
    expect(await libraryFailureOf(() => other.overlap(train))).toMatchObject({ code: "ERR_DISPOSED" });
  });

  test("dispose in mid-extraction lets it end too", async () => {
    const model = await tinyNetwork({ seed: 4 });
    const expected = (await model.extract(train)).features.toArray();
    const call = model.extract(train, { batchSize: 8, onProgress: (done) => (done === 8 ? model.dispose() : undefined) });
    expect(((await call).features.toArray() as Float32Array).length).toBe(expected.length);
  });

  test("two trainings at once take turns, and end with the weights that each ends with alone", async () => {
    const alone = [await trained({ seed: 1, epochs: 6 }), await trained({ seed: 2, epochs: 6 }, { seed: 2 })];
    const order: string[] = [];
    const together = await Promise.all([
      trained({ seed: 1, epochs: 6, onEpoch: () => void order.push("a") }),
      trained({ seed: 2, epochs: 6, onEpoch: () => void order.push("b") }, { seed: 2 }),
    ]);
    together.forEach(({ weights }, i) => expect(weights).toEqual(alone[i]?.weights));
    // One after the other would be aaaaaabbbbbb.
    expect(order.slice(0, 6)).toContain("b");
    expect(order.slice(6)).toContain("a");
  });

  test("a short call during training waits for one batch, not for the training", async () => {
    await inTraining(async (model) => {
      const start = performance.now();
      await model.extract(tinyData(1));
      expect(performance.now() - start).toBeLessThan(2000);
    }, tinyData(2000));
  });
});

describe("divergence", () => {
  test("is an error that names epoch, batch and a remedy", async () => {
    const error = await libraryFailureOf(() => trained({ epochs: 50, learningRate: 1e30 }));
    expect(error.code).toBe("ERR_NON_FINITE");
    expect(error.message).toMatch(
      /^training diverged: the loss is -?(nan|inf) in epoch \d+, batch \d+ of 3; a lower learning rate may help$/,
    );
  });
});

describe("normalisation and class names", () => {
  test("are taken over from the first training set and kept", async () => {
    const model = await ResNet.create({ ...tinyArchitecture });
    expect(model.normalization).toBeUndefined();
    expect(model.classNames).toBeUndefined();
    await model.fit(train, { epochs: 1 });
    expect(model.normalization).toEqual(train.normalization);
    expect(model.classNames).toEqual(["0", "1", "2"]);
    await model.fit(train.withNormalization({ mean: [0.9], std: [0.9] }), { epochs: 1 });
    expect(model.normalization).toEqual(train.normalization);
  });

  test("a network's own stays, whatever the training set says", async () => {
    const model = await tinyNetwork({ normalization: { mean: [0.1], std: [0.2] } });
    await model.fit(train, { epochs: 1 });
    expect(model.normalization).toEqual({ mean: [0.1], std: [0.2] });
  });

  test("a refused fit takes nothing over", async () => {
    const model = await ResNet.create({ ...tinyArchitecture, imageSize: 9 });
    await failureOf(() => model.fit(train, { epochs: 1 }));
    expect(model.normalization).toBeUndefined();
    expect(model.classNames).toBeUndefined();
  });
});

describe("save and load", () => {
  test.each<[string, object]>([
    ["a network with every default", {}],
    ["float64", { dtype: "float64" }],
    ["nothing on", { spectralNorm: false, leakyRelu: false, avgPoolShortcut: false, l2Normalize: false, temperature: 2, featureDim: 20 }],
  ])("%s: the same bits, options, normalisation and class names", async (_, options) => {
    const names = ["left", "middle", "right"];
    const data = Dataset.fromArrays({ images: train.images, labels: train.labels, shape: train.shape, classNames: names });
    const { model, weights } = await trained({ epochs: 1 }, options, data);
    const path = directory.path("saved.safetensors");
    await model.save(path);
    const loaded = await ResNet.load(path, { dtype: model.dtype });
    expect(await weightBytes(loaded)).toEqual(weights);
    expect(loaded.architecture).toEqual(model.architecture);
    expect(loaded.normalization).toEqual(model.normalization);
    expect(loaded.classNames).toEqual(names);
    expect(loaded.featureDim).toBe(model.featureDim);
    expect((await loaded.extract(train)).logits.toArray()).toEqual((await model.extract(train)).logits.toArray());
    const again = directory.path("again.safetensors");
    await loaded.save(again);
    expect(readFileSync(again).equals(readFileSync(path))).toBe(true);
  });

  test("a network that has no normalisation yet", async () => {
    const model = await ResNet.create({ ...tinyArchitecture });
    const path = directory.path("bare.safetensors");
    await model.save(path);
    const loaded = await ResNet.load(path);
    expect(loaded.normalization).toBeUndefined();
    expect(loaded.classNames).toBeUndefined();
  });

  test("a float64 file as float32: rounded", async () => {
    const model = await tinyNetwork({ dtype: "float64" });
    const path = directory.path("double.safetensors");
    await model.save(path);
    const loaded = await ResNet.load(path);
    expect(loaded.dtype).toBe("float32");
    const [double, single] = [(await model.weights()).get("fc.weight"), (await loaded.weights()).get("fc.weight")];
    expect(single?.toArray()).toEqual(Float32Array.from(double?.toArray() as Float64Array));
  });

  test("weights() and setWeights(): a network takes over another's, also as arrays of another realm", async () => {
    const { model, weights } = await trained();
    const other = await tinyNetwork({ seed: 8 });
    const copies = new Map<string, Tensor | { data: Float32Array; shape: number[] }>(await model.weights());
    const bias = [...((await model.weights()).get("fc.bias")?.toArray() as Float32Array)];
    const foreign = runInContext(`Float32Array.from(${JSON.stringify(bias)})`, createContext({})) as Float32Array;
    copies.set("fc.bias", { data: foreign, shape: [3] });
    await other.setWeights(copies);
    expect(await weightBytes(other)).toEqual(weights);
  });

  test("weights() are copies", async () => {
    const { model } = await trained();
    const before = (await model.weights()).get("fc.weight") as Tensor;
    const values = before.toArray();
    await model.fit(train, { epochs: 1 });
    expect(before.toArray()).toEqual(values);
  });
});

test("dispose is idempotent, and `using` does it too", async () => {
  let outside: ResNet;
  {
    using inside = await tinyNetwork();
    outside = inside;
  }
  expect(outside.disposed).toBe(true);
  outside.dispose();
  expect(outside.disposed).toBe(true);
});

// oneDNN's kernel for such a gradient is wrong on AVX2 and writes beyond its memory: convolve() of native/kernels/convolution.cc goes round it.
test("strided 1×1 convolutions of fewer than 8 channels: float32 trains as float64 does", async () => {
  const weightsOf = async (dtype: "float32" | "float64") => {
    const model = await tinyNetwork({ dtype, seed: 3, width: 1 / 16, avgPoolShortcut: false });
    await model.fit(train, { epochs: 2, batchSize: 16, learningRate: 0.05, seed: 1 });
    const weights = [...(await model.weights()).values()].map((tensor) => numbers(tensor));
    model.dispose();
    return weights;
  };
  const [single, double] = [await weightsOf("float32"), await weightsOf("float64")];
  const scale = (values: readonly number[]) => Math.max(1, ...values.map(Math.abs));
  const apart = single.map((values, i) => {
    const exact = double[i] as number[];
    return Math.max(...values.map((value, k) => Math.abs(value - (exact[k] as number)))) / scale(exact);
  });
  // Six steps of rounding errors of 2^-24; the faulty gradients were wrong by half their size.
  expect(Math.max(...apart)).toBeLessThan(1e-4);
});
