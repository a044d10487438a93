// What holds for every score alike: outputs that are checked, state that survives, disposal, abort, an event loop that turns.

import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";
import { auroc } from "../../lib/metrics";
import * as linalg from "../../lib/statistics/linalg";
import * as scores from "../../lib/scores";
import { restoreScore } from "../../lib/scores/fit";
import { definitionOf } from "../../lib/scores/registry";
import type { ModelOutputs, ScoreName, TrainingOutputs } from "../../lib/scores";
import { Tensor } from "../../lib/native/tensor";
import { countTurns } from "../support/event-loop";
import { set } from "../support/feature-sets";
import { uniform } from "../models/resnet/closed-formula";

const refused = (code: string, message = "") => expect.objectContaining({ code, message: expect.stringContaining(message) });
const s = set("random");
const logits = (rows: number, name: string) => ({ data: uniform(name, rows * 5).map((value) => 4 * value), shape: [rows, 5] });
const training: TrainingOutputs = {
  features: s.features,
  rawFeatures: s.features,
  logits: logits(s.labels.length, "training logits"),
  labels: s.labels,
  weight: s.weight,
  bias: s.bias,
};
const outputs: ModelOutputs = { features: s.queries, rawFeatures: s.queries, logits: logits(6, "query logits") };

test("there is a score for each file in definitions/, by the name of the file", () => {
  const files = readdirSync(join(packageRoot, "lib", "scores", "definitions")).map((file) => basename(file, ".ts"));
  expect(scores.names).toEqual(files.sort());
  for (const name of ["energy", "gaussian-mixture", "max-softmax", "nearest-neighbours", "vim"]) expect(scores.names).toContain(name);
});

/**
 * Clusters, one per class, which logits tell apart; and inputs between the clusters: short features off the plane of the class means, and logits
 * close to one another.
 */
const clusters = (() => {
  const [classes, dimensions, rows] = [4, 8, 240];
  const direction = (c: number, j: number) => (j === c ? 4 : j < classes ? 0 : 0.5);
  const made = (name: string, center: (c: number, j: number) => number, spread: number, logit: number) => {
    const noise = uniform(`clusters ${name}`, rows * (dimensions + classes));
    const features = Float64Array.from({ length: rows * dimensions }, (_, i) => {
      return center(Math.floor(i / dimensions) % classes, i % dimensions) + spread * (noise[i] as number);
    });
    const logits = Float64Array.from({ length: rows * classes }, (_, i) => {
      const own = Math.floor(i / classes) % classes === i % classes;
      return (own ? logit : 0) + 0.2 * (noise[rows * dimensions + i] as number);
    });
    const matrix = { data: features, shape: [rows, dimensions] };
    return { features: matrix, rawFeatures: matrix, logits: { data: logits, shape: [rows, classes] } };
  };
  const labels = Int32Array.from({ length: rows }, (_, i) => i % classes);
  const weight = {
    data: Float64Array.from({ length: classes * dimensions }, (_, i) => direction(Math.floor(i / dimensions), i % dimensions)),
  };
  return {
    training: { ...made("training", direction, 0.3, 8), labels, weight: { ...weight, shape: [classes, dimensions] } },
    inside: made("inside", direction, 0.3, 8),
    outside: made("outside", () => 0, 2, 1),
  };
})();

/** Whether a description may hold that value: such as an option has, or nothing where there were no labels. */
function isPossible(name: ScoreName, key: string, value: unknown): boolean {
  if (key === "k") return false; // 1e9 of them are more than there are points
  if (key === "temperature") return value === 1e9; // of max-logit, which has no such option, as well
  if (key === "smallestClass") return value === undefined;
  try {
    const option = definitionOf(name).options[key];
    return option?.check(value, key) === value && option !== undefined && value !== undefined;
  } catch {
    return false;
  }
}

describe.each([...scores.names])("%s", (name) => {
  test("needs what its requirements say, and nothing else", async () => {
    const needs = scores.requirements(name);
    const pick = (keys: readonly string[], from: object) => Object.fromEntries(Object.entries(from).filter(([key]) => keys.includes(key)));
    using score = await scores.fit(name, pick(needs.fit, training));
    expect(score.name).toBe(name);
    expect(score.needs).toEqual(needs.score);
    const answers = await score.score(pick(needs.score, outputs));
    expect(answers).toHaveLength(6);
    expect(answers.every(Number.isFinite)).toBe(true);
    expect(await score.score(outputs)).toEqual(answers);
    for (const key of needs.score) {
      await expect(
        score.score(
          pick(
            needs.score.filter((other) => other !== key),
            outputs,
          ),
        ),
      ).rejects.toEqual(refused("ERR_OPTION", key));
    }
    for (const key of needs.fit.filter((needed) => needed !== "bias")) {
      const less = pick(
        needs.fit.filter((other) => other !== key),
        training,
      );
      await expect(scores.fit(name, less)).rejects.toEqual(refused("ERR_OPTION", key));
    }
  });

  test("inputs like the training inputs score higher than far ones", async () => {
    using score = await scores.fit(name, clusters.training);
    const [inside, outside] = [await score.score(clusters.inside), await score.score(clusters.outside)];
    expect(auroc(inside, outside)).toBeGreaterThan(0.9);
  });

  test("comes back from its state with the same answers to the last bit", async () => {
    using score = await scores.fit(name, training);
    const state = await score.state();
    const stored = { description: JSON.parse(JSON.stringify(state.description)) as Record<string, unknown>, tensors: state.tensors };
    for (const { tensor } of state.tensors) expect(["float32", "float64", "int64"]).toContain(tensor.dtype);
    using restored = await restoreScore(name, stored, "cpu", "a file");
    expect(await restored.score(outputs)).toEqual(await score.score(outputs));
    expect(restored.warnings).toEqual(score.warnings);
    expect(restored.needs).toEqual(score.needs);
  });

  test("a damaged state is refused", async () => {
    using score = await scores.fit(name, training);
    const { description, tensors } = await score.state();
    for (const key of Object.keys(description)) {
      for (const value of [undefined, null, -1, "?", [], 1e9]) {
        if (isPossible(name, key, value)) continue;
        const damaged = { description: { ...description, [key]: value }, tensors };
        await expect(restoreScore(name, damaged, "cpu", "a file")).rejects.toEqual(refused("ERR_CORRUPT_FILE", "a file"));
      }
    }
    for (const { name: lost } of tensors) {
      const rest = tensors.filter((other) => other.name !== lost);
      await expect(restoreScore(name, { description, tensors: rest }, "cpu", "a file")).rejects.toEqual(refused("ERR_CORRUPT_FILE"));
    }
  });

  test("NaN, infinity, other shapes and dtypes are refused", async () => {
    using score = await scores.fit(name, training);
    for (const key of score.needs) {
      const { data, shape } = outputs[key] as { data: Float64Array; shape: [number, number] };
      for (const bad of [NaN, Infinity]) {
        const spoilt = { data: data.map((value, i) => (i === shape[1] ? bad : value)), shape };
        await expect(score.score({ ...outputs, [key]: spoilt })).rejects.toEqual(refused("ERR_NON_FINITE", "row 1"));
      }
      await expect(score.score({ ...outputs, [key]: { data, shape: [data.length] } })).rejects.toEqual(refused("ERR_SHAPE", key));
      await expect(score.score({ ...outputs, [key]: { data: new Float64Array(0), shape: [0, shape[1]] } })).rejects.toEqual(
        refused("ERR_SHAPE", key),
      );
      const whole = { data: Int32Array.from(data), shape };
      await expect(score.score({ ...outputs, [key]: whole })).rejects.toEqual(refused("ERR_DTYPE", key));
      const text = "text" as unknown as Tensor;
      await expect(score.score({ ...outputs, [key]: text })).rejects.toEqual(refused("ERR_OPTION", key));
    }
    const needed = scores.requirements(name).fit;
    for (const key of needed.filter((other) => other !== "labels")) {
      const { data, shape } = training[key] as { data: Float64Array; shape: number[] };
      const spoilt = { data: data.map((value, i) => (i === 1 ? NaN : value)), shape };
      await expect(scores.fit(name, { ...training, [key]: spoilt })).rejects.toEqual(refused("ERR_NON_FINITE", key));
    }
  });

  test("it says of itself what is so", async () => {
    const { formula, source, cost, chooseWhere, requirements, options, properties } = scores.describe(name);
    for (const text of [formula, source, cost, chooseWhere]) expect(text).toMatch(/\S/);
    expect(requirements).toEqual(scores.requirements(name));
    using score = await scores.fit(name, training);
    expect(Object.keys(score)).toEqual(expect.arrayContaining(properties.map((property) => property.name)));
    for (const { name: option, expected, description, default: value, otherwise } of options) {
      expect([expected, description]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/^\S.*\.$/)]);
      expect(value ?? otherwise).toBeDefined();
      // Asking for the default is asking for nothing.
      if (value !== undefined) (await scores.fit(name, training, { [option]: value } as never)).dispose();
      await expect(scores.fit(name, training, { [option]: Symbol(option) } as never)).rejects.toEqual(refused("ERR_OPTION", option));
    }
  });

  test("unknown options and outputs are refused", async () => {
    expect(() => scores.requirements(name, { typo: 1 } as never)).toThrow(refused("ERR_OPTION", "typo"));
    await expect(scores.fit(name, training, { jitters: 1 } as never)).rejects.toEqual(refused("ERR_OPTION", "jitters"));
    using score = await scores.fit(name, training);
    await expect(score.score({ ...outputs, feature: s.queries } as ModelOutputs)).rejects.toEqual(refused("ERR_OPTION", "feature"));
    await expect(score.score(undefined as unknown as ModelOutputs)).rejects.toEqual(refused("ERR_OPTION", "outputs"));
    await expect(score.score(outputs, { signals: 1 } as never)).rejects.toEqual(refused("ERR_OPTION", "signals"));
    await expect(scores.fit(name, { ...training, label: s.labels } as TrainingOutputs)).rejects.toEqual(refused("ERR_OPTION", "label"));
  });

  test("dispose, twice, and use after it", async () => {
    const score = await scores.fit(name, training);
    score.dispose();
    score.dispose();
    await expect(score.score(outputs)).rejects.toEqual(refused("ERR_DISPOSED"));
    await expect(score.state()).rejects.toEqual(refused("ERR_DISPOSED"));
  });

  test("a signal that has fired, and one that fires", async () => {
    using score = await scores.fit(name, training);
    await expect(score.score(outputs, { signal: AbortSignal.abort("enough") })).rejects.toMatchObject({
      code: "ERR_ABORTED",
      cause: "enough",
    });
    const rows = 40_000;
    const large = (columns: number) => Tensor.from(new Float32Array(rows * columns).fill(0.5), [rows, columns]);
    const many: ModelOutputs = { features: large(8), rawFeatures: large(8), logits: large(5) };
    const control = new AbortController();
    const before = linalg.svdvals({ data: Float64Array.from({ length: 512 * 512 }, (_, i) => Math.sin(i * i)), shape: [512, 512] });
    const scored = score.score(many, { signal: control.signal }); // native ones wait for their turn, so that the signal comes in time
    control.abort();
    await expect(scored).rejects.toEqual(refused("ERR_ABORTED"));
    (await before).dispose();
    expect(await score.score(outputs)).toHaveLength(6);
  });
});

test("the source may be the logits or the raw features", async () => {
  const other = { features: outputs.logits as Tensor };
  for (const name of ["gaussian-mixture", "mahalanobis", "relative-mahalanobis", "nearest-neighbours"] as const) {
    expect(scores.requirements(name, { from: "logits" }).score).toEqual(["logits"]);
    using onLogits = await scores.fit(name, training, { from: "logits" });
    using plain = await scores.fit(name, { ...training, features: training.logits });
    expect(await onLogits.score({ logits: outputs.logits })).toEqual(await plain.score(other));
    await expect(scores.fit(name, training, { from: "images" as never })).rejects.toEqual(refused("ERR_OPTION", "images"));
  }
});

test("arguments of single scores", async () => {
  await expect(scores.fit("vit" as ScoreName)).rejects.toEqual(refused("ERR_OPTION", "vit"));
  await expect(scores.fit("energy", {}, { temperature: 0 })).rejects.toEqual(refused("ERR_RANGE", "temperature"));
  await expect(scores.fit("max-logit", {}, { temperature: 2 } as never)).rejects.toEqual(refused("ERR_OPTION", "temperature"));
  for (const k of [0, 201]) await expect(scores.fit("nearest-neighbours", training, { k })).rejects.toEqual(refused("ERR_RANGE", "k"));
  for (const dimension of [0, 8]) {
    await expect(scores.fit("vim", training, { dimension })).rejects.toEqual(refused("ERR_RANGE", "dimension"));
  }
  await expect(scores.fit("vim", { ...training, weight: s.features })).rejects.toEqual(refused("ERR_SHAPE", "weight"));
  await expect(scores.fit("vim", { ...training, logits: logits(3, "few") })).rejects.toEqual(refused("ERR_SHAPE", "logits"));
  const bias = { data: new Float64Array(4), shape: [4] };
  await expect(scores.fit("vim", { ...training, bias })).rejects.toEqual(refused("ERR_SHAPE", "bias"));
  for (const name of ["mahalanobis", "relative-mahalanobis"] as const) {
    await expect(scores.fit(name, training, { numClasses: 4 })).rejects.toEqual(refused("ERR_RANGE", "label"));
  }
  using score = await scores.fit("nearest-neighbours", training);
  await expect(score.score({ features: logits(3, "narrow") })).rejects.toEqual(refused("ERR_SHAPE", "8 columns"));
});

test("ViM: no bias counts as zeros, and a subspace that leaves nothing is refused", async () => {
  using plain = await scores.fit("vim", { ...training, bias: undefined });
  using zeros = await scores.fit("vim", { ...training, bias: { data: new Float64Array(5), shape: [5] } });
  expect(await plain.score(outputs)).toEqual(await zeros.score(outputs));
  // Eight rows in three dimensions of eight: with the origin at zero, three directions explain them.
  const flat = { data: Float64Array.from({ length: 64 }, (_, i) => (i % 8 < 3 ? Math.sin(i * i) : 0)), shape: [8, 8] };
  const few = { features: flat, logits: logits(8, "eight"), weight: s.weight };
  await expect(scores.fit("vim", few, { dimension: 3 })).rejects.toEqual(refused("ERR_RANGE", "dimension"));
  (await scores.fit("vim", few, { dimension: 2 })).dispose();
});

test("a missing class and a singular covariance are warned of", async () => {
  const missing = set("class 2 missing");
  using score = await scores.fit("mahalanobis", { features: missing.features, labels: missing.labels }, { numClasses: 4 });
  expect(score.warnings).toEqual([expect.stringContaining("no samples of class 2")]);
});

test("the event loop turns while logits are scored", async () => {
  const rows = 400_000;
  const many = { logits: Tensor.from(new Float32Array(rows * 10).fill(0.5), [rows, 10]) };
  const energy = await scores.fit("energy");
  const { turns } = await countTurns(() => energy.score(many));
  expect(turns).toBeGreaterThan(5);
});

test("a tensor may be disposed of while a call reads it piece by piece", async () => {
  using score = await scores.fit("max-logit");
  const rows = Tensor.from(new Float32Array(400_000).fill(2), [200_000, 2]);
  const answers = score.score({ logits: rows });
  rows.dispose();
  expect((await answers).every((answer) => answer === 2)).toBe(true);
});

test.each(["gaussian-mixture", "mahalanobis", "relative-mahalanobis", "nearest-neighbours", "vim", "feature-norm"] as const)(
  "%s: an input too far off for a number is an error",
  async (name) => {
    using score = await scores.fit(name, training, name === "nearest-neighbours" ? { normalize: false, k: 3 } : {});
    const columns = s.features.shape[1] as number;
    const data = Float64Array.from({ length: 2 * columns }, (_, i) => (i < columns ? 1 : 1.7e308));
    const far = { data, shape: [2, columns] };
    const given = { features: far, rawFeatures: far, logits: { data: new Float64Array(10).fill(1), shape: [2, 5] } };
    await expect(score.score(given)).rejects.toEqual(refused("ERR_RANGE", name === "nearest-neighbours" ? "features" : "row 1"));
  },
);

test("an energy beyond float64 is an error", async () => {
  using hot = await scores.fit("energy", {}, { temperature: 1e308 });
  await expect(hot.score({ logits: { data: new Float64Array(5).fill(1.7e308), shape: [1, 5] } })).rejects.toEqual(
    refused("ERR_RANGE", "energy"),
  );
});

test("nearest neighbours warn where k exceeds the smallest class, also from a file; without labels nobody can tell", async () => {
  const { features, labels } = training;
  const smallest = Math.min(...s.counts);
  for (const [k, warns] of [
    [smallest, false],
    [smallest + 1, true],
  ] as const) {
    using score = await scores.fit("nearest-neighbours", { features, labels }, { k });
    const expected = warns ? [expect.stringContaining(`the smallest class has ${smallest} samples`)] : [];
    expect(score.warnings).toEqual(expected);
    const { description, tensors } = await score.state();
    const stored = { description: JSON.parse(JSON.stringify(description)) as Record<string, unknown>, tensors };
    using restored = await restoreScore("nearest-neighbours", stored, "cpu", "file");
    expect(restored.warnings).toEqual(expected);
    expect((await scores.fit("nearest-neighbours", { features }, { k })).warnings).toEqual([]);
  }
  await expect(scores.fit("nearest-neighbours", { features, labels: [0, 1] }, { k: 1 })).rejects.toEqual(refused("ERR_SHAPE", "labels"));
});
