// Descriptions in files that nobody of ours wrote: deep or long JSON is refused in a short sentence, soon.

import { Detector, ResNet } from "../../../lib";
import { readSafetensors, writeSafetensors } from "../../../lib/formats/safetensors";
import { detectorOf } from "../../detector/synthetic";
import { temporaryDirectory } from "../../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "./tiny-network";

useOneThread();
const folder = temporaryDirectory();
const files = { network: folder.path("network.safetensors"), detector: folder.path("detector.safetensors") };
let count = 0;

beforeAll(async () => {
  await (await tinyNetwork()).save(files.network);
  await (await detectorOf()).save(files.detector);
});

/** The file with another description. */
async function described(file: string, key: string, change: (text: string) => string): Promise<string> {
  const { tensors, metadata } = await readSafetensors(file);
  const path = folder.path(`changed-${count++}.safetensors`);
  const inputs = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  await writeSafetensors(path, inputs, { metadata: new Map([...metadata, [key, change(metadata.get(key) as string)]]) });
  return path;
}

const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
const changes: [string, (text: string) => string][] = [
  ["6,000 nested arrays", () => deep(6000)],
  ["5,000,000 nested arrays", () => deep(5_000_000)],
  ["nested objects inside", (text) => text.replace(/^\{/, `{"x":${'{"a":'.repeat(6000)}1${"}".repeat(6000)},`)],
  ["a wide array", () => JSON.stringify(Array.from({ length: 100_000 }, () => []))],
  [
    "500,000 wrong class names",
    (text) => JSON.stringify({ ...(JSON.parse(text) as object), classNames: Array.from({ length: 500_000 }, () => 7) }),
  ],
  ["a long text", () => JSON.stringify("x".repeat(5_000_000))],
  ["no JSON, long", () => "x".repeat(5_000_000)],
  [
    "a normalization of many",
    (text) => text.replace(/"normalization":[^}]*\}/, `"normalization":{"mean":[${"1,".repeat(1e5)}1],"std":[1]}`),
  ],
];

describe.each([
  ["ResNet.load", "network", "model", (path: string) => ResNet.load(path)],
  ["Detector.load", "detector", "description", (path: string) => Detector.load(path)],
] as const)("%s", (_, file, key, load) => {
  const applicable = file === "network" ? changes : changes.slice(0, -1);
  test.each(applicable)("%s", async (__, change) => {
    const path = await described(files[file], key, change);
    const start = performance.now();
    const error = await libraryFailureOf(() => load(path));
    expect(performance.now() - start).toBeLessThan(2000);
    expect(error.code).toBe("ERR_CORRUPT_FILE");
    expect(error.message).toContain(path);
    expect(error.message.length).toBeLessThan(500);
  });
});

test("maxImageSize: a network of larger images than the caller allows is refused, of others not", async () => {
  const model = await tinyNetwork();
  const { imageSize } = model.architecture;
  const detector = folder.path("images.safetensors");
  const made = await Detector.fit(model, tinyData(60, "train"), { calibration: tinyData(40, "held out"), score: "max-softmax" });
  await made.save(detector);
  for (const load of [(options: object) => ResNet.load(files.network, options), (options: object) => Detector.load(detector, options)]) {
    (await load({ maxImageSize: imageSize })).dispose();
    (await load({ maxImageSize: Infinity })).dispose();
    const refused = await libraryFailureOf(() => load({ maxImageSize: imageSize - 1 }));
    expect(refused.code).toBe("ERR_RANGE");
    expect(refused.message).toMatch(`at most ${imageSize - 1}×${imageSize - 1} pixels (maxImageSize), found ${imageSize}×${imageSize}`);
    for (const [maxImageSize, code] of [
      [0, "ERR_RANGE"],
      [-1, "ERR_RANGE"],
      [1.5, "ERR_OPTION"],
      [NaN, "ERR_OPTION"],
      ["64", "ERR_OPTION"],
      [null, "ERR_OPTION"],
    ] as const) {
      expect(await libraryFailureOf(() => load({ maxImageSize }))).toMatchObject({ code });
    }
  }
});

test("ResNet.describe: what the file says, without libtorch", async () => {
  const checkpoint = folder.path("checkpoint.safetensors");
  const model = await tinyNetwork();
  await model.fit(tinyData(24), { epochs: 2, batchSize: 12, checkpoint });
  const { architecture, normalization, input, classNames } = model;
  expect(await ResNet.describe(checkpoint)).toEqual({
    ...{ architecture, normalization, input, classNames, preset: undefined, dtype: "float32", epochsDone: 2 },
  });
  expect((await ResNet.describe(files.network)).epochsDone).toBeUndefined();
  expect(await libraryFailureOf(() => ResNet.describe(folder.path("nothing")))).toMatchObject({ code: "ERR_IO" });
  expect(await libraryFailureOf(() => ResNet.describe(files.detector))).toMatchObject({ code: "ERR_CORRUPT_FILE" });
  await jest.isolateModulesAsync(async () => {
    const loadAddon = () => {
      throw new Error("the addon was loaded");
    };
    jest.doMock("../../../lib/native/libtorch/load", () => ({ loadAddon }));
    const alone = jest.requireActual<typeof import("../../../lib")>("../../../lib");
    expect((await alone.ResNet.describe(checkpoint)).architecture).toEqual(architecture);
  });
  jest.dontMock("../../../lib/native/libtorch/load");
});
