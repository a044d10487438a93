// ResNets of all five depths against torchvision's (test/reference/network_torchvision.py), by files with torchvision's parameter names: images of several
// sizes, a training-mode pass, and SGD steps with frozen layers and two learning rates.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Dataset, ResNet, Tensor } from "../../../lib";
import { writeSafetensors, type SafetensorsArray, type SafetensorsDtype } from "../../../lib/formats/safetensors";
import { openModelFile } from "../../../lib/models/resnet/model-file";
import { resolveArchitecture } from "../../../lib/models/resnet/architecture";
import { tensorsOf } from "../../../lib/models/resnet/tensor-shapes";
import { temporaryDirectory } from "../../support/temporary-directory";
import { checksum, deviation, entry, images, labels, numbers, pixels, type Checksum } from "./closed-formula";

const directory = temporaryDirectory();

interface Output {
  rawFeatures: Checksum;
  logits: Checksum;
  row: number[];
}

interface Case {
  depth: 18 | 34 | 50 | 101 | 152;
  width: number;
  eval: (Output & { size: [number, number] })[];
  training?: Output;
  statistics: Checksum;
  evalAfter: Output;
}

const recorded = JSON.parse(readFileSync(join(__dirname, "../../reference/network/torchvision.json"), "utf8")) as {
  classes: number;
  cases: Case[];
  fineTuning: {
    depth: 18;
    width: number;
    images: [number, number, number, number];
    batchSize: number;
    epochs: number;
    momentum: number;
    weightDecay: number;
    learningRate: { head: number; body: number };
    frozen: string[];
    mean: number[];
    std: number[];
    losses: number[];
    state: Record<string, Checksum>;
    momentumBuffers: Record<string, Checksum>;
  };
};

/** A file as torchvision's own, of weights by the formula. */
async function weightsFile(depth: Case["depth"], width: number): Promise<string> {
  const path = directory.path(`${depth}-${width}.safetensors`);
  const options = { depth, width, numClasses: recorded.classes, stem: "imagenet", avgPoolShortcut: false, spectralNorm: false } as const;
  const last = depth < 50 ? /^layer.*bn2\.weight$/ : /^layer.*bn3\.weight$/;
  const tensors = tensorsOf(resolveArchitecture(options)).map(({ name, shape, dtype }) => {
    const values = last.test(name) ? entry(name, shape).map((value) => value / 4) : entry(name, shape);
    const [stored, data]: [SafetensorsDtype, SafetensorsArray] = dtype === "int64" ? ["I64", Int32Array.from(values)] : ["F64", values];
    return { name: name.replace(".shortcut.", ".downsample."), dtype: stored, shape, data };
  });
  await writeSafetensors(path, tensors);
  return path;
}

// Of two libraries' summation orders over up to 152 layers.
const tolerances = { float64: 1e-9, float32: 1e-4 };

describe.each(recorded.cases.map((one) => [`ResNet${one.depth}, width ${one.width}`, one] as const))("%s", (_, one) => {
  test.each(["float64", "float32"] as const)("%s", async (dtype) => {
    const model = await ResNet.load(await weightsFile(one.depth, one.width), { dtype });
    expect(model.architecture).toMatchObject({ depth: one.depth, width: one.width, stem: "imagenet", imageSize: 224, leakyRelu: false });
    const beyond: string[] = [];
    const compare = (name: string, { rawFeatures, logits }: { rawFeatures: Tensor; logits: Tensor }, expected: Output) => {
      const first = numbers(logits).slice(0, expected.row.length);
      const apart = [
        deviation(checksum(rawFeatures), expected.rawFeatures),
        deviation(checksum(logits), expected.logits),
        ...first.map((value, i) => Math.abs(value - (expected.row[i] as number)) / expected.logits.norm),
      ];
      if (!(Math.max(...apart) <= tolerances[dtype])) beyond.push(`${name}: ${apart.join(", ")}`);
    };
    const outputs = ["rawFeatures", "logits"] as const;
    model.normalization = { mean: [0, 0, 0], std: [1, 1, 1] };
    for (const { size, ...expected } of one.eval) {
      const x = images([1, 3, ...size]);
      compare(`forward of ${size.join("×")}`, await model.forward(x), expected);
      compare(`extract of ${size.join("×")}`, await model.extract(x, { outputs }), expected);
    }
    if (one.training !== undefined) {
      const x = images([2, 3, ...(one.eval.at(-1)?.size ?? [])]);
      compare("training", await model.forward(x, { training: true }), one.training);
      compare("evaluation after", await model.forward(x), one.evalAfter);
      const found = statistics(await model.weights());
      if (!(deviation(checksum(found), one.statistics) <= tolerances[dtype])) beyond.push("statistics");
    }
    expect(beyond).toEqual([]);
    model.dispose();
  });
});

/** All running statistics, in the order of the names. */
function statistics(weights: Map<string, Tensor>): Tensor {
  const names = [...weights.keys()].filter((name) => name.includes("running_")).sort();
  return Tensor.from(Float64Array.from(names.flatMap((name) => numbers(weights.get(name) as Tensor))));
}

/** The largest deviation of the layers, each over its tensors in the order of their names. */
function deviations(tensors: Iterable<readonly [string, Tensor]>, expected: Record<string, Checksum>): Record<string, number> {
  const layers = new Map<string, number[]>();
  for (const [name, tensor] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const layer = name.split(".")[0] as string;
    layers.set(layer, [...(layers.get(layer) ?? []), ...numbers(tensor)]);
  }
  expect([...layers.keys()].sort()).toEqual(Object.keys(expected).sort());
  return Object.fromEntries(
    [...layers].map(([layer, values]) => [layer, deviation(checksum(Tensor.from(Float64Array.from(values))), expected[layer] as Checksum)]),
  );
}

test("SGD steps with frozen layers and two learning rates are PyTorch's, and a resumed run ends with the same bits", async () => {
  const { fineTuning: run } = recorded;
  const [count, channels, height, width] = run.images;
  const data = Dataset.fromArrays({
    images: pixels(count * channels * height * width),
    labels: labels(count, recorded.classes),
    shape: [channels, height, width],
    classNames: Array.from({ length: recorded.classes }, (_, i) => String(i)),
    normalization: { mean: run.mean, std: run.std },
  });
  const file = await weightsFile(run.depth, run.width);
  const { batchSize, learningRate, frozen, momentum: friction, weightDecay } = run;
  const options = { batchSize, learningRate, frozen, weightDecay, momentum: friction, shuffle: false } as const;
  const model = await ResNet.load(file, { dtype: "float64" });
  const before = await model.weights();
  const whole = directory.path("whole.safetensors");
  const reports = await model.fit(data, { ...options, epochs: run.epochs, checkpoint: whole });
  const steps = Math.ceil(count / batchSize);
  reports.forEach(({ loss, learningRate: rate }, i) => {
    const expected = run.losses.slice(i * steps, (i + 1) * steps).reduce((a, b) => a + b) / steps;
    expect(Math.abs(loss / expected - 1)).toBeLessThan(1e-8);
    expect(rate).toBe(learningRate.body);
  });
  const after = await model.weights();
  for (const [layer, apart] of Object.entries(deviations(after, run.state))) expect([layer, apart < 1e-8]).toEqual([layer, true]);
  const checkpoint = await openModelFile(whole);
  const momentum = (await checkpoint.momentum()).map(({ name, tensor }) => [name, tensor] as const);
  await checkpoint.close();
  for (const [layer, apart] of Object.entries(deviations(momentum, run.momentumBuffers)))
    expect([layer, apart < 1e-6]).toEqual([layer, true]);
  for (const [name, tensor] of before) {
    const isFrozen = frozen.some((part) => name.startsWith(`${part}.`));
    expect([name, String(numbers(tensor)) === String(numbers(after.get(name) as Tensor))]).toEqual([name, isFrozen]);
  }

  const interrupted = directory.path("interrupted.safetensors");
  await (await ResNet.load(file, { dtype: "float64" })).fit(data, { ...options, epochs: 1, checkpoint: interrupted });
  const resumed = await ResNet.load(file, { dtype: "float64" });
  await resumed.fit(data, { ...options, epochs: 2, checkpoint: interrupted, resume: true });
  for (const [name, tensor] of await resumed.weights()) {
    expect([name, String(numbers(tensor)) === String(numbers(after.get(name) as Tensor))]).toEqual([name, true]);
  }
});
