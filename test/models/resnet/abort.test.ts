// Stopping: an AbortSignal or a callback that throws ends a call within a fraction of a batch, with the right error, and
// leaves a network that can be used.

import { Dataset, type LibtorchOodError, type ResNet } from "../../../lib";
import { pixels } from "./closed-formula";
import { failureOf, libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();

const after = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Milliseconds of this process's processor time, which does not depend on what else the machine does. */
async function timed(call: () => Promise<unknown>): Promise<number> {
  const start = process.cpuUsage();
  await call();
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

function largeImages(count: number): Dataset {
  const normalization = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  const labels = Array.from({ length: count }, (_, i) => i % 3);
  return Dataset.fromArrays({ images: pixels(count * 3072), labels, shape: [3, 32, 32], normalization });
}

describe.each(["fit", "extract"] as const)("in a batch of two seconds or more: %s", (task) => {
  let model: ResNet;
  let other: ResNet;
  let data: Dataset;
  let milliseconds: number;

  /** Computes batches of all the data, one after the other. */
  const work = (batches = 1, signal?: AbortSignal): Promise<unknown> => {
    const batchSize = data.length;
    if (task === "fit") return model.fit(data, { epochs: batches, batchSize, learningRate: 0.001, signal });
    const again = Array.from({ length: batches * batchSize }, (_, i) => i % batchSize);
    return model.extract(data.subset(again), { batchSize, signal });
  };

  beforeAll(async () => {
    const { normalization } = largeImages(1);
    model = await tinyNetwork({ inChannels: 3, imageSize: 32, width: 0.25, normalization });
    other = await tinyNetwork();
    data = largeImages(64);
    await work(); // the first of a shape is slower
    for (milliseconds = await timed(() => work()); milliseconds < 2000; milliseconds = await timed(() => work())) {
      data = largeImages(Math.ceil((2300 / milliseconds) * data.length));
    }
  });
  afterAll(() => {
    model.dispose();
    other.dispose();
  });

  test.each([0.1, 0.5, 0.8])("an abort at %d of it is heard in less than a third of it", async (share) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const call = libraryFailureOf(() => work(3, controller.signal));
    await after(share * milliseconds);
    let error: LibtorchOodError | undefined;
    const waited = await timed(async () => {
      controller.abort(reason);
      error = await call;
    });
    expect(error).toMatchObject({ code: "ERR_ABORTED", message: "the operation was aborted", cause: reason });
    expect(error?.stack).toContain("abort.test.ts");
    expect(waited).toBeLessThan(milliseconds / 3);
    expect(model.training).toBe(false);
    expect((await model.extract(data.subset(4))).features.shape).toEqual([4, model.featureDim]);
    expect(await model.fit(data.subset(4), { epochs: 1, learningRate: 0.001 })).toHaveLength(1);
  });

  test("a call that waits for its turn behind it is ended at once, in its third part at most", async () => {
    const ahead = work();
    await after(milliseconds / 10);
    const controller = new AbortController();
    const waiting = [
      () => other.fit(tinyData(16), { epochs: 1, signal: controller.signal }),
      () => other.extract(tinyData(16), { signal: controller.signal }),
      () => other.forward({ data: new Float32Array(64), shape: [1, 1, 8, 8] }, { signal: controller.signal }),
    ].map(libraryFailureOf);
    await after(milliseconds / 10);
    const waited = await timed(async () => {
      controller.abort();
      for (const error of await Promise.all(waiting)) expect(error.code).toBe("ERR_ABORTED");
    });
    expect(waited).toBeLessThan(milliseconds / 3);
    expect(other.training).toBe(false);
    await ahead;
    expect(await other.fit(tinyData(16), { epochs: 1 })).toHaveLength(1);
  });
});

describe("a signal that is aborted already", () => {
  const signal = AbortSignal.abort("no more");

  test("nothing is done: the network stays as it was", async () => {
    const model = await tinyNetwork();
    const before = await weightBytes(model);
    const calls = [
      () => model.fit(tinyData(16), { epochs: 1, signal }),
      () => model.extract(tinyData(16), { signal }),
      () => model.forward({ data: new Float32Array(64), shape: [1, 1, 8, 8] }, { training: true, signal }),
      () => model.extractStream([tinyData(16)], () => undefined, { signal }),
    ];
    for (const call of calls) expect(await libraryFailureOf(call)).toMatchObject({ code: "ERR_ABORTED", cause: "no more" });
    expect(await weightBytes(model)).toEqual(before);
    model.dispose();
  });

  test("an AbortSignal.timeout serves too: its reason is the cause", async () => {
    const model = await tinyNetwork();
    const error = await libraryFailureOf(() => model.fit(tinyData(256), { epochs: 100000, signal: AbortSignal.timeout(50) }));
    expect(error).toMatchObject({ code: "ERR_ABORTED", cause: { name: "TimeoutError" } });
    model.dispose();
  });

  test("an abort after the end changes nothing", async () => {
    const model = await tinyNetwork();
    const controller = new AbortController();
    const history = await model.fit(tinyData(16), { epochs: 1, signal: controller.signal });
    controller.abort();
    expect(history).toHaveLength(1);
    await model.extract(tinyData(4));
    model.dispose();
  });
});

describe("a callback that throws or rejects ends the call with that very error", () => {
  const mine = new RangeError("my own");
  const throwing = () => {
    throw mine;
  };
  const rejecting = () => Promise.reject(mine);
  const later = async () => {
    await after(30);
    throw mine;
  };
  // A thenable that is no Promise of this realm.
  const thenable = () => ({ then: (_: unknown, reject: (error: unknown) => void) => reject(mine) }) as unknown as Promise<void>;
  const callbacks = { throwing, rejecting, later, thenable };
  const names = Object.keys(callbacks) as (keyof typeof callbacks)[];

  let model: ResNet;
  beforeAll(async () => {
    model = await tinyNetwork();
  });
  afterAll(() => model.dispose());

  describe.each(names)("%s", (name) => {
    test.each(["onEpoch", "onBatch"] as const)("%s, many epochs from the end", async (event) => {
      const start = performance.now();
      expect(await failureOf(() => model.fit(tinyData(32), { epochs: 100000, batchSize: 16, [event]: callbacks[name] }))).toBe(mine);
      expect(performance.now() - start).toBeLessThan(5000);
      expect(model.training).toBe(false);
    });

    test("onEpoch, in the last epoch", async () => {
      expect(await failureOf(() => model.fit(tinyData(32), { epochs: 1, onEpoch: callbacks[name] }))).toBe(mine);
    });

    test("onProgress", async () => {
      expect(await failureOf(() => model.extract(tinyData(32), { batchSize: 8, onProgress: callbacks[name] }))).toBe(mine);
    });
  });

  test("no event is delivered after the one that threw", async () => {
    let calls = 0;
    const onEpoch = () => {
      calls++;
      throw mine;
    };
    await failureOf(() => model.fit(tinyData(32), { epochs: 1000, batchSize: 16, onEpoch }));
    await after(50);
    expect(calls).toBe(1);
  });

  test("the call ends only when what the callbacks promised is done", async () => {
    const done: number[] = [];
    await model.fit(tinyData(32), { epochs: 3, onEpoch: ({ epoch }) => after(20).then(() => void done.push(epoch)) });
    expect(done).toEqual([1, 2, 3]);
  });

  test("an abort does not wait for a callback that never ends", async () => {
    const controller = new AbortController();
    const onEpoch = () => {
      controller.abort();
      return new Promise<void>(() => undefined);
    };
    const error = await libraryFailureOf(() => model.fit(tinyData(32), { epochs: 1000, onEpoch, signal: controller.signal }));
    expect(error.code).toBe("ERR_ABORTED");
  });

  test("the network is usable afterwards", async () => {
    expect(await model.fit(tinyData(16), { epochs: 1 })).toHaveLength(1);
    expect((await model.extract(tinyData(4))).logits.shape).toEqual([4, 3]);
  });
});
