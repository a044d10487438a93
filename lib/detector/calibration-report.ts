// Compares how well the classes of calibration and of training inputs are named. It warns if the network is too weak for its verdicts to be of use,
// and if the two sets differ from what they are said to be.

import { Scope } from "../core/scope";
import { scoreRows } from "../scores/rows";
import type { Tensor } from "../native/tensor";
import { nameClasses, type Naming } from "./class-names";
import type { Tensors } from "./outputs";
import { rowsAt, spread } from "./rows-at";

/** How well a set of inputs was classified. */
export interface NamedInputs {
  /** Number of inputs looked at: all calibration inputs; at most 2,048 training inputs, evenly spread. */
  readonly count: number;
  /** Share of inputs whose class was named correctly, 0 to 1; absent where labels were not given. */
  readonly accuracy?: number;
  /** Mean probability of the named class, 0 to 1. */
  readonly meanConfidence: number;
}

/** How well the inputs of a detector's fit were classified. Parts are absent if labels and logits were missing, and in files older than this record. */
export interface CalibrationReport {
  /** The calibration inputs. */
  readonly calibration?: NamedInputs;
  /** The training inputs. */
  readonly training?: NamedInputs;
}

/** Named inputs, with numbers that only the warnings use. */
export interface Named extends NamedInputs {
  readonly confidences: Float64Array;
  /** Largest logit less the second; undefined without logits. */
  readonly margins: Float64Array | undefined;
}

const mostTrainingInputs = 2048;

/**
 * Names the classes of inputs and says how well; undefined for a detector that names no class.
 *
 * @param limit - largest number of rows, evenly spread. Default 2048
 */
export async function nameInputs(
  naming: Naming,
  outputs: Tensors,
  labels: ArrayLike<number> | undefined,
  signal: AbortSignal | undefined,
  limit = mostTrainingInputs,
): Promise<Named | undefined> {
  const entries = Object.entries(outputs) as [keyof Tensors, Tensor][];
  const rows = entries[0]?.[1].shape[0] ?? 0;
  const chosen = spread(rows, limit);
  const sample: Tensors = {};
  return Scope.run(async (scope) => {
    for (const [kind, tensor] of entries) sample[kind] = scope.own(await rowsAt(tensor, chosen));
    const named = await nameClasses(naming, sample, signal);
    if (named === undefined) return undefined;
    const { confidences } = named;
    const right = labels === undefined ? undefined : chosen.filter((row, i) => labels[row] === named.labels[i]).length;
    return {
      count: chosen.length,
      ...(right === undefined ? {} : { accuracy: right / chosen.length }),
      meanConfidence: mean(confidences),
      confidences,
      margins: naming.labelsFrom === "logits" ? await scoreRows(sample.logits as Tensor, "logits", "margin", { signal }) : undefined,
    };
  });
}

export function reportOf({ count, accuracy, meanConfidence }: Named): NamedInputs {
  return { count, ...(accuracy === undefined ? {} : { accuracy }), meanConfidence };
}

/** The circumstances on which the warnings depend. */
export interface Circumstances {
  numClasses: number;
  /** A smaller share of inputs named correctly is warned of. undefined: one half, and no less than twice chance (of two classes, 0.75). */
  minimumAccuracy: number | undefined;
  /** "image" or "input". */
  noun: string;
  /** Whether it is unknown what the network was trained on, and logits tell how sure it is. */
  foreign: boolean;
}

/** What a user should know about the calibration; empty for a network that classifies well and sets that are alike. */
export function calibrationWarnings(calibration: Named, training: Named | undefined, circumstances: Circumstances): string[] {
  const [named, set] = calibration.accuracy === undefined && training ? [training, "training"] : [calibration, "calibration"];
  const weak = weakness(named, set, circumstances);
  const unlike = training === undefined ? [] : differences(calibration, training, circumstances);
  const seen = training !== undefined && circumstances.foreign ? suspicion(calibration, training, circumstances) : [];
  return [...weak, ...unlike, ...seen];
}

function weakness({ accuracy, count }: Named, set: string, { numClasses, minimumAccuracy, noun }: Circumstances): string[] {
  if (accuracy === undefined || numClasses < 2) return [];
  const expected = minimumAccuracy ?? Math.max(0.5, leastUsefulAccuracy(numClasses));
  if (accuracy >= expected) return [];
  const found = `${percent(accuracy)} of the ${count} ${set} ${noun}s are named rightly, by chance ${percent(1 / numClasses)} would be`;
  return [`${set}: ${found}: verdicts of this detector are of little use (expected at least ${percent(expected)})`];
}

/** Twice chance; of two classes, for which that would be perfection, halfway between chance and that. */
function leastUsefulAccuracy(numClasses: number): number {
  return numClasses === 2 ? 0.75 : 2 / numClasses;
}

/** Warnings where the two sets differ: held-out inputs of the same kind are named worse than training inputs, but not much worse, and not much better. */
function differences(calibration: Named, training: Named, { noun }: Circumstances): string[] {
  const both = `against ${noun === "image" ? "training images" : "training inputs"}`;
  const unlike = "the two sets differ, and the false-alarm rate holds only for inputs like the calibration's";
  const [held, fitted] = [calibration.accuracy, training.accuracy];
  if (held !== undefined && fitted !== undefined) {
    const error = Math.sqrt(variance(held) / calibration.count + variance(fitted) / training.count);
    const found = `calibration: ${percent(held)} named rightly ${both} of which ${percent(fitted)} are`;
    if (held < lowShare * fitted - 3 * error) return [`${found}: the network overfits, or ${unlike}`];
    if (held > fitted + smallGap + 3 * error) return [`${found}: ${unlike}; were training and calibration ${noun}s confused?`];
  }
  const error = Math.sqrt(spreadOf(calibration) / calibration.count + spreadOf(training) / training.count);
  const [sure, known] = [calibration.meanConfidence, training.meanConfidence];
  const found = `calibration: mean confidence ${sure.toFixed(3)} ${both} with ${known.toFixed(3)}`;
  if (sure < known - largeGap - 3 * error) return [`${found}: ${unlike}`];
  if (sure > known + smallGap + 3 * error) return [`${found}: ${unlike}; were training and calibration ${noun}s confused?`];
  return [];
}

/**
 * Share of the training accuracy below which calibration accuracy is suspicious. Networks of 100 classes that fit their training images completely name
 * 0.65 of other images correctly; confused labels or another domain leave less.
 */
const lowShare = 0.6;
/** Held-out inputs are not classified better than fitted ones, except by chance and because of augmentation. */
const smallGap = 0.05;
/** Overfitted networks stay confident: they lose some 0.15 of confidence on inputs of the same kind. */
const largeGap = 0.25;

/**
 * Warns of a model that was trained elsewhere on both sets: it names all calibration inputs correctly and confidently, and the fitted inputs not more
 * confidently than those.
 */
function suspicion(calibration: Named, training: Named, { noun }: Circumstances): string[] {
  const { accuracy = 0, meanConfidence, count } = calibration;
  if (count < 200 || accuracy < 0.995 || meanConfidence < 0.99) return [];
  if (!calibration.margins || !training.margins || surerBy(training.margins, calibration.margins) > 2) return [];
  return [
    `calibration: ${percent(accuracy)} named rightly with mean confidence ${meanConfidence.toFixed(3)}, as surely as the training ${noun}s: so does a model ` +
      `with ${noun}s that it was trained on. Calibration ${noun}s must not be among the model's own training data, or more in-distribution ${noun}s are flagged than asked for`,
  ];
}

/** Mann and Whitney's statistic in standard errors: above 0 where the first are greater. */
function surerBy(first: Float64Array, second: Float64Array): number {
  const all = [...Array.from(first, (value) => ({ value, own: 1 })), ...Array.from(second, (value) => ({ value, own: 0 }))];
  all.sort((a, b) => a.value - b.value);
  let ranks = 0;
  for (let start = 0; start < all.length;) {
    let end = start;
    while (end < all.length && all[end]?.value === all[start]?.value) end++;
    for (let i = start; i < end; i++) ranks += (all[i]?.own ?? 0) * ((start + end + 1) / 2); // ties share their mean rank
    start = end;
  }
  const [n, m] = [first.length, second.length];
  return (ranks - (n * (n + m + 1)) / 2) / Math.sqrt((n * m * (n + m + 1)) / 12);
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function variance(share: number): number {
  return share * (1 - share);
}

function spreadOf({ confidences, meanConfidence }: Named): number {
  return confidences.reduce((sum, value) => sum + (value - meanConfidence) ** 2, 0) / confidences.length;
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(1))} %`;
}
