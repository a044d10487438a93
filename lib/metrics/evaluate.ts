// The usual numbers of an out-of-distribution experiment at once, for one or several sets, by the choices of a named preset.

import { fail, finite, oneOf, optionsObject, string } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { presetOf, withPreset, type EvaluationChoices, type Preset, type PresetName, type PresetRecord } from "../protocols/preset";
import { aupr } from "./aupr";
import { auroc } from "./auroc";
import { fprAtTpr } from "./fpr";
import type { NumberList } from "./scores";

/** Options of {@link evaluate}. The choices that decide the numbers may be given one by one or by a preset. */
export interface EvaluateOptions extends Partial<EvaluationChoices> {
  /** The protocol of a publication, which gives every choice that is not given itself. Default: none. */
  preset?: PresetName;
  /**
   * Name of the in-distribution set, such as `"CIFAR-100"`. The groups are then the preset's groups for that set, or none where the preset has none
   * for it. Default: the groups for CIFAR-10.
   */
  inDistributionSet?: string;
  /**
   * Name of the list of images that each set was reduced to, by the name of the set. OpenOOD removes images that show a class of the training data.
   * Default: `"unfiltered"`.
   */
  imageLists?: Readonly<Record<string, string>>;
}

/** Numbers from 0 to 1 of one out-of-distribution set, or their means over a group of sets. */
export interface EvaluationNumbers {
  /** Probability that an in-distribution input scores higher than an out-of-distribution one; ties count one half. */
  readonly auroc: number;
  /** AUPR with the set that `choices.auprPositive` names as the positive one. */
  readonly aupr: number;
  /** AUPR with the in-distribution set as the positive one. */
  readonly auprIn: number;
  /** AUPR with the out-of-distribution set as the positive one. */
  readonly auprOut: number;
  /** False-positive rate where the true-positive rate of the set that `choices.fprPositive` names is `choices.tpr`. */
  readonly fpr: number;
}

/** What {@link evaluate} gives. */
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
 * AUROC, AUPR and FPR of in-distribution scores against the scores of each out-of-distribution set. Higher scores must mean more in-distribution.
 *
 * Without a preset the choices are `auprPositive: "in"`, `auprEstimator: "average-precision"`, `fprPositive: "out"`, `tpr: 0.95` and no groups, which
 * are the defaults of {@link aupr} and {@link fprAtTpr}. The result holds the choices that it follows.
 *
 * @param inDistribution - scores of in-distribution inputs, any length from 1
 * @param outOfDistribution - scores of each out-of-distribution set, by its name. The groups of a preset refer to these names.
 * @param options - preset and choices
 * @throws ERR_SHAPE for an empty list, and where there is no out-of-distribution set; ERR_NON_FINITE for NaN or infinity in the scores; ERR_DTYPE for
 *   anything but numbers; ERR_OPTION where an option is unknown or wrong, and where `imageLists` names a set that is not given; ERR_RANGE where `tpr`
 *   is outside (0, 1]
 * @example
 * import { metrics } from "libtorch-ood";
 *
 * const test = [0.9, 0.8, 0.7];
 * const { sets, groups } = metrics.evaluate(test, { "CIFAR-100": [0.75, 0.1], SVHN: [0.2] }, { preset: "openood-1.5" });
 * console.log(sets["SVHN"]?.auroc, groups["near"]?.fpr);
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

/** An object without a prototype: names of sets come from outside, from folders, and `__proto__` and `constructor` are names like any other. */
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
