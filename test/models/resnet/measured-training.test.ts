// Measuring in onEpoch: the next epoch waits for it, it sees the weights of the epoch's end, the weights that training ends with
// are those of an unmeasured run, and a run that waits can be aborted or left.

import { ResNet, type EpochReport, type FitOptions } from "../../../lib";
import { temporaryDirectory } from "../../support/temporary-directory";
import { run } from "../../reliability/child";
import { failureOf, libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const train = tinyData(48);
const epochs = 5;
const recipe = {
  batchSize: 16,
  learningRate: 0.05,
  seed: 9,
  milestones: [3],
  augmentation: { cropPadding: 1, horizontalFlip: true },
} as const;
const after = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
const featureBytes = async (model: ResNet): Promise<string> => {
  const { features } = await model.extract(train);
  return Buffer.from((features.toArray() as Float32Array).buffer).toString("base64");
};

async function trained(options: Partial<FitOptions> = {}, count: number = epochs) {
  const model = await tinyNetwork({ seed: 3 });
  const history = await model.fit(train, { ...recipe, epochs: count, ...options });
  return { model, history };
}

describe.each<[string, Partial<FitOptions>]>([
  ["cross entropy", {}],
  ["with validation", { validation: tinyData(16, "validation") }],
  ["the neural-collapse loss", { loss: "neural-collapse" }],
  ["bfloat16", { precision: "bfloat16" }],
])("%s", (_, options) => {
  test("the weights are those of an unmeasured run, bit for bit, and what is measured those of the epoch's end", async () => {
    const measured: { epoch: number; weights: Record<string, string>; features: string }[] = [];
    const model = await tinyNetwork({ seed: 3 });
    const onEpoch = async ({ epoch }: EpochReport) => {
      await after(5); // some batches of so small a network
      const features = await featureBytes(model);
      await after(5);
      measured.push({ epoch, weights: await weightBytes(model), features });
      await model.save(directory.path(`${epoch}.safetensors`));
    };
    await model.fit(train, { ...recipe, ...options, epochs, onEpoch });
    expect(measured.map(({ epoch }) => epoch)).toEqual([1, 2, 3, 4, 5]);
    expect(await weightBytes(model)).toEqual(await weightBytes((await trained(options)).model));
    for (const { epoch, weights, features } of measured) {
      const checkpoint = directory.path("checkpoint.safetensors");
      const ended = await trained({ ...options, checkpoint }, epoch);
      expect(weights).toEqual(await weightBytes(ended.model));
      for (const path of [checkpoint, directory.path(`${epoch}.safetensors`)]) {
        const loaded = await ResNet.load(path);
        expect(await weightBytes(loaded)).toEqual(weights);
        expect(await featureBytes(loaded)).toBe(features);
        loaded.dispose();
      }
      ended.model.dispose();
    }
  });
});

test("the next epoch begins when the promise is kept, and its time is not counted", async () => {
  const events: string[] = [];
  let waited = 0;
  const start = performance.now();
  const { history } = await trained({
    onBatch: ({ epoch, batch, batches }) => void (batch === batches && events.push(`trained ${epoch}`)),
    onEpoch: async ({ epoch }) => {
      events.push(`begun ${epoch}`);
      const from = performance.now();
      await after(100);
      waited += performance.now() - from;
      events.push(`measured ${epoch}`);
    },
  });
  expect(events).toEqual([1, 2, 3, 4, 5].flatMap((epoch) => [`trained ${epoch}`, `begun ${epoch}`, `measured ${epoch}`]));
  // Where a wait was counted, the two would have more than the time that has gone by.
  expect(history.reduce((sum, { seconds }) => sum + seconds, 0) + waited / 1000).toBeLessThan((performance.now() - start) / 1000);
});

test("another network trains while one waits; the one that waits counts as being trained", async () => {
  const model = await tinyNetwork();
  let others: EpochReport[] = [];
  const busy: string[] = [];
  const onEpoch = async ({ epoch }: EpochReport) => {
    if (epoch > 1) return;
    others = (await trained()).history;
    expect(model.training).toBe(true);
    busy.push((await libraryFailureOf(() => model.fit(train, { epochs: 1 }))).code);
    busy.push((await libraryFailureOf(async () => model.setWeights(await model.weights()))).code);
  };
  expect(await model.fit(train, { ...recipe, epochs: 2, onEpoch })).toHaveLength(2);
  expect(others).toHaveLength(epochs);
  expect(busy).toEqual(["ERR_BUSY", "ERR_BUSY"]);
});

test("two networks that measure each other in turn", async () => {
  const models = await Promise.all([tinyNetwork({ seed: 3 }), tinyNetwork({ seed: 3 })]);
  const shapes: number[][] = [];
  const runs = models.map((model, i) =>
    model.fit(train, {
      ...recipe,
      epochs,
      onEpoch: async () => void shapes.push([...(await (models[1 - i] as ResNet).extract(train)).features.shape]),
    }),
  );
  await Promise.all(runs);
  expect(shapes).toHaveLength(2 * epochs);
  const [a, b] = await Promise.all(models.map(weightBytes));
  expect(a).toEqual(b);
});

describe("an abort while it waits", () => {
  test("rejects at once with ERR_ABORTED; the network is that of the epoch's end, and usable", async () => {
    const controller = new AbortController();
    const model = await tinyNetwork({ seed: 3 });
    let seen: number[] = [];
    let asleep: () => void = () => undefined;
    const waits = new Promise<void>((resolve) => (asleep = resolve));
    const onEpoch = ({ epoch }: EpochReport) => {
      seen.push(epoch);
      if (epoch < 2) return;
      asleep();
      return new Promise<void>(() => undefined);
    };
    const call = libraryFailureOf(() => model.fit(train, { ...recipe, epochs, onEpoch, signal: controller.signal }));
    await waits;
    await after(50);
    const start = performance.now();
    controller.abort("enough");
    expect(await call).toMatchObject({ code: "ERR_ABORTED", cause: "enough" });
    expect(performance.now() - start).toBeLessThan(100);
    expect(model.training).toBe(false);
    expect(await weightBytes(model)).toEqual(await weightBytes((await trained({}, 2)).model));
    seen = [];
    expect(await model.fit(train, { ...recipe, epochs: 1, onEpoch })).toHaveLength(1);
    expect(seen).toEqual([1]);
  });

  test("at any moment about the end of an epoch, also from within onEpoch", async () => {
    for (let i = 0; i < 40; i++) {
      const controller = new AbortController();
      const model = await tinyNetwork();
      const onEpoch = () => {
        if (i % 4 === 0) controller.abort();
        else if (i % 4 === 1) queueMicrotask(() => controller.abort());
        else setTimeout(() => controller.abort(), i % 3);
        return after(i % 5);
      };
      const call = () => model.fit(train, { ...recipe, epochs: 1000, onEpoch, signal: controller.signal });
      expect((await libraryFailureOf(call)).code).toBe("ERR_ABORTED");
      model.dispose();
    }
  });

  test("a callback that rejects after a while ends the run with its error", async () => {
    const mine = new RangeError("my own");
    const seen: number[] = [];
    const onEpoch = async ({ epoch }: EpochReport) => {
      seen.push(epoch);
      await after(20);
      throw mine;
    };
    expect(await failureOf(() => trained({ onEpoch }))).toBe(mine);
    expect(seen).toEqual([1]);
  });
});

test("a network that is disposed while its training waits trains on to the end", async () => {
  const model = await tinyNetwork();
  const onEpoch = async ({ epoch }: EpochReport) => {
    if (epoch === 1) model.dispose();
    await after(1);
  };
  expect(await model.fit(train, { ...recipe, epochs: 3, onEpoch })).toHaveLength(3);
});

describe("a process or worker whose training waits", () => {
  test.each([
    ["ends with process.exit()", "exit", { code: 7, stdout: "waits\n" }],
    ["ends by itself where nothing else is left to do, since nothing could end the wait", "nothing", { code: 0, stdout: "waits\n" }],
    ["stays for what it waits for", "timer", { code: 0, stdout: "waits\ntrained 3 epochs\n" }],
    ["stays for the rejection after an abort", "abort", { code: 0, stdout: "waits\nERR_ABORTED\n" }],
    ["stays for another call that still computes", "other", { code: 0, stdout: "waits\nother trained 40 epochs\n" }],
    ["is terminated as a worker", "worker", { code: 0, stdout: "waits\nterminated 1\n" }],
  ])("%s", async (_, how, ending) => {
    expect(await run("waits-in-training.cjs", [how], { limit: 20_000 })).toMatchObject({ ...ending, signal: null, stderr: "" });
  });
});
