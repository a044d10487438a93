// What becomes of a picture is part of a network: set by options and by hand, kept by files and copies, and refused where it does not fit.

import { Dataset, Detector, ResNet } from "../../../lib";
import { internals } from "../../../lib/models/extractor";
import { readSafetensors, writeSafetensors } from "../../../lib/formats/safetensors";
import { temporaryDirectory } from "../../support/temporary-directory";
import { pixels } from "./closed-formula";
import { libraryFailureOf, tinyArchitecture, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const large = { numClasses: 2, width: 1 / 16, stem: "imagenet" } as const;
const bicubic = {
  size: 48,
  resizeTo: 60,
  kernel: "bicubic",
  resize: "squash",
  antialias: false,
  mean: [0.1, 0.2, 0.3],
  std: [1, 2, 3],
} as const;

test("without a normalisation there is none; with one the shorter side becomes the network's, the middle is kept", async () => {
  const model = await ResNet.create(tinyArchitecture);
  expect(model.input).toBeUndefined();
  model.normalization = { mean: [0.4], std: [0.3] };
  const usual = { channels: 1, size: 8, resize: "center-crop", resizeTo: 8, kernel: "bilinear", antialias: true, mean: [0.4], std: [0.3] };
  expect(model.input).toEqual(usual);
  model.input = { size: 8, channels: 1, resizeTo: 12, mean: [0.5], std: [1] };
  expect(model.input).toEqual({ ...usual, resizeTo: 12, mean: [0.5], std: [1] });
  expect(model.normalization).toEqual({ mean: [0.5], std: [1] });
  model.normalization = { mean: [0.1], std: [2] };
  expect(model.input).toEqual({ ...usual, resizeTo: 12, mean: [0.1], std: [2] });
});

test("an option of create, by name or whole; its size is that of the network", async () => {
  const named = await ResNet.create({ ...large, input: "imagenet" });
  expect([named.architecture.imageSize, named.input?.resizeTo]).toEqual([224, 256]);
  const whole = await ResNet.create({ ...large, input: bicubic });
  expect([whole.architecture.imageSize, whole.input]).toEqual([48, { channels: 3, ...bicubic }]);
  const both = await ResNet.create({ ...large, imageSize: 64, input: bicubic });
  expect([both.architecture.imageSize, both.input?.size]).toEqual([64, 48]);
});

test("files, detectors and copies keep it", async () => {
  const model = await ResNet.create({ ...large, input: bicubic });
  await model.save(directory.path("model.safetensors"));
  const { input } = model;
  expect((await ResNet.load(directory.path("model.safetensors"))).input).toEqual(input);
  expect((await ResNet.describe(directory.path("model.safetensors"))).input).toEqual(input);
  expect((await model[internals].copy()).input).toEqual(input);
  expect((await model.withHead(["a", "b", "c"])).input).toEqual(input);
  const data = Dataset.fromArrays({
    images: pixels(40 * 3 * 16 * 12),
    labels: Int32Array.from({ length: 40 }, (_, i) => i % 2),
    shape: [3, 16, 12],
  });
  const { train, validation } = data.split(0.5, 1);
  const detector = await Detector.fit(model, train, { calibration: validation, score: "energy" });
  await detector.save(directory.path("detector.safetensors"));
  expect((await Detector.load(directory.path("detector.safetensors"))).model?.input).toEqual(input);
});

test("a limit of the image size holds for the pictures too", async () => {
  const model = await ResNet.create({ ...large, imageSize: 16, input: bicubic });
  await model.save(directory.path("sizes.safetensors"));
  (await ResNet.load(directory.path("sizes.safetensors"), { maxImageSize: 48 })).dispose();
  const error = await libraryFailureOf(() => ResNet.load(directory.path("sizes.safetensors"), { maxImageSize: 47 }));
  expect(error).toMatchObject({ code: "ERR_RANGE", message: expect.stringMatching(/at most 47×47 pixels .* found 48×48$/) as string });
});

test.each([
  ["another number of channels", { input: "imagenet" }, "ERR_SHAPE", "input.channels: expected 1, as the network has, found 3"],
  [
    "another size",
    { input: { size: 9, channels: 1, mean: [0], std: [1] } },
    "ERR_SHAPE",
    "input.size: expected 8, as the network has, found 9",
  ],
  [
    "a normalization beside it",
    { input: "cifar10", normalization: { mean: [0], std: [1] } },
    "ERR_OPTION",
    "input: expected no normalization",
  ],
  ["an unknown name", { input: "imagenet1k" }, "ERR_OPTION", "input: expected one of imagenet"],
] as const)("%s is refused", async (_, options, code, message) => {
  const error = await libraryFailureOf(() => ResNet.create({ ...tinyArchitecture, ...options } as Parameters<typeof ResNet.create>[0]));
  expect([error.code, error.message.slice(0, message.length)]).toEqual([code, message]);
});

test("the stem of ImageNet takes images of any height and width, that of CIFAR none but its own", async () => {
  const model = await ResNet.create({ ...large, input: "imagenet" });
  for (const [height, width] of [
    [1, 1],
    [3, 40],
    [224, 100],
  ] as const) {
    const { features } = await model.extract({ data: pixels(2 * 3 * height * width), shape: [2, 3, height, width] });
    expect(features.shape).toEqual([2, 32]);
  }
  const empty = await libraryFailureOf(() => model.extract({ data: new Uint8Array(0), shape: [2, 3, 0, 5] }));
  expect([empty.code, empty.message]).toEqual(["ERR_SHAPE", "images: expected shape [N, 3, height, width], found [2, 3, 0, 5]"]);
  const grey = await libraryFailureOf(() => model.extract({ data: pixels(64), shape: [1, 1, 8, 8] }));
  expect(grey.message).toBe("images: expected shape [N, 3, height, width], found [1, 1, 8, 8]");
  const small = await tinyNetwork();
  expect((await libraryFailureOf(() => small.extract({ data: pixels(81), shape: [1, 1, 9, 9] }))).code).toBe("ERR_SHAPE");
});

test("a file that says nothing of stem and geometry, as version 0.1 wrote them, has the stem of CIFAR and the usual geometry", async () => {
  const model = await tinyNetwork();
  await model.save(directory.path("new.safetensors"));
  const { tensors, metadata } = await readSafetensors(directory.path("new.safetensors"));
  const described = JSON.parse(metadata.get("model") as string) as { geometry?: unknown; architecture: { stem?: string } };
  delete described.geometry;
  delete described.architecture.stem;
  const list = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  const older = { ...Object.fromEntries(metadata), model: JSON.stringify(described) };
  await writeSafetensors(directory.path("old.safetensors"), list, { metadata: older });
  const loaded = await ResNet.load(directory.path("old.safetensors"));
  expect([loaded.architecture, loaded.input]).toEqual([model.architecture, model.input]);
  expect(await weightBytes(loaded)).toEqual(await weightBytes(model));
});
