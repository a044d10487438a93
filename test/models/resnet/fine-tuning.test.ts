// A fresh last layer on a trained body, learning rates by group, and frozen layers.

import { readFileSync } from "node:fs";
import { ResNet, type FitOptions, type Tensor } from "../../../lib";
import { temporaryDirectory } from "../../support/temporary-directory";
import { numbers } from "./closed-formula";
import { libraryFailureOf, tinyData, tinyNetwork, useOneThread, weightBytes } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();
const train = tinyData(60);
const changed = (before: Record<string, string>, after: Record<string, string>) =>
  Object.keys(before).filter((name) => before[name] !== after[name]);

describe("withHead", () => {
  test("has the body's weights, a last layer drawn from the seed, and switches of its own", async () => {
    const model = await tinyNetwork({ seed: 3, l2Normalize: false });
    await model.fit(train, { epochs: 1 });
    const head = await model.withHead(["a", "b", "c", "d", "e"], { seed: 1, l2Normalize: true, temperature: 0.5 });
    expect(head.architecture).toEqual({ ...model.architecture, numClasses: 5, l2Normalize: true, temperature: 0.5 });
    expect([head.classNames, head.normalization]).toEqual([["a", "b", "c", "d", "e"], model.normalization]);
    const [old, own] = [await weightBytes(model), await weightBytes(head)];
    expect(changed(old, own)).toEqual(["fc.weight", "fc.bias"]);
    expect(await head.overlap(train)).toEqual(await model.overlap(train));
    const again = await weightBytes(await model.withHead(["a", "b", "c", "d", "e"], { seed: 1 }));
    const other = await weightBytes(await model.withHead(["a", "b", "c", "d", "e"], { seed: 2 }));
    expect([again["fc.weight"] === own["fc.weight"], other["fc.weight"] === own["fc.weight"]]).toEqual([true, false]);
    const weight = numbers((await head.weights()).get("fc.weight") as Tensor); // U(−1/√d, 1/√d)
    const bound = 1 / Math.sqrt(head.featureDim);
    expect(weight.every((value) => Math.abs(value) <= bound)).toBe(true);
    expect(Math.max(...weight.map(Math.abs))).toBeGreaterThan(0.9 * bound);
    expect((await head.extract(train)).logits.shape).toEqual([60, 5]);
    expect(await weightBytes(model)).toEqual(old);
  });

  test.each([
    ["one class", [["a"]], "ERR_OPTION", /^classNames: expected at least 2 names/],
    ["a name twice", [["a", "a"]], "ERR_OPTION", /a/],
    ["no list", ["ab"], "ERR_OPTION", /^classNames: expected at least 2 names/],
    ["an unknown option", [["a", "b"], { depth: 50 }], "ERR_OPTION", /depth/],
    ["a temperature of 0", [["a", "b"], { temperature: 0 }], "ERR_RANGE", /^temperature/],
  ] as const)("%s is refused", async (_, given, code, message) => {
    const model = await tinyNetwork();
    const error = await libraryFailureOf(() => model.withHead(...(given as unknown as Parameters<ResNet["withHead"]>)));
    expect([error.code, message.test(error.message)]).toEqual([code, true]);
  });
});

describe("frozen layers", () => {
  test("keep parameters, running statistics and vectors of the spectral norm; all others move", async () => {
    const model = await tinyNetwork({ spectralNorm: {} });
    const before = await weightBytes(model);
    await model.fit(train, { epochs: 1, frozen: ["layer2", "conv1", "bn1.weight", "layer3.0.bn1", "fc.bias"] });
    const moved = changed(before, await weightBytes(model));
    const kept = Object.keys(before).filter((name) => !moved.includes(name));
    const frozen = (name: string) => /^(conv1|layer2|layer3\.0\.bn1)\./.test(name) || name === "bn1.weight" || name === "fc.bias";
    expect(kept.filter((name) => !name.endsWith("weight_sigma") && !frozen(name))).toEqual([]);
    // A batch norm of which a part is frozen still keeps count.
    expect(moved.filter((name) => frozen(name) && !name.endsWith("weight_sigma"))).toEqual([]);
    expect(moved).toEqual(expect.arrayContaining(["bn1.bias", "bn1.running_mean", "bn1.num_batches_tracked", "fc.weight"]));
  });

  test("are trained again by a later call, whose gradients they have", async () => {
    const model = await tinyNetwork();
    await model.fit(train, { epochs: 1, frozen: ["layer1", "layer2", "layer3", "layer4", "conv1", "bn1"] });
    const before = await weightBytes(model);
    await model.fit(train, { epochs: 1 });
    expect(changed(before, await weightBytes(model))).toEqual(expect.arrayContaining(["conv1.weight_orig", "layer3.0.bn1.running_var"]));
  });

  test.each([
    [
      "a name of nothing",
      { frozen: ["layer5"] },
      "ERR_OPTION",
      /^frozen: expected names of parameters or modules of the network.*found "layer5"/,
    ],
    ["a part of a name", { frozen: ["layer"] }, "ERR_OPTION", /^frozen: .*found "layer"/],
    ["a buffer", { frozen: ["bn1.running_mean"] }, "ERR_OPTION", /^frozen: /],
    [
      "everything",
      { frozen: ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"] },
      "ERR_OPTION",
      /^frozen: expected a parameter left/,
    ],
    [
      "all that the loss knows",
      { frozen: ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc.weight"], loss: "neural-collapse" },
      "ERR_OPTION",
      /^frozen: expected a parameter left that the loss depends on/,
    ],
    ["no list", { frozen: "fc" }, "ERR_OPTION", /^frozen: expected an array of names/],
    ["a rate for a group alone", { learningRate: { head: 1 } }, "ERR_OPTION", /^learningRate\.body: /],
    ["a rate for an unknown group", { learningRate: { head: 1, body: 1, neck: 1 } }, "ERR_OPTION", /neck/],
    ["a negative rate", { learningRate: { head: -1, body: 1 } }, "ERR_RANGE", /^learningRate\.head: /],
    [
      "a preset of other depths",
      { preset: "seed-paper" },
      "ERR_OPTION",
      /^preset: expected a ResNet18 or ResNet50, .* found a ResNet34/,
      34,
    ],
  ] as const)("%s is refused", async (_, options, code, message, depth: 18 | 34 = 18) => {
    const model = await tinyNetwork({ depth });
    const error = await libraryFailureOf(() => model.fit(train, { epochs: 1, ...options } as unknown as FitOptions));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
  });
});

test("a rate of 0 for the body moves the head alone, but running statistics", async () => {
  const model = await tinyNetwork();
  const before = await weightBytes(model);
  const [report] = await model.fit(train, { epochs: 1, learningRate: { head: 0.1, body: 0 } });
  expect(report?.learningRate).toBe(0);
  const moved = changed(before, await weightBytes(model)).filter((name) => !/running_|num_batches|weight_(u|v|sigma)$/.test(name));
  expect(moved).toEqual(["fc.weight", "fc.bias"]);
});

test("a run with frozen layers and two rates resumes bit for bit; with others it is refused", async () => {
  const options = { epochs: 3, frozen: ["layer1", "bn1"], learningRate: { head: 0.1, body: 0.01 }, augmentation: "crop-flip" } as const;
  const whole = await tinyNetwork({ seed: 2 });
  await whole.fit(train, options);
  const checkpoint = directory.path("checkpoint.safetensors");
  await (await tinyNetwork({ seed: 2 })).fit(train, { ...options, epochs: 2, checkpoint });
  const saved = readFileSync(checkpoint);
  for (const other of [{ frozen: ["layer1"] }, { learningRate: { head: 0.1, body: 0.02 } }, { learningRate: 0.1 }]) {
    const error = await libraryFailureOf(async () => (await tinyNetwork()).fit(train, { ...options, ...other, checkpoint, resume: true }));
    expect([error.code, error.message]).toEqual(["ERR_OPTION", expect.stringMatching(/differs in option (frozen|learningRate) \(/)]);
  }
  expect(readFileSync(checkpoint)).toEqual(saved);
  const resumed = await tinyNetwork({ seed: 5 });
  const frozen = [...options.frozen].reverse();
  await resumed.fit(train, { ...options, frozen, checkpoint, resume: true });
  expect(await weightBytes(resumed)).toEqual(await weightBytes(whole));
});
