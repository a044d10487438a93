// Configurations: the published schema and our validator agree, errors give the path, defaults are the paper's; YAML where its package is.

import Ajv from "ajv";
import { configurationSchema, knownDatasets, readConfiguration, resolveConfiguration } from "../../lib/experiment/configuration";
import { datasetReaders } from "../../lib/experiment/data";
import { checkJson } from "../../lib/experiment/json-schema";
import { experimentPresets } from "../../lib/experiment/presets";
import { temporaryDirectory } from "../support/temporary-directory";
import { failureOf, libraryFailureOf } from "../models/resnet/tiny-network";

const folder = temporaryDirectory();

const full = {
  name: "everything",
  inDistribution: "cifar10",
  outOfDistribution: ["svhn", "folder:photos", "Textures=dtd/images"],
  imageSize: 64,
  seeds: [0, 7],
  validation: { share: 0.2, seed: 3 },
  training: { learningRate: 0.05, momentum: 0.9, weightDecay: 0, gamma: 0.2, augmentation: "none", precision: "bfloat16" },
  mixture: { covariance: "tied", fewSamples: "oas", prior: "none", jitter: 1e-6 },
  measurements: { every: 2, scores: ["max-softmax"], singularValues: 0, samples: 5 },
  subset: { train: 100, test: 10 },
  scale: { epochs: { run: 3, of: 60 }, batchSize: 32, width: 0.5 },
  cells: [
    {
      depth: [18, 50],
      spectralNorm: [true, false],
      avgPoolShortcut: false,
      l2Normalize: true,
      epochs: 60,
      milestones: [40, 50],
      batchSize: 512,
      width: 2,
    },
    {
      depth: 18,
      l2Normalize: [true, false],
      epochs: 350,
      featureDim: 2,
      intervention: { epoch: 50, epochs: 20, learningRate: 0.01, milestones: [10], batchSize: 2048 },
    },
  ],
};

/** Every place in a value: the value itself, and those inside it. */
function places(value: unknown): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [[]];
  const keys = Array.isArray(value) ? value.map((_, index) => index) : Object.keys(value);
  return [[], ...keys.flatMap((key) => places((value as Record<string, unknown>)[key]).map((rest) => [key, ...rest]))];
}

function replaced(value: unknown, [key, ...rest]: (string | number)[], other: unknown): unknown {
  if (key === undefined) return other;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
  const inner = replaced(copy[key], rest, other);
  if (inner === undefined) delete copy[key];
  else copy[key] = inner;
  return copy;
}

describe("schema and validator", () => {
  const validate = new Ajv().compile(configurationSchema);
  const accepts = (value: unknown): boolean => {
    try {
      checkJson(value, configurationSchema, "it");
      return true;
    } catch {
      return false;
    }
  };

  it("accepts every preset and a configuration with every field", () => {
    for (const example of [full, ...Object.values(experimentPresets)]) {
      expect(accepts(example)).toBe(true);
      expect(validate(JSON.parse(JSON.stringify(example)))).toBe(true);
    }
  });

  it("judges as a JSON Schema validator does, with any value in any place, one left out, or one too many", () => {
    const others = [null, -1, 0, 1, 1.5, 18, 1e9, "", "x", "full", true, [], [1], [1, 1], [true, true], {}, { extra: 1 }];
    let refused = 0;
    for (const place of places(full)) {
      for (const other of [...others, ...(typeof place.at(-1) === "string" ? [undefined] : [])]) {
        const value = replaced(full, place, other);
        expect([place, other, accepts(value)]).toEqual([place, other, validate(value)]);
        if (!accepts(value)) refused++;
      }
      const longer = replaced(full, [...place, "extra"], 1);
      if (!Array.isArray(longer)) expect([place, accepts(longer)]).toEqual([place, validate(longer)]);
    }
    expect(refused).toBeGreaterThan(500);
  });

  it.each([
    [{ cells: [{ ...full.cells[0], depth: 34 }] }, "cells[0].depth: expected one of 18, 50, or a list of at least 1 item, found 34"],
    [{ cells: [{ ...full.cells[0], depth: [18, 34] }] }, "cells[0].depth[1]: expected one of 18, 50, found 34"],
    [{ seeds: 0 }, "seeds: expected a whole number from 1 to 10000, or a list of at least 1 item, found 0"],
    [{ seeds: [1, 1] }, "seeds[1]: expected no item twice, found 1"],
    [{ training: { lr: 1 } }, "training.lr: expected one of the fields learningRate, momentum,"],
    [{ outOfDistribution: undefined }, "outOfDistribution: expected a value (data sets whose test images"],
    [{ measurements: { scores: ["softmax"] } }, "measurements.scores[0]: expected one of energy, entropy, feature-norm"],
    [{ measurements: { scores: ["vim:logits"] } }, "measurements.scores[0]: options"],
    [{ measurements: { scores: ["energy", "mahalanobis:weights"] } }, "measurements.scores[1]: expected a text like"],
    [{ validation: { share: 1 } }, "validation.share: expected a number above 0, below 1, found 1"],
    [{ cells: [] }, "cells: expected a list of at least 1 item, found an array of length 0"],
    [{ outOfDistribution: ["cifar10"] }, 'outOfDistribution[0]: expected another data set than inDistribution, found "cifar10"'],
    [{ outOfDistribution: ["dtd"] }, 'outOfDistribution[0]: expected one of "cifar10", "cifar100", "svhn", "tiny-imagenet", "mnist"'],
    [
      { outOfDistribution: ["tinyimagenet"] },
      'outOfDistribution[0]: expected one of "cifar10", "cifar100", "svhn", "tiny-imagenet", "mnist"',
    ],
    [{ outOfDistribution: ["folder:a/b", "b=x"] }, "outOfDistribution[1]: expected another name than outOfDistribution[0]"],
    [{ outOfDistribution: ["folder:."] }, 'outOfDistribution[0]: expected a name for ., as NAME=., found "folder:."'],
    [{ outOfDistribution: ["folder:/"] }, "outOfDistribution[0]: expected a name for /, as NAME=/"],
    [{ outOfDistribution: [" =a"] }, "outOfDistribution[0]: expected a name for a, as NAME=a"],
    [{ outOfDistribution: ["folder:a/test"] }, "outOfDistribution[0]: expected another name than train, validation, test, as NAME=a/test"],
    [{ outOfDistribution: ["svhn=mine"] }, "outOfDistribution[0]: expected another name than that of a data set, as NAME=mine"],
    [
      { cells: [{ depth: 18, l2Normalize: true, epochs: 9, milestones: [5, 4] }] },
      "cells[0].milestones[1]: expected more than 5, the one before, found 4",
    ],
    [
      { cells: [{ depth: [18, 50], l2Normalize: true, epochs: 9, featureDim: 2 }] },
      "cells[0].featureDim: expected a multiple of 4 for depth 50, found 2",
    ],
    [
      { cells: [{ depth: 18, l2Normalize: true, epochs: 9, intervention: { epoch: 10, epochs: 1 } }] },
      "cells[0].intervention.epoch: expected at most the 9 epochs of the cell, found 10",
    ],
  ])("says where %j does not fit", async (change, message) => {
    const error = await libraryFailureOf(() => resolveConfiguration({ ...full, ...change }, "my.json"));
    expect(error.code).toBe("ERR_OPTION");
    expect(error.message).toContain(`my.json: ${message}`);
  });
});

it("knows the data sets that there are readers for", () => {
  expect([...knownDatasets].sort()).toEqual(Object.keys(datasetReaders).sort());
});

it("fills in the paper's choices and changes nothing that was given", () => {
  const given = {
    inDistribution: "cifar10",
    outOfDistribution: ["svhn"],
    seeds: 15,
    cells: [{ depth: 18, l2Normalize: true, epochs: 60 }],
  };
  const before = structuredClone(given);
  const resolved = resolveConfiguration(given, "it");
  expect(given).toEqual(before);
  expect(resolved.training).toEqual({
    ...{ learningRate: 0.1, momentum: 0.9, weightDecay: 5e-4, gamma: 0.1 },
    ...{ augmentation: "crop-flip", precision: "float32" },
  });
  expect(resolved.validation).toEqual({ share: 0.1, seed: 0 });
  expect(resolved.mixture).toEqual({ covariance: "full", fewSamples: "ledoit-wolf", prior: "empirical", jitter: "relative" });
  expect(resolved.cells[0]).toMatchObject({ spectralNorm: true, avgPoolShortcut: true, batchSize: 1024, width: 1, milestones: [] });
  expect(resolveConfiguration(full, "it")).toMatchObject(full);
});

describe("files", () => {
  it("reads JSON, and YAML to the same", async () => {
    const yaml =
      "inDistribution: cifar10\noutOfDistribution: [svhn]\nseeds: 2\ncells:\n  - depth: 18\n    l2Normalize: [true, false]\n    epochs: 60\n";
    const json = {
      inDistribution: "cifar10",
      outOfDistribution: ["svhn"],
      seeds: 2,
      cells: [{ depth: 18, l2Normalize: [true, false], epochs: 60 }],
    };
    expect(await readConfiguration(folder.put("a.yaml", yaml))).toEqual(json);
    expect(await readConfiguration(folder.put("a.json", JSON.stringify(json)))).toEqual(json);
  });

  it("names the file that is no JSON, and the one that is not there", async () => {
    const broken = folder.put("broken.json", "{");
    await expect(readConfiguration(broken)).rejects.toMatchObject({ code: "ERR_CORRUPT_FILE", message: expect.stringContaining(broken) });
    await expect(readConfiguration(folder.path("none.json"))).rejects.toMatchObject({ code: "ERR_IO" });
  });

  it("says what YAML needs where its package is not installed", async () => {
    jest.doMock("yaml", () => {
      throw Object.assign(new Error("Cannot find module 'yaml'"), { code: "MODULE_NOT_FOUND" });
    });
    const error = await failureOf(() => readConfiguration(folder.path("a.yaml")));
    expect(error).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("npm install yaml") });
  });
});
