// Statistics, mixtures and scores of a file of features equal those of the same features in memory, and hold a piece of it at a time.

import { statSync, truncateSync, writeFileSync } from "node:fs";
import { FeaturesFile, openFeatures } from "../../lib/formats/features-file";
import { writeSafetensors } from "../../lib/formats/safetensors";
import { fit, names, type ScoreName } from "../../lib/scores";
import { ClassStatistics } from "../../lib/statistics/class-statistics";
import { GaussianMixture, type Covariance } from "../../lib/statistics/gaussian-mixture";
import { numpyFile } from "../formats/npy-writer";
import { libraryFailureOf } from "../models/resnet/tiny-network";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const [rows, columns, classes] = [600, 6, 3];
const noise = (i: number): number => Math.sin(i * 12.9898) * Math.cos(i * 4.1414 + (i % 7));
const labels = Int32Array.from({ length: rows }, (_, i) => i % classes);
const matrix = (width: number, seed: number) => ({
  data: Float32Array.from(
    { length: rows * width },
    (_, i) => noise(i + seed) + 2 * noise(101 * (Math.floor(i / width) % classes) + (i % width)),
  ),
  shape: [rows, width],
});
const outputs = { features: matrix(columns, 0), rawFeatures: matrix(columns, 9), logits: matrix(classes, 5), labels };
const head = {
  weight: { ...matrix(columns, 3), shape: [classes, columns] },
  bias: { data: Float32Array.of(0.1, 0, -0.1), shape: [classes] },
};
head.weight.data = head.weight.data.slice(0, classes * columns);
const path = directory.path("outputs.safetensors");
let file: FeaturesFile;

beforeAll(async () => {
  await writeSafetensors(path, [
    { name: "features", dtype: "F32", shape: outputs.features.shape, data: outputs.features.data },
    { name: "rawFeatures", dtype: "F32", shape: outputs.rawFeatures.shape, data: outputs.rawFeatures.data },
    { name: "logits", dtype: "F32", shape: outputs.logits.shape, data: outputs.logits.data },
    { name: "labels", dtype: "I64", shape: [rows], data: labels },
    { name: "weight", dtype: "F32", shape: head.weight.shape, data: head.weight.data },
    { name: "bias", dtype: "F32", shape: [classes], data: head.bias.data },
  ]);
  file = await openFeatures(path);
  // Pieces of 16 MiB would hold all of so few rows.
  const { pieces } = file;
  jest.spyOn(file, "pieces").mockImplementation((options) => pieces.call(file, { rows: 70, ...options }));
});
afterAll(() => file.close());

/** Largest deviation relative to the largest magnitude. */
function expectSame(found: Float64Array, expected: Float64Array): void {
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(found).toHaveLength(expected.length);
  expect(found.reduce((most, value, i) => Math.max(most, Math.abs(value - (expected[i] as number))), 0)).toBeLessThanOrEqual(1e-12 * scale);
}

test.each(names)("%s", async (name: ScoreName) => {
  const inMemory = await fit(name, { ...outputs, ...head });
  const expected = await inMemory.score(outputs);
  const fromFile = await fit(name, file);
  expect(fromFile.warnings).toEqual(inMemory.warnings);
  expectSame(await fromFile.score(file), expected);
  expectSame(await fromFile.score(outputs), expected);
});

test("scores of another matrix than the features", async () => {
  const expected = await (await fit("mahalanobis", outputs, { from: "rawFeatures" })).score(outputs);
  expectSame(await (await fit("mahalanobis", file, { from: "rawFeatures" })).score(file), expected);
});

test.each<Covariance>(["full", "tied", "diagonal", "ledoit-wolf", "oas", "low-rank"])("mixture of covariance %s", async (covariance) => {
  const options = { covariance, ...(covariance === "low-rank" && { rank: 2 }) };
  const expected = await GaussianMixture.fit(outputs.features, labels, options);
  const found = await GaussianMixture.fit(file, undefined, options);
  expect([found.numClasses, found.counts]).toEqual([expected.numClasses, expected.counts]);
  expectSame(await found.logDensity(outputs.features), await expected.logDensity(outputs.features));
  const given = await GaussianMixture.fit(
    file,
    labels.map((label) => 2 - label),
    options,
  );
  const other = await GaussianMixture.fit(
    outputs.features,
    labels.map((label) => 2 - label),
    options,
  );
  expectSame(await given.logDensity(outputs.features), await other.logDensity(outputs.features));
});

test("statistics, in any pieces", async () => {
  const statistics = () => new ClassStatistics({ numClasses: classes, featureDim: columns });
  const [expected, found] = [statistics(), statistics()];
  await expected.update(outputs.features, labels);
  await found.updateFrom(file);
  expect(await found.counts()).toEqual(await expected.counts());
  expectSame((await found.means()).toArray() as Float64Array, (await expected.means()).toArray() as Float64Array);
  const covariance = async (of: ClassStatistics) => (await of.covariance({ of: 1 })).toArray() as Float64Array;
  expectSame(await covariance(found), await covariance(expected));
});

test("what is refused, by its row in the file", async () => {
  const data = Float32Array.from({ length: 100 * 2 }, (_, i) => (i === 171 ? NaN : i));
  const wrong = directory.path("wrong.safetensors");
  await writeSafetensors(wrong, [{ name: "features", dtype: "F32", shape: [100, 2], data }]);
  const opened = await openFeatures(wrong);
  const { pieces } = opened;
  jest.spyOn(opened, "pieces").mockImplementation((options) => pieces.call(opened, { rows: 30, ...options }));
  const mixture = (given?: Int32Array) => libraryFailureOf(() => GaussianMixture.fit(opened, given));
  expect(await mixture()).toMatchObject({ code: "ERR_OPTION", message: `labels: expected them in ${wrong} or beside it, found neither` });
  expect(await mixture(new Int32Array(7))).toMatchObject({
    code: "ERR_SHAPE",
    message: expect.stringContaining("expected 100, one per row"),
  });
  expect(await mixture(new Int32Array(100))).toMatchObject({ code: "ERR_NON_FINITE", message: expect.stringContaining("row 85") });
  const score = await fit("max-logit");
  expect(await libraryFailureOf(() => score.score(opened))).toMatchObject({
    code: "ERR_OPTION",
    message: expect.stringContaining("expected logits, found features"),
  });
  expect(await libraryFailureOf(() => fit("mahalanobis", opened))).toMatchObject({ code: "ERR_OPTION" });
  await opened.close();
  expect(await libraryFailureOf(() => score.score(opened))).toMatchObject({ code: expect.stringMatching(/ERR_OPTION|ERR_DISPOSED/) });
  expect(await libraryFailureOf(() => new ClassStatistics({ numClasses: 1, featureDim: 1 }).updateFrom({} as never))).toMatchObject({
    code: "ERR_OPTION",
  });
});

test("a mixture is fitted to, and scores, a file that is larger than what it holds of it", async () => {
  const large = directory.path("large.npy");
  writeFileSync(large, numpyFile("'<f2'", "(1048576, 64)", new Uint8Array(0)));
  truncateSync(large, statSync(large).size + 2 ** 27); // 128 MiB of zeros that take no place on the disk; 256 MiB as float32
  const opened = await openFeatures(large);
  const { length } = opened;
  const resident = () => (globalThis.gc?.(), process.memoryUsage.rss());
  const before = resident();
  const own = new Int32Array(length).map((_, i) => i % 2);
  let peak = 0;
  const timer = setInterval(() => (peak = Math.max(peak, resident() - before)), 50);
  const mixture = await GaussianMixture.fit(opened, own, { covariance: "diagonal", jitter: 1 });
  const score = await fit(
    "gaussian-mixture",
    { features: { data: Float32Array.from({ length: 640 }, (_, i) => noise(i)), shape: [10, 64] }, labels: new Int32Array(10) },
    { covariance: "tied" },
  );
  const scores = await score.score(opened);
  clearInterval(timer);
  expect(mixture.counts).toEqual([length / 2, length / 2]);
  expect([scores.length, new Set(scores).size]).toEqual([length, 1]);
  expect(peak).toBeLessThan(200 * 2 ** 20);
  await opened.close();
}, 120_000);
