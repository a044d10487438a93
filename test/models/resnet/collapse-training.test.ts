// Training on the neural-collapse loss: what a step does, against the loss and gradients that neuralCollapse.loss gives (which has a reference
// of its own), and the paper's intervention, from a checkpoint of another recipe.

import { Dataset, neuralCollapse, ResNet, Tensor, type EpochReport, type FitOptions } from "../../../lib";
import { openModelFile, writeModelFile } from "../../../lib/models/resnet/model-file";
import { temporaryDirectory } from "../../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const train = tinyData(48);

/** As batches are normalised. */
function normalised(data: Dataset): { data: Float64Array; shape: number[] } {
  return { data: Float64Array.from(data.images, (byte) => (byte / 255 - 0.4) / 0.3), shape: [data.length, 1, 8, 8] };
}

const valuesOf = (tensor: Tensor | undefined): Float64Array => (tensor as Tensor).toArray() as Float64Array;

describe("one step on all samples, in float64", () => {
  const exact = { dtype: "float64", seed: 4 } as const;
  const options = { loss: "neural-collapse", epochs: 1, batchSize: 48, shuffle: false, learningRate: 0.1, weightDecay: 0.01 } as const;

  test.each([true, false])("its loss, and what becomes of the last layer: l2Normalize %s", async (l2Normalize) => {
    const [model, twin] = await Promise.all([tinyNetwork({ ...exact, l2Normalize }), tinyNetwork({ ...exact, l2Normalize })]);
    const before = await twin.weights();
    const weight = valuesOf(before.get("fc.weight"));
    const { features } = await twin.forward(normalised(train), { training: true });
    const labels = Int32Array.from(train.labels);
    const { value, gradients } = await neuralCollapse.loss({ features, labels, weight: before.get("fc.weight") as Tensor });
    const [report] = (await model.fit(train, options)) as [EpochReport];
    expect(report.loss / value).toBeCloseTo(1, 10);
    const gradient = valuesOf(gradients.weight);
    const found = valuesOf((await model.weights()).get("fc.weight"));
    found.forEach((w, i) => expect(w).toBeCloseTo((weight[i] as number) * (1 - 0.001) - 0.1 * (gradient[i] as number), 12));
    expect(valuesOf((await model.weights()).get("fc.bias"))).toEqual(valuesOf(before.get("fc.bias")));
  });

  test("the gradient reaches the convolutions: a small step lowers the loss by rate times its square", async () => {
    const model = await tinyNetwork({ ...exact, spectralNorm: false });
    const before = await model.weights();
    const rate = 1e-7;
    const step = { ...options, learningRate: rate, weightDecay: 0 };
    const [first] = (await model.fit(train, step)) as [EpochReport];
    let square = 0;
    for (const [name, tensor] of await model.weights()) {
      if (/running|num_batches/.test(name)) continue;
      const [now, then] = [valuesOf(tensor), valuesOf(before.get(name))];
      now.forEach((w, i) => (square += ((w - (then[i] as number)) / rate) ** 2));
    }
    const [second] = (await model.fit(train, step)) as [EpochReport];
    expect((first.loss - second.loss) / (rate * square)).toBeCloseTo(1, 2); // the rest is of second order in the step
  });
});

test("it lowers the loss, and what measure gives falls with it", async () => {
  const model = await tinyNetwork({ seed: 3 });
  await model.fit(train, { epochs: 4, batchSize: 16, learningRate: 0.05 });
  const numbers = async () => {
    const { features, labels } = await model.extract(train);
    return neuralCollapse.measure({ features, labels, weight: (await model.weights()).get("fc.weight") as Tensor });
  };
  const before = await numbers();
  const history = await model.fit(train, { loss: "neural-collapse", epochs: 30, batchSize: 48, learningRate: 0.02 });
  const after = await numbers();
  expect((history.at(-1) as EpochReport).loss).toBeLessThan(0.5 * (history[0] as EpochReport).loss);
  for (const name of ["nc1", "eaMeans", "nc3"] as const) expect(after[name]).toBeLessThan(before[name]);
});

describe("batches", () => {
  const ones = (data: Dataset) => data.subset([...data.labels].flatMap((label, i) => (label === 1 ? [i] : [])));
  const still = { loss: "neural-collapse", epochs: 1, shuffle: false, learningRate: 0, weightDecay: 0 } as const;

  test("one of a single class is left out: weights, running statistics and loss are those without it", async () => {
    const first = train.subset(Array.from({ length: 24 }, (_, i) => i));
    const more = ones(train).length;
    const mixed = train.subset([
      ...Array.from({ length: 24 }, (_, i) => i),
      ...[...train.labels].flatMap((label, i) => (label === 1 ? [i] : [])),
    ]);
    expect(more).toBeLessThanOrEqual(24);
    const options = { loss: "neural-collapse", epochs: 2, batchSize: 24, shuffle: false, learningRate: 0.01 } as const;
    const [a, b] = await Promise.all([tinyNetwork({ seed: 1 }), tinyNetwork({ seed: 1 })]);
    const [with_, without] = [await a.fit(mixed, options), await b.fit(first, options)];
    expect(await weightBytes(a)).toEqual(await weightBytes(b));
    expect(with_.map(({ loss, accuracy }) => [loss, accuracy])).toEqual(without.map(({ loss, accuracy }) => [loss, accuracy]));
  });

  test("an epoch without any other is refused", async () => {
    const model = await tinyNetwork();
    const error = await libraryFailureOf(() => model.fit(ones(train), still));
    expect(error).toMatchObject({ code: "ERR_RANGE", message: expect.stringContaining("batches of at least 2 classes") as string });
    expect(model.training).toBe(false);
  });

  test("training that diverges says so, not that class means lie on a line", async () => {
    const model = await tinyNetwork();
    const options = { loss: "neural-collapse", epochs: 3, batchSize: 16, learningRate: 1e30 } as const;
    expect(await libraryFailureOf(() => model.fit(train, options))).toMatchObject({
      code: "ERR_NON_FINITE",
      message: expect.stringContaining("training diverged") as string,
    });
  });

  test("cross entropy trains on a single class as before", async () => {
    const model = await tinyNetwork();
    expect(await model.fit(ones(train), { ...still, loss: "cross-entropy" })).toHaveLength(1);
  });
});

describe("the intervention of the paper's section 4.2.1", () => {
  const schedule = { batchSize: 16, learningRate: 0.05, seed: 9, milestones: [5, 7] } as const;
  const path = directory.path("middle.safetensors");

  async function middle(): Promise<ResNet> {
    const model = await tinyNetwork({ seed: 3, l2Normalize: false });
    await model.fit(train, { ...schedule, epochs: 4, checkpoint: path });
    return model;
  }

  test("a network loaded from a checkpoint trains on by another recipe as the network itself does", async () => {
    const own = await middle();
    const intervention = { loss: "neural-collapse", epochs: 4, learningRate: 0.005, milestones: [2], batchSize: 48 } as const;
    const loaded = await ResNet.load(path);
    const history = await loaded.fit(train, intervention);
    expect(history.map(({ epoch, learningRate }) => [epoch, learningRate])).toEqual([
      [1, 0.005],
      [2, 0.005],
      [3, 0.0005],
      [4, 0.0005],
    ]);
    await own.fit(train, intervention);
    expect(await weightBytes(loaded)).toEqual(await weightBytes(own));
  });

  test("its control group continues with more epochs, bit for bit as an uninterrupted run, milestones ahead included", async () => {
    await middle();
    const straight = await tinyNetwork({ seed: 3, l2Normalize: false });
    const whole = await straight.fit(train, { ...schedule, epochs: 8 });
    const control = await tinyNetwork({ seed: 12, l2Normalize: false });
    const history = await control.fit(train, { ...schedule, epochs: 8, checkpoint: path, resume: true });
    expect(await weightBytes(control)).toEqual(await weightBytes(straight));
    expect(history.map(({ loss, learningRate }) => [loss, learningRate])).toEqual(
      whole.map(({ loss, learningRate }) => [loss, learningRate]),
    );
  });
});

describe("the loss is part of the recipe", () => {
  const common = { batchSize: 16, learningRate: 0.05 } as const;
  const fit = async (path: string, options: Partial<FitOptions>, epochs: number) => {
    const model = await tinyNetwork({ seed: 3 });
    await model.fit(train, { ...common, checkpoint: path, epochs, ...options });
    return model;
  };

  test("a resumed run on the neural-collapse loss equals an uninterrupted one; another loss is refused", async () => {
    const path = directory.path("collapse.safetensors");
    const loss = "neural-collapse";
    await fit(path, { loss }, 2);
    const error = await libraryFailureOf(() => fit(path, { resume: true }, 4));
    expect(error.code).toBe("ERR_OPTION");
    expect(error.message).toMatch(/differs in option loss \("neural-collapse" there, "cross-entropy" here\)$/);
    const resumed = await fit(path, { loss, resume: true }, 4);
    expect(await weightBytes(resumed)).toEqual(await weightBytes(await fit(directory.path("whole.safetensors"), { loss }, 4)));
  });

  test("a checkpoint that names none is one of cross entropy", async () => {
    const path = directory.path("old.safetensors");
    const model = await fit(path, {}, 1);
    const file = await openModelFile(path);
    const { description } = file;
    const [state, momentum] = [await file.state(), await file.momentum()];
    await file.close();
    delete (description.training as { recipe: { loss?: string } }).recipe.loss;
    await writeModelFile(path, description, state, momentum);
    const resumed = await tinyNetwork({ seed: 8 });
    await resumed.fit(train, { ...common, checkpoint: path, epochs: 1, resume: true });
    expect(await weightBytes(resumed)).toEqual(await weightBytes(model));
    expect((await libraryFailureOf(() => fit(path, { loss: "neural-collapse", resume: true }, 2))).code).toBe("ERR_OPTION");
  });

  test.each([["crossentropy"], [1]])("%j is none", async (loss) => {
    const model = await tinyNetwork();
    const error = await libraryFailureOf(() => model.fit(train, { epochs: 1, loss: loss as "cross-entropy" }));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("loss: expected one of") as string });
  });
});
