// Float32 convolutions of 3 x 3 on a processor whose best are AVX2's instructions (native/kernels/winograd.h; elsewhere oneDNN's are
// tested) against the same network in float64, which takes another way: features, and the gradient of every weight, for
// images of odd sizes and channels that fill no whole tile.

import { Dataset, device, ResNet, Tensor, type ResNetOptions } from "../../../lib";
import { openModelFile } from "../../../lib/models/resnet/model-file";
import { temporaryDirectory } from "../../support/temporary-directory";
import { fill, images, labels, numbers, pixels } from "./closed-formula";

const directory = temporaryDirectory();

interface Network {
  count: number;
  architecture: Omit<ResNetOptions, "numClasses">;
}

// Images of 13 have 49 tiles of 2 x 2, in the next stages 16 and 4: with 40 of them 1960, 640 and 160, in the last 40, too few
// to be filtered. Their channels are 40 to 320, 24 to 192 and 32 to 256.
const networks: [string, Network][] = [
  ["leaky, spectral norm", { count: 40, architecture: { imageSize: 13, width: 0.625, leakyRelu: true } }],
  ["ReLU, plain", { count: 67, architecture: { imageSize: 13, width: 0.375, leakyRelu: false, spectralNorm: false } }],
  ["half as wide as the paper's", { count: 24, architecture: { imageSize: 16, width: 0.5, leakyRelu: true } }],
];

async function network(architecture: Network["architecture"], dtype: "float32" | "float64"): Promise<ResNet> {
  const model = await ResNet.create({
    ...architecture,
    numClasses: 10,
    inChannels: 3,
    dtype,
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  });
  await fill(model);
  return model;
}

/** ‖found − expected‖ / ‖expected‖ */
function apart(found: number[], expected: number[]): number {
  const norm = (values: number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  return norm(found.map((x, i) => x - (expected[i] as number))) / norm(expected);
}

test.each(networks)("features of a network, %s", async (_, { count, architecture }) => {
  const size = architecture.imageSize as number;
  const batch = images([count, 3, size, size]);
  const [single, double] = await Promise.all((["float32", "float64"] as const).map((dtype) => network(architecture, dtype)));
  const [found, expected] = await Promise.all(
    [single, double].map(async (model) => (model as ResNet).extract(batch, { outputs: ["rawFeatures", "logits"] })),
  );
  // 4e-7 with either; a wrong term is 1e-2 or more.
  expect(apart(numbers(found!.rawFeatures), numbers(expected!.rawFeatures))).toBeLessThan(1e-5);
  expect(apart(numbers(found!.logits), numbers(expected!.logits))).toBeLessThan(1e-5);
});

test.each(networks)("gradients of a network, %s", async (name, { count, architecture }) => {
  const size = architecture.imageSize as number;
  const data = Dataset.fromArrays({
    images: pixels(count * 3 * size * size),
    labels: labels(count, 10),
    shape: [3, size, size],
    classNames: Array.from({ length: 10 }, (_, i) => String(i)),
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] },
  });
  const gradients = await Promise.all(
    (["float32", "float64"] as const).map(async (dtype) => {
      const model = await network(architecture, dtype);
      const checkpoint = directory.path(`${name.replace(/\W+/g, "-")}-${dtype}.safetensors`);
      // After one step the momentum is the gradient.
      await model.fit(data, { epochs: 1, batchSize: count, shuffle: false, momentum: 0.9, weightDecay: 0, learningRate: 1e-6, checkpoint });
      const file = await openModelFile(checkpoint);
      const momentum = new Map((await file.momentum()).map(({ name: key, tensor }) => [key, numbers(tensor)]));
      await file.close();
      return momentum;
    }),
  );
  const [found, expected] = gradients as [Map<string, number[]>, Map<string, number[]>];
  const distances = [...expected]
    .filter(([key]) => /conv\d\.weight/.test(key))
    .map(([key, gradient]) => [key, apart(found.get(key) as number[], gradient)] as const);
  expect(distances.length).toBeGreaterThan(16);
  // 5e-6 with either, but for activations that rounding takes across the kink at zero: one such can be 1e-3.
  expect(distances.filter(([, distance]) => !(distance < 1e-2))).toEqual([]);
});

// Sums that overflow become NaN, whose sign is set on these processors: an activation by the sign would make a zero of it, as
// the one fused into oneDNN's convolutions does. The last block's two convolutions are filtered.
const onAvx2 = device.info().cpuCapability === "AVX2" ? test : test.skip;
onAvx2.each([false, true])("what overflows stays visible (leaky: %s)", async (leakyRelu) => {
  const model = await network({ imageSize: 8, width: 0.125, leakyRelu, spectralNorm: false }, "float32");
  const weights = new Map(await model.weights());
  const { shape } = weights.get("layer4.1.conv1.weight") as Tensor;
  const huge = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i % 2 === 0 ? 3e38 : -3e38));
  await model.setWeights(weights.set("layer4.1.conv1.weight", Tensor.from(huge, shape)));
  const outcome = await model.extract(images([64, 3, 8, 8])).then(
    ({ features }) => numbers(features).every(Number.isFinite),
    (error: { code: string }) => error.code,
  );
  expect([false, "ERR_NON_FINITE"]).toContain(outcome);
});
