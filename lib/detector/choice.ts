// Chooses a detector's score, its options and the number of classes, from the caller's options, a preset and the data.

import { fail, integer } from "../core/checks";
import { checkClassNames } from "../core/class-names";
import { LibtorchOodError } from "../core/errors";
import { classesIn } from "../native/labels-tensor";
import { presetOf, withPreset, type PresetRecord } from "../protocols/preset";
import { definitionOf, type ScoreName, type ScoreOptions } from "../scores/registry";
import type { Tensor } from "../native/tensor";
import type { CommonFitOptions } from "./options";

/** The name of the score, its options, which override the preset's, and a record of what was overridden. */
export function chooseScore<N extends ScoreName>(given: CommonFitOptions<N>) {
  const name = (given.score ?? "gaussian-mixture") as N;
  const stated = (given.scoreOptions ?? {}) as ScoreOptions[N] & object;
  if (typeof stated !== "object") fail("ERR_OPTION", "scoreOptions", "an options object", stated);
  const own = name === "gaussian-mixture" ? (stated as ScoreOptions["gaussian-mixture"]).preset : undefined;
  const preset = presetOf(own ?? given.preset);
  if (preset === undefined) return { name, scoreOptions: stated, record: undefined };
  if (name !== "gaussian-mixture") {
    const record: PresetRecord = { name: preset.name, overridden: ["score"] };
    return { name, scoreOptions: stated, record };
  }
  const from = preset.features === "raw" ? "rawFeatures" : "features";
  const { options, record } = withPreset(preset, { ...preset.mixture, from } as Partial<typeof stated>, stated);
  return { name, scoreOptions: { ...options, preset: preset.name }, record };
}

/** The options with `numClasses` and `device` for scores that take them: the last classes may have no samples, from which the number could follow. */
export function withClasses<N extends ScoreName>(
  name: N,
  options: ScoreOptions[N],
  numClasses: number,
  device: string,
  signal: AbortSignal | undefined,
): ScoreOptions[N] {
  const known = { numClasses, device };
  const taken = Object.entries(known).filter(([option]) => option in definitionOf(name).options);
  return { ...(Object.fromEntries(taken) as Partial<typeof known>), signal, ...options };
}

/**
 * The number of classes: the columns of the logits, else the number of names, else the greatest label + 1, else 0.
 *
 * @throws ERR_SHAPE if there is another number of names than columns of the logits; ERR_RANGE for a label of no class
 */
export function classCount(names: readonly string[] | undefined, logits: Tensor | undefined, labels: Tensor | undefined): number {
  let greatest = -1;
  labels?.toArray().forEach((label: number | bigint, i: number) => {
    if (label < 0) throw new LibtorchOodError("ERR_RANGE", `labels[${i}]: expected a label of at least 0, found ${label}`);
    greatest = Math.max(greatest, Number(label));
  });
  const columns = logits?.shape[1];
  const classes = columns ?? names?.length ?? (labels === undefined ? 0 : classesIn(labels, "labels"));
  if (names !== undefined) checkClassNames(names, classes, "one per column of the logits");
  if (greatest >= 0) integer(greatest, "the greatest label", 0, classes - 1);
  return classes;
}
