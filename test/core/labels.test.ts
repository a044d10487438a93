// Labels: every kind of list is the same labels, everywhere; a label far beyond the others costs nothing but an error.

import {
  ClassStatistics,
  Detector,
  GaussianMixture,
  linalg,
  metrics,
  neuralCollapse,
  scores,
  Tensor,
  type Covariance,
  type Labels,
} from "../../lib";
import { classesIn, labelsTensor } from "../../lib/native/labels-tensor";
import { set } from "../support/feature-sets";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });
const s = set("random");
const list = Array.from(s.labels);
const kinds: Record<string, Labels> = {
  "plain array": list,
  Int8Array: Int8Array.from(list),
  Uint8Array: Uint8Array.from(list),
  Uint8ClampedArray: Uint8ClampedArray.from(list),
  Int16Array: Int16Array.from(list),
  Uint16Array: Uint16Array.from(list),
  Int32Array: Int32Array.from(list),
  Uint32Array: Uint32Array.from(list),
  BigInt64Array: BigInt64Array.from(list, BigInt),
  BigUint64Array: BigUint64Array.from(list, BigInt),
  "Tensor of int32": Tensor.from(Int32Array.from(list)),
  "Tensor of int64": Tensor.from(BigInt64Array.from(list, BigInt)),
  "Tensor of uint8": Tensor.from(Uint8Array.from(list)),
};

describe.each(Object.entries(kinds))("%s", (_, labels) => {
  test("serves statistics, mixtures, covariances, scores and collapse numbers", async () => {
    const wanted = await GaussianMixture.fit(s.features, s.labels);
    expect((await GaussianMixture.fit(s.features, labels)).counts).toEqual(wanted.counts);
    const statistics = new ClassStatistics({ numClasses: s.numClasses, featureDim: s.dim });
    await statistics.update(s.features, labels);
    expect(await statistics.counts()).toEqual(wanted.counts);
    expect((await linalg.covariance(s.features, { labels, of: "pooled" })).shape).toEqual([s.dim, s.dim]);
    (await scores.fit("mahalanobis", { features: s.features, labels })).dispose();
    expect((await neuralCollapse.measure({ features: s.features, labels, weight: s.weight })).nc1).toBeGreaterThan(0);
  });

  test("serves metrics, as labels and as predictions", () => {
    const confidences = list.map((_, i) => (i % 10) / 10);
    const logits = { data: list.flatMap((label, i) => [label + (i % 3), 1, (i * 7) % 5, 0, 2]), shape: [list.length, 5] };
    expect(metrics.accuracy(labels, list)).toBe(1);
    expect(metrics.accuracy(list, labels)).toBe(1);
    expect(metrics.ece(confidences, labels, list)).toBe(metrics.ece(confidences, list, list));
    expect(metrics.reliability(confidences, list, labels)).toEqual(metrics.reliability(confidences, list, list));
    expect(metrics.fitTemperature(logits, labels)).toEqual(metrics.fitTemperature(logits, list));
  });
});

test("metrics need no native addon, a Tensor of labels is known by its shape", () => {
  jest.isolateModules(() => {
    jest.doMock("../../lib/native/libtorch/load", () => {
      throw new Error("the addon was loaded");
    });
    const alone = jest.requireActual<typeof import("../../lib/metrics")>("../../lib/metrics");
    expect(alone.accuracy([0, 1], Uint8Array.of(0, 1))).toBe(1);
  });
  jest.dontMock("../../lib/native/libtorch/load");
});

test("what is no list of whole numbers is refused by name", async () => {
  const fit = (labels: unknown) => GaussianMixture.fit(s.features, labels as Labels);
  await expect(fit(Float64Array.from(list))).rejects.toThrow(refused("ERR_DTYPE", "labels"));
  await expect(fit(new DataView(new ArrayBuffer(8)))).rejects.toThrow(refused("ERR_DTYPE", "a DataView of 8 bytes"));
  await expect(fit(null)).rejects.toThrow(refused("ERR_DTYPE", "found null"));
  await expect(fit([0, 1.5])).rejects.toThrow(refused("ERR_DTYPE", "labels[1]: expected a whole number, found 1.5"));
  const hole: number[] = [0];
  hole[2] = 1;
  await expect(fit(hole)).rejects.toThrow(refused("ERR_DTYPE", "labels[1]: expected a whole number, found undefined"));
  await expect(fit([0, 2 ** 60])).rejects.toThrow(refused("ERR_RANGE", "labels[1]"));
  expect(labelsTensor([0, 2 ** 40], "labels").toArray()).toEqual(BigInt64Array.of(0n, 2n ** 40n));
  await expect(fit(BigUint64Array.of(0n, 2n ** 63n))).rejects.toThrow(refused("ERR_RANGE", "labels[1]"));
  expect(() => metrics.accuracy(Tensor.from(Float32Array.of(1)), [1])).toThrow(refused("ERR_DTYPE", "predictions"));
  expect(() => metrics.accuracy(BigInt64Array.of(-1n), [1])).toThrow(refused("ERR_RANGE", "predictions[0]"));
  expect(() => metrics.accuracy(BigUint64Array.of(2n ** 60n), [1])).toThrow(refused("ERR_RANGE", "predictions[0]"));
});

describe("labels with gaps", () => {
  const [n, d] = [60, 16];
  const features = { data: Float32Array.from({ length: n * d }, (_, i) => Math.sin(i * i)), shape: [n, d] };
  const gapped = (largest: number | bigint) => BigInt64Array.from({ length: n }, (_, i) => (i === n - 1 ? BigInt(largest) : BigInt(i % 2)));

  test.each([65_536n, 10_000_000n, 2n ** 62n])("one of %s where the number of classes is not stated: the gap is named", async (label) => {
    const error = refused(
      "ERR_RANGE",
      `labels[59]: expected 0 to 65535 where the number of classes is not stated, found ${label}, and no label between 1`,
    );
    const labels = gapped(label);
    await expect(GaussianMixture.fit(features, labels)).rejects.toThrow(error);
    await expect(scores.fit("relative-mahalanobis", { features, labels })).rejects.toThrow(error);
    await expect(linalg.covariance(features, { labels, of: "classes" })).rejects.toThrow(error);
    const calibration = { features: { data: features.data.map((x) => x + 1), shape: [n, d] } };
    await expect(Detector.fromFeatures({ features, labels, calibration })).rejects.toThrow(error);
    expect(() => classesIn(labelsTensor(labels, "labels"), "labels")).toThrow(error);
  });

  test("without a gap nothing is said of one", () => {
    const labels = labelsTensor(
      Int32Array.from({ length: 65_537 }, (_, i) => i),
      "labels",
    );
    expect(() => classesIn(labels, "labels")).toThrow(refused("ERR_RANGE", "found 65536"));
    expect(() => classesIn(labels, "labels")).not.toThrow(expect.objectContaining({ message: expect.stringContaining("between") }));
  });

  test.each(["full", "tied", "diagonal", "ledoit-wolf"] as Covariance[])(
    "a gap below 65,536, %s: the numbers of the same classes side by side, at their cost",
    async (covariance) => {
      const wanted = await GaussianMixture.fit(features, gapped(2), { covariance });
      const before = process.memoryUsage().rss;
      const found = await GaussianMixture.fit(features, gapped(60_000), { covariance });
      expect(found.numClasses).toBe(60_001);
      expect(await found.logDensity(features)).toEqual(await wanted.logDensity(features));
      expect(Array.from(await found.predict(features), (label) => Math.min(label, 2))).toEqual(Array.from(await wanted.predict(features)));
      const row = { data: features.data.slice(0, d), shape: [1, d] };
      const densities = (await found.classLogDensities(row)).toArray() as Float64Array;
      const own = (await wanted.classLogDensities(row)).toArray() as Float64Array;
      expect([densities[0], densities[1], densities[60_000]]).toEqual(Array.from(own));
      expect(densities[2]).toBe(-Infinity);
      const shares = (await found.responsibilities(row)).toArray() as Float64Array;
      expect(shares.reduce((sum, share) => sum + share)).toBeCloseTo(1, 12);
      // 60,001 classes of 16 dimensions would take 120 MB as covariances, and 480 MB for the densities of a chunk of rows.
      expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
      for (const warning of found.warnings) expect(warning.length).toBeLessThan(300);
      expect(found.warnings[0]).toContain("class 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 59988 more");
    },
    10_000,
  );
});

describe("a Tensor that is disposed of right after the call has begun", () => {
  const made = () => ({ features: Tensor.from(s.features.data, s.features.shape), labels: Tensor.from(s.labels) });
  type Made = ReturnType<typeof made>;
  const calls: Record<string, (given: Made) => Promise<unknown>> = {
    "GaussianMixture.fit": ({ features, labels }) => GaussianMixture.fit(features, labels),
    "ClassStatistics.update": async ({ features, labels }) => {
      const statistics = new ClassStatistics({ numClasses: s.numClasses, featureDim: s.dim });
      const first = statistics.update(s.features, s.labels); // the second has to wait for its turn
      const second = statistics.update(features, labels);
      await Promise.all([first, second]);
    },
    ...Object.fromEntries(
      (["gaussian-mixture", "mahalanobis", "relative-mahalanobis", "nearest-neighbours"] as const).map((name) => [
        `scores.fit("${name}")`,
        ({ features, labels }: Made) => scores.fit(name, { features, labels }, name === "nearest-neighbours" ? { k: 3 } : {}),
      ]),
    ),
    vim: ({ features }) => {
      const logits = { data: new Float64Array(s.labels.length * s.numClasses).fill(1), shape: [s.labels.length, s.numClasses] };
      return scores.fit("vim", { features, logits, weight: s.weight, bias: s.bias });
    },
    "linalg.covariance": ({ features, labels }) => linalg.covariance(features, { labels, of: "pooled" }),
    "linalg.svdvals": ({ features }) => linalg.svdvals(features),
    singularValues: ({ features }) => neuralCollapse.singularValues(features),
    projectedSingularValues: async ({ features }) => {
      const basis = Tensor.from(
        Float64Array.from({ length: s.dim }, (_, i) => +(i === 0)),
        [s.dim, 1],
      );
      const found = neuralCollapse.projectedSingularValues({ basis, centre: undefined }, features);
      basis.dispose();
      return found;
    },
    "neuralCollapse.measure": ({ features, labels }) => neuralCollapse.measure({ features, labels, weight: s.weight }),
    "neuralCollapse.loss": ({ features, labels }) => neuralCollapse.loss({ features, labels, weight: s.weight }),
  };
  test.each(Object.keys(calls))("%s goes on", async (name) => {
    const given = made();
    const call = calls[name]?.(given);
    given.features.dispose();
    given.labels.dispose();
    await expect(call).resolves.not.toThrow();
  });
});
