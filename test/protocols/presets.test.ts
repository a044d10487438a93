// Presets: what they say reaches network, training, mixture and evaluation; what a caller says goes first, and is recorded.

import { metrics, presets, ResNet } from "../../lib";
import { resolveFitOptions } from "../../lib/models/resnet/fit-options";
import { libraryFailureOf, tinyArchitecture, tinyData, useOneThread } from "../models/resnet/tiny-network";
import { temporaryDirectory } from "../support/temporary-directory";

useOneThread();
const directory = temporaryDirectory();

test("they are frozen to the bottom", () => {
  const frozen = (value: unknown): boolean =>
    typeof value !== "object" || value === null || (Object.isFrozen(value) && Object.values(value).every(frozen));
  expect(frozen(presets)).toBe(true);
});

test("only DDU's own preset has its absolute jitter (trap 2)", () => {
  expect(Object.entries(presets).map(([name, { mixture }]) => [name, mixture.jitter])).toEqual([
    ["seed-paper", "relative"],
    ["ddu-2021", "ddu"],
    ["openood-1.5", "relative"],
  ]);
});

test.each([
  ["seed-paper", 18, { epochs: 60, batchSize: 1024, milestones: [40, 50], nesterov: false }],
  ["seed-paper", 50, { epochs: 100, batchSize: 1024, milestones: [75, 90], nesterov: false }],
  ["ddu-2021", 18, { epochs: 350, batchSize: 128, milestones: [150, 250], nesterov: false }],
  ["openood-1.5", 18, { epochs: 100, batchSize: 128, schedule: "cosine", nesterov: true }],
] as const)("training of %s, ResNet%i", (preset, depth, wanted) => {
  const { epochs, recipe, preset: record } = resolveFitOptions({ preset }, depth);
  expect({ epochs, ...recipe }).toMatchObject({
    ...wanted,
    learningRate: 0.1,
    momentum: 0.9,
    weightDecay: 5e-4,
    cropPadding: 4,
    horizontalFlip: true,
  });
  expect(record).toEqual({ name: preset, overridden: [] });
});

test("architecture, training and the file keep the record; overriding is named", async () => {
  const model = await ResNet.create({ ...tinyArchitecture, preset: "openood-1.5", l2Normalize: true, leakyRelu: false });
  expect(model.architecture).toMatchObject({ leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: true });
  expect(model.preset).toEqual({ name: "openood-1.5", overridden: ["l2Normalize"] });
  const options = { preset: "ddu-2021", epochs: 1, batchSize: 8, milestones: [150, 250], validation: 0.25 } as const;
  const [report] = await model.fit(tinyData(32), options);
  expect(report?.preset).toEqual({ name: "ddu-2021", overridden: ["epochs", "batchSize", "validation"] });
  await model.save(directory.path("model.safetensors"));
  expect((await ResNet.load(directory.path("model.safetensors"))).preset).toEqual(model.preset);
  expect((await ResNet.create({ ...tinyArchitecture })).preset).toBeUndefined();
  expect(await libraryFailureOf(() => ResNet.create({ ...tinyArchitecture, preset: "ddu" as never }))).toMatchObject({
    code: "ERR_OPTION",
  });
  model.dispose();
});

describe("metrics.evaluate", () => {
  const known = [0.9, 0.8, 0.75, 0.6, 0.5];
  const sets = { "CIFAR-100": [0.7, 0.55, 0.2], SVHN: [0.5, 0.1], MNIST: [0.95, 0.3, 0.2, 0.1] };

  test("names of sets that an object has already are names like any other", () => {
    const named = JSON.parse('{"__proto__": [0.1, 0.2], "constructor": [0.3], "toString": [0.4]}') as Record<string, number[]>;
    const groups = JSON.parse('{"__proto__": ["constructor", "__proto__"], "hasOwnProperty": ["valueOf"]}') as Record<string, string[]>;
    const result = metrics.evaluate(known, named, { groups });
    expect(Object.entries(result.sets).map(([name, { count }]) => [name, count])).toEqual([["__proto__", 2], ["constructor", 1], ["toString", 1]]); // prettier-ignore
    expect(Object.entries(result.groups).map(([name, group]) => [name, group.sets])).toEqual([["__proto__", ["constructor", "__proto__"]]]);
    expect(JSON.parse(JSON.stringify(result.sets))).toHaveProperty(["__proto__", "count"], 2);
    expect([result.sets["valueOf"], result.groups["valueOf"]]).toEqual([undefined, undefined]);
  });

  test("each preset's choices, macro-averages over the sets that there are", () => {
    const result = metrics.evaluate(known, sets, { preset: "openood-1.5", imageLists: { SVHN: "test_svhn.txt" } });
    const far = [sets.SVHN, sets.MNIST];
    const mean = (of: (ood: number[]) => number) => far.reduce((sum, ood) => sum + of(ood), 0) / 2;
    expect(result.preset).toEqual({ name: "openood-1.5", overridden: [] });
    expect(result.groups.far).toMatchObject({ sets: ["MNIST", "SVHN"], missing: ["Textures", "Places365"] });
    expect(result.groups.far?.auroc).toBeCloseTo(
      mean((ood) => metrics.auroc(known, ood)),
      14,
    );
    expect(result.groups.far?.fpr).toBeCloseTo(
      mean((ood) => metrics.fprAtTpr(known, ood, { positive: "out" })),
      14,
    );
    expect(result.groups.far?.aupr).toBeCloseTo(
      mean((ood) => metrics.aupr(known, ood, { positive: "out", estimator: "trapezoid" })),
      14,
    );
    expect(result.groups.near).toMatchObject({ sets: ["CIFAR-100"], missing: ["Tiny ImageNet"] });
    expect(result.sets["CIFAR-100"]).toMatchObject({ count: 3, imageList: "unfiltered" });
    expect(result.sets.SVHN?.imageList).toBe("test_svhn.txt");
    const ddu = metrics.evaluate(known, sets, { preset: "ddu-2021", tpr: 0.8 });
    expect(ddu.preset).toEqual({ name: "ddu-2021", overridden: ["tpr"] });
    expect(ddu.sets.SVHN?.aupr).toBe(metrics.aupr(known, sets.SVHN, { positive: "in" }));
    expect(ddu.sets.SVHN?.fpr).toBe(metrics.fprAtTpr(known, sets.SVHN, { positive: "in", tpr: 0.8 }));
  });

  test("OpenOOD's groups are those of the in-distribution set", () => {
    const near = { "CIFAR-10": [0.7, 0.2], "CIFAR-100": [0.6, 0.1], SVHN: [0.5] };
    const groupsFor = (inDistributionSet?: string) =>
      metrics.evaluate(known, near, { preset: "openood-1.5", ...(inDistributionSet && { inDistributionSet }) }).groups;
    expect(groupsFor("CIFAR-100").near).toMatchObject({ sets: ["CIFAR-10"], missing: ["Tiny ImageNet"] });
    expect(groupsFor("CIFAR-10")).toEqual(groupsFor());
    expect(groupsFor().near).toMatchObject({ sets: ["CIFAR-100"], missing: ["Tiny ImageNet"] });
    expect(groupsFor("CIFAR-100").far).toEqual(groupsFor().far);
    expect(groupsFor("MNIST")).toEqual({});
    expect(groupsFor("toString")).toEqual({});
  });

  test("without a preset: the defaults of the metrics, no record", () => {
    const { preset, choices, sets: found } = metrics.evaluate(known, sets);
    expect(preset).toBeUndefined();
    expect(choices).toEqual({ auprPositive: "in", auprEstimator: "average-precision", fprPositive: "out", tpr: 0.95, groups: {} });
    expect(found.MNIST?.aupr).toBe(metrics.aupr(known, sets.MNIST));
    expect(found.MNIST?.fpr).toBe(metrics.fprAtTpr(known, sets.MNIST));
  });

  test("what is refused", async () => {
    for (const [code, call] of [
      ["ERR_SHAPE", () => metrics.evaluate(known, {})],
      ["ERR_OPTION", () => metrics.evaluate(known, sets, { imageLists: null as never })],
      ["ERR_OPTION", () => metrics.evaluate(known, sets, { imageLists: { SVHN: 5 as never } })],
      ["ERR_OPTION", () => metrics.evaluate(known, sets, { imageLists: { a: "b" } })],
      ["ERR_OPTION", () => metrics.evaluate(known, sets, { preset: "none" as never })],
      ["ERR_NON_FINITE", () => metrics.evaluate(known, { a: [NaN] })],
    ] as const) {
      expect(await libraryFailureOf(call)).toMatchObject({ code });
    }
  });
});
