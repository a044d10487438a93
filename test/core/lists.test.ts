// Lists that are not what they state: proxies and classes whose length lies, revoked proxies, holes.

import { Dataset, computeNormalization } from "../../lib/data";
import { describe as described } from "../../lib/core/checks";
import { Detector } from "../../lib/detector/detector";
import { GaussianMixture } from "../../lib/statistics/gaussian-mixture";
import { listOf, shortList } from "../../lib/core/lists";
import * as metrics from "../../lib/metrics";
import { Tensor } from "../../lib/native/tensor";
import { libraryFailureOf, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();

function proxyOf<T>(list: T[], length: unknown): T[] {
  return new Proxy(list, { get: (target, key) => (key === "length" ? length : Reflect.get(target, key)) as unknown });
}

function revoked(): number[] {
  const { proxy, revoke } = Proxy.revocable<number[]>([], {});
  revoke();
  return proxy;
}

class Liar extends Float64Array {
  override get length(): number {
    return 1;
  }
}

const lies = [NaN, 1.5, -3, Infinity, 2 ** 31, 1e12, "2", 2n, Symbol("length"), undefined].map(
  (length) => [described(length), length] as const,
);

describe("a list", () => {
  test.each(lies)("of a stated length of %s is none", (_, length) => {
    expect(listOf(proxyOf([0, 1], length))).toBeUndefined();
    expect(shortList(proxyOf([0, 1], length), 100)).toBeUndefined();
  });

  test("is an array, a typed array, or a copy of a proxy that is sound", () => {
    const array = [0, 1];
    const floats = Float32Array.of(1);
    expect(listOf(array)).toBe(array);
    expect(listOf(floats)).toBe(floats);
    const copy = listOf(proxyOf([3, 4], 2));
    expect(copy).toEqual([3, 4]);
    for (const none of [revoked(), new DataView(new ArrayBuffer(8)), Liar.of(1, 2), { length: 1, 0: 1 }, "12", null, undefined]) {
      expect(listOf(none)).toBeUndefined();
    }
  });

  test("is described whatever its length is", () => {
    expect(described(proxyOf([], Symbol("x")))).toBe("an array of length symbol");
    expect(described(proxyOf([], NaN))).toBe("an array of length NaN");
  });
});

describe.each([...lies, ["revoked", null] as const])("a length of %s", (_, length) => {
  const lying = (list: number[]): number[] => (length === null ? revoked() : proxyOf(list, length));
  const data = Dataset.fromArrays({ images: new Uint8Array(6), labels: [0, 1, 0], shape: [1, 1, 2] });

  test.each<[string, () => unknown]>([
    ["subset", () => data.subset(lying([0, 1]))],
    ["labels", () => Dataset.fromArrays({ images: new Uint8Array(4), labels: lying([0, 1]), shape: [1, 1, 2] })],
    ["shape", () => Dataset.fromArrays({ images: new Uint8Array(4), labels: [0, 1], shape: lying([1, 1, 2]) })],
    [
      "classNames",
      () =>
        Dataset.fromArrays({ images: new Uint8Array(4), labels: [0, 1], shape: [1, 1, 2], classNames: lying([0]) as unknown as string[] }),
    ],
    ["normalization", () => data.withNormalization({ mean: lying([0]), std: [1] })],
    [
      "computeNormalization",
      () => computeNormalization({ images: new Uint8Array(4), shape: lying([1, 1, 2]) as [number, number, number] }),
    ],
    ["Tensor.from", () => Tensor.from(new Float32Array(2), lying([2]))],
    ["auroc", () => metrics.auroc(lying([0, 1]), [0, 1])],
    ["summary", () => metrics.summary(lying([0, 1]))],
    ["accuracy", () => metrics.accuracy(lying([0, 1]), [0, 1])],
    ["softmaxConfidence", () => metrics.softmaxConfidence({ data: [1, 2], shape: lying([1, 2]) })],
    ["mixture labels", () => GaussianMixture.fit({ data: new Float64Array([1, 2]), shape: [2, 1] }, lying([0, 1]))],
  ])("%s", async (_what, call) => {
    expect((await libraryFailureOf(call)).code).toMatch(/^ERR_(OPTION|SHAPE|DTYPE)$/);
  });
});

test("a typed array whose class states another length is no list of scores", () => {
  expect(() => metrics.auroc(Liar.of(1, 0), [0, 1])).toThrow(expect.objectContaining({ code: "ERR_DTYPE" }) as Error);
});

test("an endless array-like of the same index is refused before memory is taken", () => {
  const data = Dataset.fromArrays({ images: new Uint8Array(6), labels: [0, 1, 0], shape: [1, 1, 2] });
  const endless = new Proxy([0], { get: (_, key) => (key === "length" ? Number.MAX_SAFE_INTEGER : 0) });
  expect(() => data.subset(endless)).toThrow(expect.objectContaining({ code: "ERR_OPTION" }) as Error);
});

describe("names of classes", () => {
  const arrays = { images: new Uint8Array(4), labels: [0, 1], shape: [1, 1, 2] };
  const features = { data: Float64Array.from({ length: 80 }, (_, i) => ((i * 7919) % 13) + (i & 1)), shape: [40, 2] };
  const held = { data: Float64Array.from({ length: 80 }, (_, i) => ((i * 104729) % 17) + (i & 1)), shape: [40, 2] };
  const labels = Array.from({ length: 40 }, (_, i) => i % 2);

  // prettier-ignore
  test.each<[string, unknown, string]>([
    ["a hole", Object.assign(Array(2), ["a"]), "ERR_OPTION"],
    ["twice the same", ["a", "a"], "ERR_OPTION"],
    ["text", "ab", "ERR_OPTION"],
    ["numbers", [1, 2], "ERR_OPTION"],
  ])("%s: refused by data sets, detectors over features and networks", async (_, classNames, code) => {
    const names = classNames as string[];
    const model = await tinyNetwork({ numClasses: 2 });
    expect((await libraryFailureOf(() => Dataset.fromArrays({ ...arrays, classNames: names }))).code).toBe(code);
    const fit = () => Detector.fromFeatures({ features, labels, calibration: { features: held }, classNames: names, selfTest: false });
    expect((await libraryFailureOf(fit)).code).toBe(code);
    expect((await libraryFailureOf(() => void (model.classNames = names))).code).toBe(code);
    model.dispose();
  });

  test("a network has as many as classes", async () => {
    const model = await tinyNetwork();
    expect((await libraryFailureOf(() => void (model.classNames = ["one"]))).code).toBe("ERR_SHAPE");
    model.classNames = undefined;
    expect(model.classNames).toBeUndefined();
    model.dispose();
  });
});

describe("normalization", () => {
  test.each([
    [[0], [1e-320]],
    [[0], [1e-300]],
    [[1e300], [1]],
    [[0.5], [1e-13]],
  ])("mean %j and std %j make pixels that no network could take", (mean, std) => {
    const data = Dataset.fromArrays({ images: new Uint8Array(4), labels: [0, 1], shape: [1, 1, 2] });
    expect(() => data.withNormalization({ mean, std })).toThrow(expect.objectContaining({ code: "ERR_RANGE" }) as Error);
  });

  test("an unknown key is refused", () => {
    const given = { mean: [0], std: [1], stds: [1] };
    expect(() => Dataset.fromArrays({ images: new Uint8Array(4), labels: [0, 1], shape: [1, 1, 2], normalization: given })).toThrow(
      expect.objectContaining({ code: "ERR_OPTION" }) as Error,
    );
  });
});
