// The network against an independent PyTorch one (test/reference/network.py) and against DDU's own code, whose values
// test/reference/network_values.py and network_ddu.py recorded: evaluation, two training-mode passes in which batch
// statistics and the power iteration's u and v advance, and evaluation after them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ResNet, type ResNetOptions, type Tensor } from "../../../lib";
import { checksum, deviation, entry, fill, images, numbers, seed, words, type Checksum } from "./closed-formula";

const folder = join(__dirname, "../../reference/network");

interface Output {
  rawFeatures: Checksum;
  features: Checksum;
  logits: number[][];
}

interface Recording {
  options: Omit<ResNetOptions, "numClasses" | "spectralNorm"> & {
    numClasses?: number;
    spectralNorm?: ResNetOptions["spectralNorm"] | null;
  };
  imageShape: number[];
  featureDim: number;
  eval: Output;
  training: Output[];
  evalAfter: Output;
  state: Record<string, Checksum>;
}

const recordings = readdirSync(folder)
  .filter((file) => /^(ddu-)?resnet.*\.json$/.test(file))
  .map((file) => [file.replace(".json", ""), JSON.parse(readFileSync(join(folder, file), "utf8")) as Recording] as const);

// float64: differing summation orders of two libraries over up to 53 layers. The networks of the recordings are far from
// contractive (activations reach 1e6), which is why DDU-named ones in float32 are compared by norm as well.
const tolerances = { float64: 1e-9, float32: 1e-4 };

async function worst(recording: Recording, dtype: "float32" | "float64") {
  const { numClasses = 10, spectralNorm, ...rest } = recording.options;
  const model = await ResNet.create({
    ...rest,
    numClasses,
    spectralNorm: spectralNorm ?? (spectralNorm === null ? false : undefined),
    dtype,
  });
  expect(model.featureDim).toBe(recording.featureDim);
  await fill(model);
  const x = images(recording.imageShape);
  const found: Record<string, number> = {};
  const compare = (name: string, output: { features: Tensor; rawFeatures: Tensor; logits: Tensor }, expected: Output) => {
    found[`${name} rawFeatures`] = deviation(checksum(output.rawFeatures), expected.rawFeatures);
    found[`${name} features`] = deviation(checksum(output.features), expected.features);
    const logits = numbers(output.logits);
    const flat = expected.logits.flat();
    expect(logits.length).toBe(flat.length);
    const scale = Math.max(...flat.map(Math.abs));
    found[`${name} logits`] = Math.max(...logits.map((value, i) => Math.abs(value - (flat[i] as number)) / scale));
  };
  compare("eval", await model.forward(x), recording.eval);
  for (const [i, expected] of recording.training.entries())
    compare(`training ${i + 1}`, await model.forward(x, { training: true }), expected);
  compare("eval after", await model.forward(x), recording.evalAfter);
  const state = await model.weights();
  for (const [name, expected] of Object.entries(recording.state)) {
    const tensor = state.get(name);
    if (tensor === undefined) throw new Error(`no tensor ${name}: ${[...state.keys()].join(", ")}`);
    found[name] = deviation(checksum(tensor), expected);
  }
  model.dispose();
  return found;
}

test("the formula is Python's, bit for bit", () => {
  const expected = JSON.parse(readFileSync(join(folder, "fill.json"), "utf8")) as {
    seeds: Record<string, number>;
    words: Record<string, number[]>;
    entries: Record<string, { shape: number[]; values: number[] }>;
  };
  for (const [name, value] of Object.entries(expected.seeds)) expect(seed(name)).toBe(value);
  for (const [name, values] of Object.entries(expected.words)) expect([...words(name, values.length)]).toEqual(values);
  for (const [name, { shape, values }] of Object.entries(expected.entries)) {
    expect([...entry(name, shape).slice(0, values.length)]).toEqual(values);
  }
});

describe.each(recordings)("%s", (_, recording) => {
  test.each(["float64", "float32"] as const)("%s", async (dtype) => {
    const found = await worst(recording, dtype);
    const beyond = Object.entries(found).filter(([, value]) => !(value <= tolerances[dtype]));
    expect(beyond).toEqual([]);
  });
});
