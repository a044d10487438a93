// A network that the machine has no room for is refused before it is made; large images and long warm-ups are no surprise.

import { ResNet } from "../../../lib";
import { internals } from "../../../lib/models/extractor";
import { resolveArchitecture } from "../../../lib/models/resnet/architecture";
import { countElements, tensorsOf } from "../../../lib/models/resnet/tensor-shapes";
import { temporaryDirectory } from "../../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const folder = temporaryDirectory();

test.each([
  { width: 0.25, imageSize: 9 },
  { width: 0.1, inChannels: 1, imageSize: 8, spectralNorm: false, avgPoolShortcut: false },
  { depth: 50, width: 0.0625, imageSize: 16 },
  { depth: 50, width: 0.0625, imageSize: 5, featureDim: 24, avgPoolShortcut: false, numClasses: 7 },
] as const)("the tensors of %j are described as they are made", async (options) => {
  const model = await ResNet.create({ numClasses: 3, ...options });
  const made = [...(await model.weights())].map(([name, { shape, dtype }]) => ({ name, shape, dtype }));
  const architecture = resolveArchitecture({ numClasses: 3, ...options });
  expect(tensorsOf(architecture)).toEqual(made);
  const sizes = made.map(({ shape }) => shape.reduce((a, b) => a * b, 1));
  expect(countElements(architecture)).toBe(sizes.reduce((a, b) => a + b));
});

test("a network of a terabyte is described at once, in no memory", () => {
  const before = process.memoryUsage.rss();
  const start = performance.now();
  expect(countElements(resolveArchitecture({ numClasses: 1 << 20, depth: 50, width: 64, featureDim: 1 << 20 }))).toBeGreaterThan(2 ** 40);
  expect(performance.now() - start).toBeLessThan(1000);
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20);
});

test.each([
  [
    { width: 64 },
    /^width: .*found a ResNet18 of width 64 with \d+ million weights, which takes \d+\.\d GiB.*width is a factor of the planes \(1 is 64 planes/,
  ],
  [{ depth: 50, width: 32 }, /^width: /],
  [{ numClasses: 1 << 20, featureDim: 1 << 20 }, /GiB/],
] as const)("%j is refused at once", async (options, message) => {
  const start = performance.now();
  const error = await libraryFailureOf(() => ResNet.create({ numClasses: 10, ...options }));
  expect(error).toMatchObject({ code: "ERR_OUT_OF_MEMORY", message: expect.stringMatching(message) as string });
  expect(performance.now() - start).toBeLessThan(1000);
});

test("images of 224 pixels are warned of, with figures, once; those of 64 are not", async () => {
  const emitted = jest.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  for (let i = 0; i < 2; i++) (await ResNet.create({ numClasses: 2, width: 1 / 64, imageSize: 224 })).dispose();
  (await ResNet.create({ numClasses: 2, width: 1 / 64, imageSize: 64 })).dispose();
  const expected = /^imageSize: 224 pixels go through the CIFAR stem.* 772 ms and 932 MiB per image.* 49 times/;
  expect(emitted.mock.calls).toEqual([
    [expect.stringMatching(expected), { type: "LibtorchOodWarning", code: "LIBTORCH_OOD_LARGE_IMAGES" }],
  ]);
  emitted.mockRestore();
});

describe("warm-up of the spectral norm", () => {
  const warm = { spectralNorm: { warmupIterations: 100_000 } } as const;

  test("can be aborted, and others have their turns meanwhile", async () => {
    const controller = new AbortController();
    const long = tinyNetwork({ ...warm, signal: controller.signal });
    const failure = libraryFailureOf(() => long);
    (await tinyNetwork()).dispose();
    controller.abort();
    const start = performance.now();
    expect((await failure).code).toBe("ERR_ABORTED");
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test("is not repeated where weights follow: load and a detector's copy take no time by it", async () => {
    const model = await tinyNetwork({ spectralNorm: { warmupIterations: 3 } });
    model.normalization = tinyData(1).normalization;
    // As if it had been made with 100,000.
    Object.assign(model.architecture.spectralNorm, { warmupIterations: 100_000 });
    const file = folder.path("warm.safetensors");
    await model.save(file);
    const start = performance.now();
    const [loaded, copy] = [await ResNet.load(file), (await model[internals].copy()) as ResNet];
    expect(performance.now() - start).toBeLessThan(3000);
    for (const other of [loaded, copy]) {
      expect(other.architecture).toEqual(model.architecture);
      expect(await weightBytes(other)).toEqual(await weightBytes(model));
    }
  });

  test("an iteration more moves the vectors, as many as were asked for are made", async () => {
    const vectors = async (warmupIterations: number) =>
      (await weightBytes(await tinyNetwork({ spectralNorm: { warmupIterations } })))["layer2.0.conv1.weight_v"];
    const [none, one, again, two] = [await vectors(0), await vectors(1), await vectors(1), await vectors(2)];
    expect(one).toBe(again);
    expect(new Set([none, one, two]).size).toBe(3);
  });
});
