// OnnxModel: features, logits and head of models of every form against onnxruntime in Python, and what is refused.

import { appendFileSync, copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { OnnxModel, type LinearHead, type OnnxOptions, type Tensor } from "../../../lib";
import { internals } from "../../../lib/models/extractor";
import { temporaryDirectory } from "../../support/temporary-directory";
import { libraryFailureOf, useOneThread } from "../resnet/tiny-network";
import { expectedValues, images, input, modelPath } from "./models";

useOneThread();

const directory = temporaryDirectory();
const load = (name: string, options: Partial<OnnxOptions> = {}): Promise<OnnxModel> =>
  OnnxModel.load(modelPath(name), { input, threads: 1, ...options });
const numbers = (tensor: Tensor): number[] => Array.from(tensor.toArray(), Number);

/** The same runtime computes the same, up to how it splits the batch among threads. */
function expectClose(found: Tensor, expected: readonly (readonly number[])[], within = 1e-6): void {
  expect(found.shape).toEqual([expected.length, expected[0]!.length]);
  numbers(found).forEach((value, i) => expect(Math.abs(value - expected.flat()[i]!)).toBeLessThan(within));
}

/** features · weightᵀ + bias */
function applied(features: Tensor, { weight, bias }: LinearHead): number[][] {
  const [[rows, d], classes] = [features.shape as [number, number], bias.shape[0]!];
  const [x, w, b] = [numbers(features), numbers(weight), numbers(bias)];
  const row = (n: number) =>
    Array.from({ length: classes }, (_, c) => x.slice(n * d, n * d + d).reduce((sum, v, k) => sum + v * w[c * d + k]!, b[c]!));
  return Array.from({ length: rows }, (_, n) => row(n));
}

// prettier-ignore
test.each(["gemm-13", "gemm-17", "dynamo", "any-size", "fixed-batch", "only-one", "softmax", "argmax", "both", "matmul", "no-bias", "scaled", "transposed", "external"])(
  "%s: the last linear layer is found",
  async (name) => {
    const model = await load(name);
    const expected = expectedValues[name]!;
    const { features, logits, rawFeatures } = await model.extract(images, { batchSize: 3 });
    expect([model.featureDim, model.numClasses, rawFeatures]).toEqual([8, 3, features]);
    expectClose(features, expected.features.values);
    expectClose(logits, expected.logits!.values);
    const head = await model.head();
    expectClose(logits, applied(features, head!), 1e-5);
    model.dispose();
  },
);

// A half float has 11 bits, a bfloat16 has 8; the weights are what the file holds, to the last of them.
test.each(["float16-head", "bfloat16-head"])("%s: weights of half precision are read", async (name) => {
  const model = await load(name);
  const { features, logits } = await model.extract(images);
  expectClose(logits, expectedValues[name]!.logits!.values);
  expectClose(logits, applied(features, (await model.head())!), 1e-5);
  model.dispose();
});

test("quantised weights: features and logits are found, the head is not read", async () => {
  const model = await load("quantized");
  const { features, logits } = await model.extract(images);
  expectClose(features, expectedValues.quantized!.features.values);
  expectClose(logits, expectedValues.quantized!.logits!.values);
  expect(await model.head()).toBeUndefined();
  model.dispose();
});

describe("values by name", () => {
  test("features of a model without a linear layer", async () => {
    for (const name of ["embeddings", "no-linear"]) {
      const { features: expected } = expectedValues[name]!;
      const model = await load(name, { features: expected.name });
      const { features } = await model.extract(images, { outputs: ["features"] });
      expectClose(features, expected.values);
      expect([model.numClasses, await model.head(), model.describe().features]).toEqual([undefined, undefined, expected.name]);
      expect(await libraryFailureOf(() => model.extract(images))).toMatchObject({ code: "ERR_OPTION" });
      model.dispose();
    }
  });

  test("the logits of one head of two", async () => {
    const [first, second] = [await load("two-heads", { logits: "logits" }), await load("two-heads", { logits: "other" })];
    expect([first.numClasses, second.numClasses]).toEqual([3, 2]);
    const { features, logits } = await second.extract(images);
    expectClose(logits, applied(features, (await second.head())!), 1e-5);
    first.dispose();
    second.dispose();
  });

  test("earlier features beside the model's logits", async () => {
    const model = await load("gemm-17", { features: expectedValues["gemm-17"]!.logits!.name });
    expect([model.featureDim, model.numClasses, await model.head()]).toEqual([3, 3, undefined]);
    model.dispose();
  });

  test("pooled features of a model whose own last layer gives no row per image", async () => {
    const model = await load("per-place", { features: "/body.5/Flatten_output_0" });
    expect([model.featureDim, model.numClasses, await model.head()]).toEqual([8, undefined, undefined]);
    const { features } = await model.extract(images, { outputs: ["features"] });
    expectClose(features, expectedValues["gemm-17"]!.features.values);
    model.dispose();
  });

  // prettier-ignore
  const wrong: [string, string, Partial<OnnxOptions>, string, RegExp][] = [
    ["no linear layer", "no-linear", {}, "ERR_OPTION", /expected one last linear layer, found no Gemm or MatMul .* outputs logits; name values/],
    ["embeddings alone", "embeddings", {}, "ERR_OPTION", /expected one last linear layer/],
    ["two heads", "two-heads", {}, "ERR_OPTION", /found 2, which give logits, other/],
    ["a value that is not there", "gemm-17", { features: "pooled" }, "ERR_OPTION", /^features: expected the name of a value in .*logits, found "pooled"/],
    ["a row per place", "per-place", {}, "ERR_SHAPE", /features: expected .* to give \[2, d\], one row per image, found \[2, 64, 8\]/],
    ["integers", "argmax", { features: "logits" }, "ERR_DTYPE", /features: expected .* to give float32 or float64, found int64/],
    ["images of another size", "gemm-17", { input: { ...input, size: 20 } }, "ERR_SHAPE", /input: expected the model's own images \[n, 3, 16, 16\] .*found \[N, 3, 20, 20\]/],
    ["grey images", "any-size", { input: { channels: 1, size: 16, mean: [0], std: [1] } }, "ERR_SHAPE", /found \[N, 1, 16, 16\]/],
    ["an input of bytes", "bytes-input", {}, "ERR_DTYPE", /whose input "images" is float32, found uint8/],
    ["two inputs", "two-inputs", {}, "ERR_OPTION", /a model of one input, found "images", "scale"/],
    ["an unknown operator", "unknown-operator", {}, "ERR_OPTION", /onnxruntime does not run this model: .*Convolve/],
    ["a later version of ONNX", "future", {}, "ERR_OPTION", /onnxruntime does not run this model: .*999/],
    ["class names of other classes", "gemm-17", { classNames: ["a", "b"] }, "ERR_SHAPE", /classNames: expected 3 names/],
    ["no preprocessing", "gemm-17", { input: undefined }, "ERR_OPTION", /^input/],
    ["an unknown option", "gemm-17", { output: "x" } as object, "ERR_OPTION", /unknown option "output"/],
    ["an unknown provider", "gemm-17", { executionProviders: ["gpu" as "cuda"] }, "ERR_OPTION", /^executionProviders\[0\]/],
    ["an unknown device", "gemm-17", { device: "cuda:x" }, "ERR_DEVICE", /^device/],
    ["no threads", "gemm-17", { threads: 0 }, "ERR_RANGE", /^threads/],
  ];
  test.each(wrong)("%s", async (_, name, options, code, message) => {
    const error = await libraryFailureOf(() => load(name, options));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  test("NaN is found when it comes", async () => {
    const model = await load("nan");
    const error = await libraryFailureOf(() => model.extract(images, { batchSize: 2 }));
    expect(error).toMatchObject({
      code: "ERR_NON_FINITE",
      message: "batch 1 (images 0 to 1): features[0]: expected finite numbers, found NaN",
    });
    model.dispose();
  });

  test("any size that the model takes", async () => {
    const model = await load("any-size", { input: { ...input, size: 24 } });
    const { features } = await model.extract({ data: new Uint8Array(2 * 3 * 24 * 24), shape: [2, 3, 24, 24] });
    expect(features.shape).toEqual([2, 8]);
    model.dispose();
  });
});

describe("foreign and damaged files", () => {
  const whole = readFileSync(modelPath("gemm-17"));
  const failure = (bytes: Uint8Array) => libraryFailureOf(() => OnnxModel.load(bytes, { input }));

  // prettier-ignore
  test.each([
    ["an HTML page", Buffer.from("<!DOCTYPE html><html></html>"), /found an HTML page/],
    ["a TorchScript archive", Buffer.concat([Buffer.from("PK\x03\x04"), Buffer.alloc(60)]), /found a/],
    ["text", Buffer.from("not a model at all, but a text\n"), /found text that begins/],
    ["an empty file", Buffer.alloc(0), /found an empty file/],
    ["a message without a graph", Buffer.from([0x08, 0x08]), /found a message without a graph/],
    ["a picture", Buffer.from("\x89PNG\r\n\x1a\n0000", "latin1"), /found a PNG image/],
  ])("%s", async (_, bytes, message) => {
    expect(await failure(bytes)).toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringMatching(message) });
  });

  test("a model that is cut anywhere", async () => {
    for (let length = 1; length < whole.length; length += Math.ceil(whole.length / 12)) {
      const { code, message } = await failure(whole.subarray(0, length));
      expect([length, code]).toEqual([length, "ERR_CORRUPT_FILE"]);
      expect(message).toMatch(/^model: expected an ONNX model/);
    }
  });

  test("random changes end in errors of the library or in a model, never otherwise", async () => {
    for (let i = 0; i < 6; i++) {
      const bytes = Buffer.from(whole);
      for (let k = 0; k < 8; k++) bytes[Math.imul(i * 8 + k, 2654435761) >>> (0 % bytes.length)] = (i * 89 + k * 31) & 255;
      const result = await OnnxModel.load(bytes, { input, threads: 1 }).catch((error: unknown) => error);
      if (result instanceof OnnxModel) result.dispose();
      else expect((result as { code?: string }).code).toMatch(/^ERR_(CORRUPT_FILE|OPTION|SHAPE|DTYPE|INTERNAL)$/);
    }
  });

  test("dimensions that claim more than there is allocate nothing", async () => {
    // The dims of the last layer's weight, [3, 8], become [2^35, 8]; onnxruntime refuses it too.
    const at = whole.lastIndexOf(Buffer.from([0x08, 0x03, 0x08, 0x08, 0x10, 0x01]));
    expect(at).toBeGreaterThan(0);
    const bytes = Buffer.from(whole);
    bytes[at + 1] = 127;
    expect(await failure(bytes)).toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining("1016 numbers") });
  });

  test("a file that is not there, and a folder", async () => {
    for (const path of [directory.path("none.onnx"), dirname(modelPath("gemm-17"))]) {
      expect(await libraryFailureOf(() => OnnxModel.load(path, { input }))).toMatchObject({ code: "ERR_IO" });
    }
    expect(await libraryFailureOf(() => OnnxModel.load(7 as unknown as string, { input }))).toMatchObject({ code: "ERR_OPTION" });
  });

  test("weights in a file of their own: missing, cut, and outside the folder", async () => {
    mkdirSync(directory.path("external"));
    const at = (name: string) => join(directory.path("external"), name);
    copyFileSync(modelPath("external"), at("external.onnx"));
    const failed = () => libraryFailureOf(() => OnnxModel.load(at("external.onnx"), { input }));
    expect(await failed()).toMatchObject({ code: "ERR_IO", message: expect.stringContaining("external.onnx.data") });
    copyFileSync(`${modelPath("external")}.data`, at("external.onnx.data"));
    truncateSync(at("external.onnx.data"), 100);
    expect((await failed()).code).toMatch(/^ERR_(CORRUPT_FILE|OPTION)$/);
    const bytes = readFileSync(modelPath("external"));
    const error = await failure(bytes);
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("the path of a model whose weights lie in files") });
    writeFileSync(
      at("external.onnx"),
      Buffer.from(bytes.toString("latin1").replaceAll("external.onnx.data", "../xternal.onnx.da"), "latin1"),
    );
    expect(await failed()).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringContaining("files of weights beside the model"),
    });
  });
});

describe("handles", () => {
  test("calls in flight outlive disposal; copies live on; an abort leaves the model usable", async () => {
    const model = await load("gemm-17", { classNames: ["a", "b", "c"] });
    const call = model.extract(images);
    const copy = await model[internals].copy();
    model.dispose();
    model.dispose();
    expect([model.disposed, copy.disposed, copy.classNames]).toEqual([true, false, ["a", "b", "c"]]);
    expect(await libraryFailureOf(() => model.extract(images))).toMatchObject({ code: "ERR_DISPOSED" });
    expect(await libraryFailureOf(() => model.head())).toMatchObject({ code: "ERR_DISPOSED" });
    expect((await call).features.shape).toEqual([5, 8]);
    expect(await libraryFailureOf(() => copy.extract(images, { signal: AbortSignal.abort("enough") }))).toMatchObject({
      code: "ERR_ABORTED",
    });
    const controller = new AbortController();
    const onProgress = () => controller.abort("later");
    expect(await libraryFailureOf(() => copy.extract(images, { batchSize: 1, signal: controller.signal, onProgress }))).toMatchObject({
      code: "ERR_ABORTED",
    });
    const all = await Promise.all([1, 2, 5].map((batchSize) => copy.extract(images, { batchSize })));
    for (const { features } of all) expectClose(features, expectedValues["gemm-17"]!.features.values);
    copy.dispose();
  });

  test("bytes are taken at the call", async () => {
    const bytes = readFileSync(modelPath("gemm-17"));
    const loading = OnnxModel.load(bytes, { input, threads: 1 });
    bytes.fill(0);
    const model = await loading;
    expectClose((await model.extract(images)).features, expectedValues["gemm-17"]!.features.values);
    expect(model.describe().path).toBeUndefined();
    model.dispose();
  });

  test("what a detector's file says brings the model back, as long as it is the same", async () => {
    const path = directory.path("model.onnx");
    copyFileSync(modelPath("gemm-17"), path);
    const model = await OnnxModel.load(path, { input, threads: 1, classNames: ["a", "b", "c"] });
    const { sha256, path: said, kind, featureDim, numClasses, features } = model.describe();
    expect({ said, kind, featureDim, numClasses, features }).toEqual({
      said: path,
      kind: "onnx",
      featureDim: 8,
      numClasses: 3,
      features: undefined,
    });
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    const stored = JSON.parse(JSON.stringify(model[internals].stored())) as object;
    const again = await OnnxModel.restore("detector.safetensors", stored, "cpu");
    expect([again.input, again.classNames, again.describe().sha256]).toEqual([model.input, model.classNames, sha256]);
    for (const { features } of await Promise.all([model.extract(images), again.extract(images)])) {
      expectClose(features, expectedValues["gemm-17"]!.features.values);
    }
    model.dispose();
    again.dispose();
    appendFileSync(path, Buffer.from([0x32, 0x01, 0x61])); // another doc_string
    const changed = await libraryFailureOf(() => OnnxModel.restore("detector.safetensors", stored, "cpu"));
    expect(changed).toMatchObject({
      code: "ERR_CORRUPT_FILE",
      message: expect.stringMatching(/model\.onnx: expected the model that detector\.safetensors was made with/),
    });
    const gone = await libraryFailureOf(() =>
      OnnxModel.restore("detector.safetensors", { ...stored, path: directory.path("gone.onnx") }, "cpu"),
    );
    expect(gone).toMatchObject({ code: "ERR_IO", message: expect.stringMatching(/^detector\.safetensors needs its model: .*gone\.onnx/) });
    for (const damaged of [null, {}, { ...stored, sha256: 7 }, { ...stored, input: { size: 0 } }]) {
      const error = await libraryFailureOf(() => OnnxModel.restore("detector.safetensors", damaged, "cpu"));
      expect(error.code).toMatch(/^ERR_(CORRUPT_FILE|RANGE|OPTION)$/);
    }
  });
});
