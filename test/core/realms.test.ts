// Values of another JavaScript realm, as a host with several contexts passes them (Electron's preload scripts, vm, Jest): typed arrays, lists, options,
// images and signals are taken by what they are, not by whose constructor made them.

import { createContext, runInContext } from "node:vm";
import sharp from "sharp";
import { ClassStatistics, Dataset, Detector, GaussianMixture, linalg, metrics, neuralCollapse, ResNet, scores, Tensor } from "../../lib";
import { libraryFailureOf, tinyArchitecture, tinyData, useOneThread } from "../models/resnet/tiny-network";

useOneThread();

const realm = createContext({ AbortController, structuredClone });
/** A value made there, of what JSON can say; typed arrays by `typed`. */
const there = <T>(value: T): T => runInContext(`(${JSON.stringify(value)})`, realm) as T;
const typed = <T extends Float64Array | Float32Array | Int32Array | Uint8Array | Uint8ClampedArray>(array: T): T => {
  const name = Object.prototype.toString.call(array).slice(8, -1);
  const foreign = runInContext(`${name}.of(${Array.from(array).join(",")})`, realm) as T;
  if (foreign instanceof (globalThis as unknown as Record<string, new () => T>)[name]!) throw new Error("it is of this realm");
  return foreign;
};

const rows = Float64Array.from({ length: 120 }, (_, i) => Math.sin(i * i) + (Math.floor(i / 4) % 2) * 5);
const labels = Int32Array.from({ length: 30 }, (_, i) => i % 2);
const features = { data: rows, shape: [30, 4] };
const foreignFeatures = Object.assign(there({}), { data: typed(rows), shape: there([30, 4]) });

test("features and labels: mixtures, statistics, scores, linear algebra, neural collapse, metrics", async () => {
  const options = there({ covariance: "ledoit-wolf" as const });
  const mixture = await GaussianMixture.fit(foreignFeatures, typed(labels), options);
  const expected = await (await GaussianMixture.fit(features, labels, { covariance: "ledoit-wolf" })).logDensity(features);
  expect(await mixture.logDensity(foreignFeatures)).toEqual(expected);

  const statistics = new ClassStatistics(there({ numClasses: 2, featureDim: 4 }));
  await statistics.update(foreignFeatures, there(Array.from(labels)));
  expect(await statistics.counts()).toEqual([15, 15]);

  const neighbours = await scores.fit("nearest-neighbours", Object.assign(there({}), { features: foreignFeatures }), there({ k: 3 }));
  const same = await scores.fit("nearest-neighbours", { features }, { k: 3 });
  expect(await neighbours.score({ features: foreignFeatures })).toEqual(await same.score({ features }));

  expect((await linalg.covariance(foreignFeatures)).toArray()).toEqual((await linalg.covariance(features)).toArray());

  const weight = Float64Array.of(1, 0, 1, 0, 0, 1, 0, 1);
  const foreign = { features: foreignFeatures, labels: typed(labels), weight: { data: typed(weight), shape: there([2, 4]) } };
  const here = { features, labels, weight: { data: weight, shape: [2, 4] } };
  expect(await neuralCollapse.measure(Object.assign(there({}), foreign))).toEqual(await neuralCollapse.measure(here));

  expect(metrics.auroc(typed(rows.subarray(0, 20)), there(Array.from(rows.subarray(20, 40))))).toBe(
    metrics.auroc(rows.subarray(0, 20), rows.subarray(20, 40)),
  );
});

test("images: data sets, pixels, encoded bytes and lists of them", async () => {
  const data = tinyData(60, "realms");
  const copy = Dataset.fromArrays(
    Object.assign(there({ shape: [1, 8, 8], classNames: ["a", "b", "c"] }), { images: typed(data.images), labels: typed(data.labels) }),
  );
  expect(Array.from(copy.labels)).toEqual(Array.from(data.labels));

  const model = await ResNet.create(
    Object.assign(there({ ...tinyArchitecture, seed: 3 }), { normalization: there({ mean: [0.4], std: [0.3] }) }),
  );
  const calibration = data.subset(Array.from({ length: 30 }, (_, i) => 30 + i));
  const detector = await Detector.fit(model, data.subset(30), { calibration, score: "energy" });
  const rgba = Uint8ClampedArray.from({ length: 256 }, (_, i) => (i % 4 === 3 ? 255 : (7 * i) % 256));
  const png = new Uint8Array(
    await sharp(Buffer.from(rgba), { raw: { width: 8, height: 8, channels: 4 } })
      .png()
      .toBuffer(),
  );
  const pixels = { data: rgba, width: 8, height: 8 };
  const expected = await detector.predict([pixels, png]);

  const list = runInContext("[]", realm) as (typeof pixels | Uint8Array)[];
  list.push(Object.assign(there({ width: 8, height: 8 }), { data: typed(rgba) }), typed(png));
  expect(await detector.predict(list)).toEqual(expected);
  const one = await detector.predict(typed(png), there({ falseAlarmRate: 0.5 }));
  expect(one[0]!.label).toBe(expected[1]!.label);
  const tensor = Tensor.from(typed(data.images), there([60, 1, 8, 8]));
  expect(tensor.shape).toEqual([60, 1, 8, 8]);
});

test("signals, and what is refused there as here", async () => {
  const aborted = runInContext("const own = new AbortController(); own.abort(); own.signal", realm) as AbortSignal;
  expect((await libraryFailureOf(() => GaussianMixture.fit(foreignFeatures, labels, { signal: aborted }))).code).toBe("ERR_ABORTED");
  const half = Object.assign(there({}), { data: typed(rows.subarray(0, 7)), shape: there([2, 4]) });
  expect((await libraryFailureOf(() => linalg.covariance(half))).code).toBe("ERR_SHAPE");
  const misspelt = there({ covarience: "full" });
  expect((await libraryFailureOf(() => GaussianMixture.fit(features, labels, misspelt as object))).code).toBe("ERR_OPTION");
});
