// precision: "auto" takes bfloat16 where there are units for it, every result says which was used, what has begun in one goes on in it, and bfloat16 where
// it is slow is warned of.

import { Detector, device, ResNet, type EpochReport } from "../../lib";
import * as experiments from "../../lib/experiment";
import { native } from "../../lib/native/surface";
import { resolvePrecision, warnIfSlow } from "../../lib/native/precision";
import { receiveWarnings } from "../../lib/core/warnings";
import { readers, readRows, smallExperiment } from "../experiment/tiny-experiment";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const folder = temporaryDirectory();
const train = tinyData(48);
const calibration = tinyData(40, "held");

/** As if this processor had bfloat16 units or not, and these vector units. */
function pretend(bfloat16: boolean, cpuCapability = "AVX512"): void {
  const real = device.info();
  jest.spyOn(native(), "info").mockReturnValue({ ...real, bfloat16, cpuCapability });
}
afterEach(() => jest.restoreAllMocks());

const precisions = (reports: readonly EpochReport[]) => reports.map(({ precision }) => precision);

test.each([
  ["cpu", "float32", true, "bfloat16"],
  ["cpu", "float32", false, "float32"],
  ["cpu", "float64", true, "float32"],
  ["cuda", "float32", false, "bfloat16"],
  ["cuda:1", "float32", false, "bfloat16"],
] as const)("auto on %s for %s, units: %s", (where, dtype, units, expected) => {
  pretend(units);
  expect(resolvePrecision("auto", where, dtype)).toBe(expected);
});

test.each([
  [true, "bfloat16"],
  [false, "float32"],
] as const)("fit, extract, extractStream and Detector.fit say what auto came to; units: %s", async (units, expected) => {
  pretend(units);
  const model = await tinyNetwork({ seed: 1 });
  expect(precisions(await model.fit(train, { epochs: 1, precision: "auto" }))).toEqual([expected]);
  const automatic = await model.extract(train, { precision: "auto" });
  const stated = await model.extract(train, { precision: expected });
  expect(automatic.precision).toBe(expected);
  expect(automatic.features.toArray()).toEqual(stated.features.toArray());
  await model.extractStream([train], (chunk) => expect(chunk.precision).toBe(expected), { precision: "auto" });
  const detector = await Detector.fit(model, train, { calibration, precision: "auto", scoreOptions: { covariance: "ledoit-wolf" } });
  expect(detector.precision).toBe(expected);
  const file = folder.path(`${expected}.safetensors`);
  await detector.save(file);
  pretend(!units); // a detector computes as its calibration did, wherever it is
  expect((await Detector.load(file)).precision).toBe(expected);
});

test("the library's default is float32; a float64 network says so", async () => {
  const model = await tinyNetwork();
  expect(precisions(await model.fit(train, { epochs: 1 }))).toEqual(["float32"]);
  expect((await model.extract(train)).precision).toBe("float32");
  const exact = await tinyNetwork({ dtype: "float64" });
  expect(precisions(await exact.fit(train, { epochs: 1, precision: "auto" }))).toEqual(["float64"]);
  expect((await exact.extract(train, { precision: "auto" })).precision).toBe("float64");
});

test("a checkpoint goes on in the precision that it began with", async () => {
  const checkpoint = folder.path("checkpoint.safetensors");
  const options = { checkpoint, resume: true, precision: "auto" } as const;
  pretend(true);
  await (await tinyNetwork({ seed: 2 })).fit(train, { ...options, epochs: 1 });
  pretend(false, "VSX"); // each warning is said once: the others are for the tests below
  const heard: string[] = [];
  const restore = receiveWarnings((message) => heard.push(message));
  expect(precisions(await (await tinyNetwork({ seed: 2 })).fit(train, { ...options, epochs: 2 }))).toEqual(["bfloat16", "bfloat16"]);
  restore();
  expect(heard).toHaveLength(1);
  const other = await tinyNetwork({ seed: 2 });
  const error = await libraryFailureOf(() => other.fit(train, { ...options, precision: "float32", epochs: 2 }));
  expect(error.message).toMatch(/option precision \("bfloat16" there, "float32" here\)$/);
});

test("a folder of experiments keeps the precision of its rows, and its header says which", async () => {
  const out = folder.path("experiment");
  const cell = { depth: 18, l2Normalize: true, epochs: 1 } as const;
  const configuration = { ...smallExperiment, seeds: 1, training: { ...smallExperiment.training, precision: "auto" as const } };
  pretend(true);
  await experiments.run({ ...configuration, cells: [cell] }, { data: "", out, readers });
  pretend(false, "VSX");
  await experiments.run({ ...configuration, cells: [cell, { ...cell, l2Normalize: false }] }, { data: "", out, readers });
  const { header, rows } = readRows(out);
  expect(header.configuration).toMatchObject({ training: { precision: "bfloat16" } });
  expect(rows).toHaveLength(2);
  for (const { scaled } of rows) expect(scaled).toContain("bfloat16 convolutions");
});

describe("bfloat16 where it is slow", () => {
  test.each([
    [
      "AVX512",
      /3 to 6 times slower than float32 on a processor without bfloat16 units, as this one \(AVX512\); "auto" takes float32 here$/,
    ],
    ["AVX2", /1\.3 to 1\.6 times slower than float32/],
    ["DEFAULT", /not faster than float32/],
  ])("%s: a process warning with the measured factor, once", async (capability, expected) => {
    pretend(false, capability);
    const emitted = jest.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const model = await tinyNetwork();
    for (let i = 0; i < 2; i++) await model.extract(train, { precision: "bfloat16" });
    await model.fit(train, { epochs: 1, precision: "bfloat16" });
    expect(emitted.mock.calls).toEqual([
      [expect.stringMatching(expected), { type: "LibtorchOodWarning", code: "LIBTORCH_OOD_SLOW_PRECISION" }],
    ]);
  });

  it("says nothing where there are units, on CUDA, of float32 or of auto", async () => {
    const emitted = jest.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    pretend(false, "SVE");
    warnIfSlow("bfloat16", "cuda");
    warnIfSlow("float32", "cpu");
    const model: ResNet = await tinyNetwork();
    await model.extract(train, { precision: "auto" });
    pretend(true, "SVE");
    await model.extract(train, { precision: "bfloat16" });
    expect(emitted).not.toHaveBeenCalled();
  });
});
