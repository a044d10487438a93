// Files whose numbers or names are sound each by itself, and of which nothing could be made afterwards: refused when they are read.

import { ClassStatistics, Detector, GaussianMixture, ResNet } from "../../lib";
import { readSafetensors, writeSafetensors, type SafetensorsInput } from "../../lib/formats/safetensors";
import { detectorOf, sample } from "../detector/synthetic";
import { temporaryDirectory } from "../support/temporary-directory";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread } from "../models/resnet/tiny-network";

useOneThread();
const directory = temporaryDirectory();
let count = 0;

/** The file with some arrays or its description changed. */
async function changed(
  file: string,
  change: (arrays: Map<string, Float64Array | Float32Array | BigInt64Array>, described: (edit: (text: string) => string) => void) => void,
): Promise<string> {
  const { tensors, metadata } = await readSafetensors(file);
  const inputs: SafetensorsInput[] = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
  const kinds = { F64: Float64Array, F32: Float32Array, I64: BigInt64Array } as const;
  const arrays = new Map(
    [...tensors].map(([name, { dtype, data }]) => {
      const bytes = data as Uint8Array<ArrayBuffer>;
      return [name, new kinds[dtype as keyof typeof kinds](bytes.buffer, bytes.byteOffset)];
    }),
  );
  const texts = new Map(metadata);
  change(arrays, (edit) => {
    for (const key of ["model", "description"]) if (texts.has(key)) texts.set(key, edit(texts.get(key) as string));
  });
  const path = directory.path(`changed-${count++}.safetensors`);
  await writeSafetensors(path, inputs, { metadata: texts });
  return path;
}

async function expectRefused(path: string, load: (path: string) => Promise<unknown>, message: RegExp): Promise<void> {
  const error = await libraryFailureOf(() => load(path));
  expect([error.code, error.message]).toEqual(["ERR_CORRUPT_FILE", expect.stringMatching(message)]);
  expect(error.message).toContain(path);
}

describe("names of classes in a file", () => {
  test("twice the same: a network, a detector over images and one over features", async () => {
    const [network, images, features] = ["network", "images", "features"].map((name) => directory.path(`names-${name}.safetensors`));
    const model = await tinyNetwork();
    model.classNames = ["cat", "dog", "owl"];
    await model.save(network as string);
    await (await detectorOf({ classNames: ["cat", "dog", "owl"] })).save(features as string);
    const options = { calibration: tinyData(40, "held"), score: "max-softmax", selfTest: false } as const;
    await (await Detector.fit(model, tinyData(60, "train"), options)).save(images as string);
    const twice = (file: string) => changed(file, (_, described) => described((text) => text.replaceAll('"dog"', '"cat"')));
    await expectRefused(await twice(network as string), ResNet.load, /"cat" names the classes 0 and 1/);
    await expectRefused(await twice(images as string), Detector.load, /"cat"/);
    await expectRefused(await twice(features as string), Detector.load, /classNames\[1\]: expected no item twice, found "cat"/);
  });
});

describe("a network's file", () => {
  let file: string;
  beforeAll(async () => {
    file = directory.path("network.safetensors");
    await (await tinyNetwork()).save(file);
  });

  test.each(["1e-320", "1e-300", "1e-13"])("with a standard deviation of pixels of %s", async (std) => {
    const path = await changed(file, (_, described) => described((text) => text.replace('"std":[0.3]', `"std":[${std}]`)));
    await expectRefused(path, ResNet.load, /normalization: expected mean and std of channel 0/);
  });

  test("with a negative variance", async () => {
    const path = await changed(file, (arrays) => (arrays.get("bn1.running_var") as Float32Array).fill(-5, 0, 1));
    await expectRefused(path, ResNet.load, /bn1\.running_var: expected variances, none negative, found -5/);
  });
});

describe("a mixture's file", () => {
  const covariances = ["full", "tied", "diagonal", "low-rank"] as const;
  test.each(covariances)("%s: means and deviations whose squares float64 does not hold", async (covariance) => {
    const { features, labels } = sample(60, 3);
    const mixture = await GaussianMixture.fit(features, labels, { covariance, ...(covariance === "low-rank" ? { rank: 1 } : {}) });
    const file = directory.path(`mixture-${covariance}.safetensors`);
    await mixture.save(file);
    (await GaussianMixture.load(file)).dispose();
    const factor = covariance === "diagonal" ? "deviation" : "cholesky.0";
    for (const [name, value] of [
      ["mean", 1e300],
      ["mean", -1e160],
      ["mean_low", 1e200],
      [factor, 1e-320],
      [factor, 1e-160],
      [factor, 1e160],
    ] as const) {
      const path = await changed(file, (arrays) => (arrays.get(name) as Float64Array).fill(value));
      await expectRefused(path, GaussianMixture.load, new RegExp(`${name.replace(".", "\\.")}, element 0: expected at (most|least)`));
    }
  });

  test("features far out are read again where they vary as much", async () => {
    const { features, labels } = sample(60, 3);
    const data = features.data.map((value) => 1e155 + value * 1e145);
    const mixture = await GaussianMixture.fit({ data, shape: features.shape }, labels);
    const file = directory.path("far.safetensors");
    await mixture.save(file);
    const loaded = await GaussianMixture.load(file);
    expect(await loaded.logDensity({ data, shape: features.shape })).toEqual(await mixture.logDensity({ data, shape: features.shape }));
  });

  test.each(["gaussian-mixture", "mahalanobis", "relative-mahalanobis", "nearest-neighbours"] as const)(
    "a detector by %s: each mixture in it",
    async (score) => {
      const file = directory.path(`detector-${score}.safetensors`);
      await (await detectorOf({ score, scoreOptions: score === "nearest-neighbours" ? { k: 3 } : {} })).save(file);
      const { tensors } = await readSafetensors(file);
      const names = [...tensors.keys()].filter((name) => /\.(mean|cholesky\.\d)$/.test(name));
      expect(names.length).toBeGreaterThan(1);
      for (const name of names) {
        const value = name.endsWith("mean") ? 1e300 : 1e-320;
        const path = await changed(file, (arrays) => (arrays.get(name) as Float64Array).fill(value));
        await expectRefused(path, Detector.load, /, element 0: expected at (most|least)/);
      }
    },
  );
});

test("class statistics that could not be saved again are not read", async () => {
  const statistics = new ClassStatistics({ numClasses: 3, featureDim: 2 });
  const { features, labels } = sample(60, 3);
  await statistics.update(features, labels);
  const file = directory.path("statistics.safetensors");
  await statistics.save(file);
  for (const change of [
    (arrays: Map<string, unknown>) => (arrays.get("trace") as Float64Array).fill(-1),
    (arrays: Map<string, unknown>) => (arrays.get("count") as BigInt64Array).fill(2n ** 53n, 0, 1),
  ]) {
    await expectRefused(await changed(file, change), ClassStatistics.load, /changed-\d+\.safetensors: /);
  }
  await (await ClassStatistics.load(file)).save(directory.path("again.safetensors"));
});

describe("a network trained on fewer classes than it has", () => {
  test("takes no names over, and what it wrote is read", async () => {
    const [file, checkpoint] = [directory.path("fewer.safetensors"), directory.path("fewer-checkpoint.safetensors")];
    const model = await ResNet.create({ ...(await tinyNetwork()).architecture, numClasses: 5 });
    await model.fit(tinyData(30, "train"), { epochs: 1, batchSize: 10, checkpoint });
    expect(model.classNames).toBeUndefined();
    await model.save(file);
    for (const path of [file, checkpoint]) {
      const loaded = await ResNet.load(path);
      expect(loaded.classNames).toBeUndefined();
      loaded.dispose();
    }
    await model.fit(tinyData(30, "train"), { epochs: 2, batchSize: 10, checkpoint, resume: true });
    model.dispose();
  });
});
