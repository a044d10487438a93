// Training against PyTorch in float64 (test/reference/network_training.py): 20 SGD steps of four recipes, the learning-rate
// schedules, and the augmentation.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Dataset, ResNet, type ResNetOptions, type Tensor } from "../../../lib";
import { native } from "../../../lib/native/surface";
import { openModelFile } from "../../../lib/models/resnet/model-file";
import { temporaryDirectory } from "../../support/temporary-directory";
import { checksum, deviation, fill, labels, pixels, type Checksum } from "./closed-formula";

const directory = temporaryDirectory();
const read = (name: string): unknown => JSON.parse(readFileSync(join(__dirname, "../../reference/network", name), "utf8"));

interface Run {
  options: Omit<ResNetOptions, "numClasses" | "spectralNorm"> & { spectralNorm?: null };
  optimiser: {
    learningRate: number;
    momentum: number;
    weightDecay: number;
    nesterov: boolean;
    schedule: "milestones" | "cosine";
    milestones: number[];
  };
  learningRates: number[];
  epochLosses: number[];
  epochCorrect: number[];
  state: Record<string, Checksum>;
  momentum: Record<string, Checksum>;
}

interface Recorded {
  images: [number, number, number, number];
  classes: number;
  batchSize: number;
  epochs: number;
  mean: number[];
  std: number[];
}

const recorded = read("training.json") as Recorded & Record<string, Run>;
const [count, channels, size] = recorded.images;
const recipes = ["spectral-norm-l2", "plain", "spectral-norm-milestones", "l2-nesterov-cosine"];

function dataset(): Dataset {
  return Dataset.fromArrays({
    images: pixels(count * channels * size * size),
    labels: labels(count, recorded.classes),
    shape: [channels, size, size],
    classNames: Array.from({ length: recorded.classes }, (_, i) => String(i)),
    normalization: { mean: recorded.mean, std: recorded.std },
  });
}

// 20 steps carry a relative change of 1e-15 in the first weights to at most about 1e-9 (network_training.py --check): the
// dynamics amplify rounding, so 1e-6 separates that from any wrong term, the smallest of which (weight decay) is 1e-4.
test.each(recipes)("20 SGD steps in float64: %s", async (name) => {
  const run = recorded[name] as Run;
  const { spectralNorm, ...options } = run.options;
  const model = await ResNet.create({
    ...options,
    numClasses: recorded.classes,
    spectralNorm: spectralNorm === null ? false : undefined,
    dtype: "float64",
  });
  await fill(model);
  const checkpoint = directory.path(`${name}.safetensors`);
  const { epochs, batchSize } = recorded;
  const history = await model.fit(dataset(), { ...run.optimiser, epochs, batchSize, shuffle: false, checkpoint });

  const steps = Math.ceil(count / batchSize);
  history.forEach((epoch, i) => {
    expect(Math.abs(epoch.loss / (run.epochLosses[i] as number) - 1)).toBeLessThan(1e-6);
    expect(Math.round(epoch.accuracy * count)).toBe(run.epochCorrect[i]);
    expect(epoch.learningRate).toBeCloseTo(run.learningRates[(i + 1) * steps - 1] as number, 12);
  });
  const far = (tensors: Iterable<readonly [string, Tensor]>, expected: Record<string, Checksum>) => {
    const found = new Map(tensors);
    return Object.entries(expected).filter(([key, value]) => !(deviation(checksum(found.get(key) as Tensor), value) < 1e-6));
  };
  expect(far(await model.weights(), run.state)).toEqual([]);
  const file = await openModelFile(checkpoint);
  expect(
    far(
      (await file.momentum()).map(({ name: key, tensor }) => [key, tensor]),
      run.momentum,
    ),
  ).toEqual([]);
  await file.close();
  model.dispose();
});

test("learning-rate schedules", async () => {
  const { cases } = read("schedules.json") as {
    cases: {
      learningRate: number;
      schedule: "milestones" | "cosine";
      milestones: number[];
      epochs: number;
      steps: number;
      rates: number[][];
    }[];
  };
  for (const { rates, steps, ...options } of cases) {
    const images = Dataset.fromArrays({
      images: pixels(steps * 64),
      labels: labels(steps, 2),
      shape: [1, 8, 8],
      classNames: ["a", "b"],
      normalization: { mean: [0.5], std: [0.5] },
    });
    const model = await ResNet.create({ numClasses: 2, inChannels: 1, imageSize: 8, width: 1 / 64 });
    const history = await model.fit(images, { ...options, batchSize: 1 });
    expect(history.map((epoch) => epoch.learningRate)).toEqual(rates.map((epoch) => expect.closeTo(epoch.at(-1) as number, 12)));
    model.dispose();
  }
});

test("crop and flip", async () => {
  const { padding, image, cases } = read("augmentation.json") as {
    padding: number;
    image: number[][][];
    cases: { dy: number; dx: number; flip: number; result: number[][][] }[];
  };
  const { Tensor: NativeTensor, augment } = native();
  const shape = [cases.length, image.length, image[0]?.length ?? 0, image[0]?.[0]?.length ?? 0];
  const stacked = Uint8Array.from(cases.flatMap(() => image.flat(2)));
  const column = (key: "dy" | "dx" | "flip") =>
    new NativeTensor(
      BigInt64Array.from(cases, (c) => BigInt(c[key])),
      [cases.length],
      "int64",
    );
  const result = await augment(undefined, new NativeTensor(stacked, shape, "uint8"), padding, column("dy"), column("dx"), column("flip"));
  expect(result.shape).toEqual(shape);
  expect([...(result.toTypedArray() as Uint8Array)]).toEqual(cases.flatMap((c) => c.result.flat(2)));
});
