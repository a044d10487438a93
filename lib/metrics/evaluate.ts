// The usual numbers of an out-of-distribution experiment at once, for one or several sets, by the choices of a named preset.

import { fail, finite, oneOf, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { presetOf, withPreset, type EvaluationChoices, type Preset, type PresetName, type PresetRecord } from "../protocols/preset";
import { aupr } from "./aupr";
import { auroc } from "./auroc";
import { fprAtTpr } from "./fpr";
import type { NumberList } from "./scores";

/** Options of `metrics.evaluate`. */
export interface EvaluateOptions extends Partial<EvaluationChoices> {
  /** Gives every choice below that is not given itself. */
  preset?: PresetName;
  /**
   * Name of the in-distribution set, such as `"CIFAR-100"`: the preset's groups are those for it, and none where the preset has none for it.
   * Without a name they are those for CIFAR-10.
   */
  inDistributionSet?: string;
  /** Name of the list of images that each set was reduced to (OpenOOD removes images that show a class of the training data); none: "unfiltered". */
  imageLists?: Readonly<Record<string, string>>;
}

/** Numbers between 0 and 1 of one out-of-distribution set, or their means over a group. */
export interface EvaluationNumbers {
  /** Chance that an in-distribution input scores higher than an out-of-distribution one; ties count one half. */
  readonly auroc: number;
  /** Of the set that `choices.auprPositive` names. */
  readonly aupr: number;
  /** AUPR with the in-distribution set as the positive one. */
  readonly auprIn: number;
  /** AUPR with the out-of-distribution set as the positive one. */
  readonly auprOut: number;
  /** False-positive rate at the true-positive rate `choices.tpr` of the set that `choices.fprPositive` names. */
  readonly fpr: number;
}

/** What `metrics.evaluate` returns. */
export interface Evaluation {
  /** The preset that the choices came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** The choices that the numbers follow, all of them filled in. */
  readonly choices: EvaluationChoices;
  /** The numbers of each out-of-distribution set, by its name. */
  readonly sets: Readonly<
    Record<
      string,
      EvaluationNumbers & {
        /** Number of inputs of the set. */
        readonly count: number;
        /** Name of the list of images that the set was reduced to, or "unfiltered". */
        readonly imageList: string;
      }
    >
  >;
  /** Macro-averages over groups of sets: each set counts alike, whatever its size. */
  readonly groups: Readonly<
    Record<
      string,
      EvaluationNumbers & {
        /** Members of the group that were given. */
        readonly sets: readonly string[];
        /** Members of the group that were not given. */
        readonly missing: readonly string[];
      }
    >
  >;
}

const choiceKeys = ["auprPositive", "auprEstimator", "fprPositive", "tpr", "groups"] as const;
const numberKeys = ["auroc", "aupr", "auprIn", "auprOut", "fpr"] as const;

/**
 * AUROC, AUPR and FPR of in-distribution scores against those of each out-of-distribution set, higher meaning more in-distribution.
 *
 * Without a preset: `auprPositive: "in"`, `auprEstimator: "average-precision"`, `fprPositive: "out"`, `tpr: 0.95`, no groups, as {@link aupr} and
 * {@link fprAtTpr} have it. The result says what was chosen.
 *
 * @param outOfDistribution scores by the name of the set; the groups of a preset go by these names
 * @throws ERR_OPTION, ERR_SHAPE for an empty list or no set at all, ERR_NON_FINITE, ERR_DTYPE, ERR_RANGE
 * @example
 * const { sets, groups } = metrics.evaluate(test, { "CIFAR-100": near, SVHN: far }, { preset: "openood-1.5" });
 * sets.SVHN.auroc; // groups.near.fpr, sets.SVHN.imageList === "unfiltered"
 */
export function evaluate(
  inDistribution: NumberList,
  outOfDistribution: Readonly<Record<string, NumberList>>,
  options: EvaluateOptions = {},
): Evaluation {
  const keys = [...choiceKeys, "preset", "imageLists", "inDistributionSet"] as const;
  const { preset: name, imageLists = {}, inDistributionSet, ...given } = optionsObject(options, "options", keys);
  const lists = checkImageLists(imageLists);
  const preset = presetOf(name);
  const { options: chosen, record } = withPreset<Partial<EvaluationChoices>>(preset, presetChoices(preset, inDistributionSet), given);
  const choices = checkChoices(chosen);
  if (typeof outOfDistribution !== "object" || outOfDistribution === null || ArrayBuffer.isView(outOfDistribution)) {
    fail("ERR_OPTION", "outOfDistribution", "an object of scores by the name of their set", outOfDistribution);
  }
  const sets = byName<EvaluationNumbers & { count: number; imageList: string }>();
  for (const [set, scores] of Object.entries(outOfDistribution)) {
    const estimator = choices.auprEstimator;
    const auprIn = aupr(inDistribution, scores, { positive: "in", estimator });
    const auprOut = aupr(inDistribution, scores, { positive: "out", estimator });
    sets[set] = {
      auroc: auroc(inDistribution, scores),
      aupr: choices.auprPositive === "in" ? auprIn : auprOut,
      auprIn,
      auprOut,
      fpr: fprAtTpr(inDistribution, scores, { positive: choices.fprPositive, tpr: choices.tpr }),
      count: scores.length,
      imageList: lists.get(set) ?? "unfiltered",
    };
  }
  const names = Object.keys(sets);
  if (names.length === 0) throw new LibtorchOodError("ERR_SHAPE", "outOfDistribution: expected at least one set, found none");
  for (const list of lists.keys()) {
    if (!names.includes(list))
      throw new LibtorchOodError("ERR_OPTION", `imageLists: ${JSON.stringify(list)} is not among ${names.join(", ")}`);
  }
  const groups = byName<EvaluationNumbers & { sets: string[]; missing: string[] }>();
  for (const [group, members] of Object.entries(choices.groups)) {
    const present = members.filter((member) => names.includes(member));
    if (present.length === 0) continue;
    const mean = (key: keyof EvaluationNumbers): number =>
      present.reduce((sum, set) => sum + (sets[set] as EvaluationNumbers)[key], 0) / present.length;
    const numbers = Object.fromEntries(numberKeys.map((key) => [key, mean(key)])) as unknown as EvaluationNumbers;
    groups[group] = { ...numbers, sets: present, missing: members.filter((member) => !names.includes(member)) };
  }
  return { preset: record, choices, sets, groups };
}

/** Names of sets come from outside, from folders: without a prototype `__proto__` and `constructor` are names like any other. */
function byName<T>(): Record<string, T> {
  return Object.create(null) as Record<string, T>;
}

function presetChoices(preset: Preset | undefined, inDistributionSet: string | undefined): EvaluationChoices | undefined {
  if (inDistributionSet === undefined) return preset?.evaluation;
  const set = string(inDistributionSet, "inDistributionSet");
  return preset && { ...preset.evaluation, groups: Object.hasOwn(preset.groups, set) ? (preset.groups[set] ?? {}) : {} };
}

function checkImageLists(given: unknown): ReadonlyMap<string, string> {
  if (typeof given !== "object" || given === null) fail("ERR_OPTION", "imageLists", "an object of names of lists", given);
  return new Map(Object.entries(given).map(([set, list]) => [set, string(list, `imageLists.${set}`)]));
}

function checkChoices(given: Partial<EvaluationChoices>): EvaluationChoices {
  const { auprPositive = "in", auprEstimator = "average-precision", fprPositive = "out", tpr = 0.95, groups = {} } = given;
  if (typeof groups !== "object" || groups === null || !Object.values(groups).every((sets) => Array.isArray(sets))) {
    fail("ERR_OPTION", "groups", "an object of lists of sets", groups);
  }
  return {
    auprPositive: oneOf(auprPositive, "auprPositive", ["in", "out"]),
    auprEstimator: oneOf(auprEstimator, "auprEstimator", ["average-precision", "trapezoid"]),
    fprPositive: oneOf(fprPositive, "fprPositive", ["in", "out"]),
    tpr: finite(tpr, "tpr", 0, 1),
    groups,
  };
}
