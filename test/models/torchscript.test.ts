// TorchScript files: features, logits and head equal PyTorch's hooks; odd files and odd models end in errors that say what to do.

import fs from "node:fs";
import path from "node:path";
import { isLibtorchOodError, Tensor, TorchScriptModel, type TorchScriptOptions } from "../../lib";
import { internals } from "../../lib/models/extractor";
import { native } from "../../lib/native/surface";
import { temporaryDirectory } from "../support/temporary-directory";

interface Case {
  file: string;
  option: string | null;
  features: number[][];
  logits: number[][] | null;
  weight: number[][] | null;
  bias: number[] | null;
}

const folder = path.join(__dirname, "../reference/torchscript");
const reference = JSON.parse(fs.readFileSync(`${folder}.json`, "utf8")) as { mean: number[]; std: number[]; cases: Record<string, Case> };
const input = { size: 16, mean: reference.mean, std: reference.std };
const file = (name: string): string => path.join(folder, `${name}.pt`);
const directory = temporaryDirectory();

function images(count = 2, size = 16): Tensor {
  return Tensor.from(
    Uint8Array.from({ length: count * 3 * size * size }, (_, i) => (i * 37) % 256),
    [count, 3, size, size],
  );
}

const load = (name: string, options: Partial<TorchScriptOptions> = {}): Promise<TorchScriptModel> =>
  TorchScriptModel.load(file(name), { input, ...options });

async function codeAndMessage(call: Promise<unknown>): Promise<[string, string]> {
  try {
    await call;
  } catch (error) {
    if (isLibtorchOodError(error)) return [error.code, error.message];
    throw error;
  }
  throw new Error("expected an error");
}

/** Largest difference, relative to the largest value. */
function difference(found: Tensor, expected: readonly number[][]): number {
  const values = expected.flat();
  const array = found.toArray() as Float32Array;
  expect(found.shape).toEqual([expected.length, expected[0]?.length]);
  const largest = Math.max(...values.map(Math.abs));
  return Math.max(...values.map((value, i) => Math.abs(value - (array[i] as number)))) / largest;
}

describe("features, logits and head", () => {
  // float32 sums in another order, and batch norm folded into the convolutions
  test.each(Object.entries(reference.cases))("of %s equal PyTorch's", async (_, { file: name, option, features, logits, weight, bias }) => {
    const model = await TorchScriptModel.load(path.join(folder, name), { input, ...(option === null ? {} : { features: option }) });
    const outputs = logits === null ? (["features"] as const) : (["features", "logits"] as const);
    const found = await model.extract(images(), { outputs: [...outputs], batchSize: 1 });
    const precision = name === "half.pt" ? 1e-2 : 1e-5;
    expect(difference(found.features as Tensor, features)).toBeLessThan(precision);
    expect(model.featureDim).toBe(features[0]?.length);
    expect(model.numClasses).toBe(logits?.[0]?.length);
    if (logits !== null) expect(difference(found.logits as Tensor, logits)).toBeLessThan(precision);
    const head = await model.head();
    if (weight === null) {
      expect(head).toBeUndefined();
    } else {
      expect(difference(head?.weight as Tensor, weight)).toBeLessThan(1e-6);
      expect(Array.from(head?.bias.toArray() as Float64Array)).toEqual(bias ?? weight.map(() => 0));
    }
    model.dispose();
  });

  test("are the same in the first run and the third", async () => {
    const model = await load("classifier-scripted");
    const runs = [];
    for (let run = 0; run < 3; run++) runs.push((await model.extract(images())).logits.toArray());
    expect(runs[2]).toEqual(runs[0]);
  });

  test("do not need the logits, and raw features are the features", async () => {
    const model = await load("classifier-traced");
    const { rawFeatures } = await model.extract(images(), { outputs: ["rawFeatures"] });
    expect(difference(rawFeatures, reference.cases["classifier-traced"]?.features as number[][])).toBeLessThan(1e-5);
  });

  test("in bfloat16 are those of float32 to two digits", async () => {
    const model = await load("classifier-traced");
    const { features, precision } = await model.extract(images(), { precision: "bfloat16" });
    expect(precision).toBe("bfloat16");
    expect(features.dtype).toBe("float32");
    expect(difference(features, reference.cases["classifier-traced"]?.features as number[][])).toBeLessThan(0.03);
  });

  test("of images of another size that the model takes", async () => {
    const model = await load("classifier-traced");
    const { features } = await model.extract(images(3, 20));
    expect(features.shape).toEqual([3, 8]);
  });

  test("come by chunks of a stream, and labels with them", async () => {
    const model = await load("classifier-traced");
    const rows: number[] = [];
    const chunks = [images(2), { images: images(3), labels: Int32Array.from([0, 1, 2]) }];
    const { count } = await model.extractStream(chunks, ({ features }) => void rows.push(features.shape[0] as number));
    expect([count, rows]).toEqual([5, [2, 3]]);
  });
});

describe("a model", () => {
  test("says what it is", async () => {
    const model = await load("classifier-traced", { features: "trunk", classNames: ["a", "b", "c", "d", "e"] });
    const { sha256, ...rest } = model.describe();
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(rest).toEqual({
      ...{ kind: "torchscript", featureDim: 8, numClasses: 5, features: "trunk", path: file("classifier-traced") },
      classNames: ["a", "b", "c", "d", "e"],
      input: model.input,
    });
    expect(model.input.resizeTo).toBe(16);
  });

  test("lives on in its copy, and in calls that have begun", async () => {
    const model = await load("classifier-traced");
    const copy = await model[internals].copy();
    const running = model.extract(images());
    model.dispose();
    model.dispose();
    expect(model.disposed).toBe(true);
    await expect(model.extract(images())).rejects.toMatchObject({ code: "ERR_DISPOSED" });
    await expect((async () => model.head())()).rejects.toMatchObject({ code: "ERR_DISPOSED" });
    const { logits } = await copy.extract(images());
    expect((await running).logits.toArray()).toEqual(logits.toArray());
    copy.dispose();
  });

  test("tells the collector of its weights, and gives them back", async () => {
    const model = await load("probabilities-traced");
    const before = native().externalMemory();
    model.dispose();
    const weights = 4 * (4 * 27 + 8 * 36 + 8 * 128 + 5 * 8); // of the convolutions and linear layers alone
    expect(before - native().externalMemory()).toBeGreaterThanOrEqual(weights);
  });

  test("comes back for a detector's file, and is refused where the file is another", async () => {
    const model = await load("classifier-traced", { features: "trunk" });
    const stored = model[internals].stored() as Parameters<typeof TorchScriptModel.restore>[1];
    const again = await TorchScriptModel.restore("detector.safetensors", stored, "cpu");
    expect(again.describe()).toEqual(model.describe());
    const [code, message] = await codeAndMessage(
      TorchScriptModel.restore("detector.safetensors", { ...stored, path: file("embedding") }, "cpu"),
    );
    expect([code, message]).toEqual(["ERR_CORRUPT_FILE", expect.stringMatching(/the model that detector.safetensors was made with/)]);
    await expect(TorchScriptModel.restore("d", { ...stored, path: "missing.pt" }, "cpu")).rejects.toMatchObject({ code: "ERR_IO" });
  });

  test("ends with an abort, between batches and while it is loaded", async () => {
    const model = await load("classifier-traced");
    const controller = new AbortController();
    const running = model.extract(images(32, 256), {
      batchSize: 1,
      signal: controller.signal,
      onProgress: () => controller.abort("enough"),
    });
    await expect(running).rejects.toMatchObject({ code: "ERR_ABORTED", cause: "enough" });
    await expect(load("classifier-traced", { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED" });
  });
});

describe("refuses, and says what to do:", () => {
  const models: [name: string, options: Partial<TorchScriptOptions>, code: string, message: RegExp][] = [
    ["tuple", {}, "ERR_OPTION", /gives a tuple.*"output\.0", "output\.1"/],
    ["dictionary", {}, "ERR_OPTION", /gives a dictionary.*"output\.logits", "output\.embedding"/],
    ["tuple", { features: "output" }, "ERR_OPTION", /a tuple; name one of "output\.0"/],
    ["two-heads", {}, "ERR_OPTION", /2 linear layers reach the output side by side/],
    ["projection", {}, "ERR_OPTION", /not that of its last linear layer.*"output"/],
    ["maps", {}, "ERR_OPTION", /no linear layer/],
    ["integer", {}, "ERR_OPTION", /not that of its last linear layer but of aten::argmax/],
    ["integer", { features: "output" }, "ERR_DTYPE", /expected floating numbers, found int64/],
    ["fixed-batch", {}, "ERR_OPTION", /does not take pictures of shape \[2, 3, 16, 16\]/],
    ["two-inputs", {}, "ERR_OPTION", /another argument, "mask"/],
    ["training", {}, "ERR_OPTION", /traced in training mode.*model\.eval\(\)/],
    ["unknown-operator", {}, "ERR_OPTION", /the operator somewhere::suppress, which libtorch does not have/],
    ["writing", {}, "ERR_OPTION", /calls save, which opens files/],
    ["state-dict", {}, "ERR_CORRUPT_FILE", /weights or a pickled object.*torch\.jit\.trace/],
    ["classifier-traced", { features: "layer9" }, "ERR_OPTION", /found "layer9".*its submodules are trunk, dropout, fc/],
    ["classifier-traced", { input: { ...input, channels: 1, mean: [0], std: [1] } }, "ERR_OPTION", /does not take pictures.*channels/],
    ["embedding", { classNames: ["a"] }, "ERR_OPTION", /classNames: expected none/],
    ["classifier-traced", { classNames: ["a"] }, "ERR_SHAPE", /classNames: expected 5/],
    ["classifier-traced", { device: "cuda:99" }, "ERR_DEVICE", /unavailable/],
    ["missing", {}, "ERR_IO", /cannot open/],
  ];
  test.each(models)("%s %j", async (name, options, code, message) => {
    expect(await codeAndMessage(load(name, options))).toEqual([code, expect.stringMatching(message)]);
  });

  test("a model without input", async () => {
    const nothing = {} as TorchScriptOptions;
    await expect(TorchScriptModel.load(file("classifier-traced"), nothing)).rejects.toMatchObject({ code: "ERR_OPTION" });
    await expect(TorchScriptModel.load(file("classifier-traced"), { input, dtype: "x" } as never)).rejects.toMatchObject({
      code: "ERR_OPTION",
    });
  });

  test("logits of a model without them, and NaN", async () => {
    const embedding = await load("embedding");
    await expect(embedding.extract(images())).rejects.toMatchObject({ code: "ERR_OPTION" });
    const model = await load("nan");
    const [code, message] = await codeAndMessage(model.extract(images()));
    expect([code, message]).toEqual(["ERR_NON_FINITE", expect.stringMatching(/^features/)]);
  });

  test("files cut short and files of other kinds", async () => {
    const whole = fs.readFileSync(file("classifier-traced"));
    const others: [string, Uint8Array, RegExp][] = [
      ["empty.pt", whole.subarray(0, 0), /an empty file/],
      ["cut.pt", whole.subarray(0, whole.length - 40), /damaged or truncated/],
      ["half.pt", whole.subarray(0, whole.length / 2), /damaged or truncated/],
      ["pickle.pt", Uint8Array.of(0x80, 2, 0x8a), /a pickle/],
      ["image.pt", Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 1, 2, 3), /another format/],
    ];
    for (const [name, bytes, message] of others) {
      const at = directory.path(name);
      fs.writeFileSync(at, bytes);
      const found = await codeAndMessage(TorchScriptModel.load(at, { input }));
      expect(found).toEqual(["ERR_CORRUPT_FILE", expect.stringMatching(message)]);
    }
  });

  test("files with any byte changed, or takes them", async () => {
    const whole = fs.readFileSync(file("classifier-traced"));
    const at = directory.path("changed.pt");
    let refused = 0;
    for (let place = 5; place < whole.length; place += 331) {
      const changed = Buffer.from(whole);
      changed[place] = (changed[place] as number) ^ 0x55;
      fs.writeFileSync(at, changed);
      try {
        (await TorchScriptModel.load(at, { input })).dispose();
      } catch (error) {
        expect(isLibtorchOodError(error) && error.code).toMatch(/^ERR_(CORRUPT_FILE|OPTION|DTYPE|SHAPE|INTERNAL|OUT_OF_MEMORY)$/);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(0);
  });
});
