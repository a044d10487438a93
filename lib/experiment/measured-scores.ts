// Names of the scores that an experiment measures: those of the registry, with `:SOURCE` for a score that looks at other outputs than features.

import { LibtorchOodError } from "../core/errors";
import { modelOutputs, type ModelOutput } from "../core/model-outputs";
import { scores } from "../index";

/** Name of a score in configurations, rows and tables: `"max-softmax"`, `"gaussian-mixture"`, `"gaussian-mixture:logits"`. */
export type MeasuredScore = scores.ScoreName | `${scores.ScoreName}:${ModelOutput}`;

/** The scores of Table 1, Table 4b and Table 5 of the seed paper, in this order. */
export const featureMixture = "gaussian-mixture";
export const maxSoftmax = "max-softmax";
export const logitMixture = "gaussian-mixture:logits";

export interface ScoreChoice {
  readonly name: scores.ScoreName;
  /** The option `from`; undefined for the score's default. */
  readonly from: ModelOutput | undefined;
}

/**
 * Parses the name of a score and its source.
 *
 * @param field - name of the field in messages: "measurements.scores[0]"
 * @throws ERR_OPTION for a score that is not in the registry, or one that has no such source
 */
export function scoreChoice(text: string, field: string): ScoreChoice {
  const [name = "", from, ...rest] = text.split(":");
  const known = scores.names.find((score) => score === name);
  const source = modelOutputs.find((output) => output === from);
  if (known === undefined || rest.length > 0 || (from !== undefined && source === undefined)) {
    const expected = `one of ${scores.names.join(", ")}, or with a source of ${modelOutputs.join(", ")}, as ${logitMixture}`;
    throw new LibtorchOodError("ERR_OPTION", `${field}: expected ${expected}, found ${JSON.stringify(text)}`);
  }
  const choice = { name: known, from: source };
  try {
    requirementsOf(choice);
  } catch (cause) {
    throw new LibtorchOodError("ERR_OPTION", `${field}: ${(cause as Error).message}`, { cause });
  }
  return choice;
}

/** The outputs that the score is fitted to and looks at. */
export function requirementsOf({ name, from }: ScoreChoice): scores.Requirements {
  return from === undefined ? scores.requirements(name) : scores.requirements(name, { from });
}

/** The scores of all rows, those of the paper first. */
export function scoresOf(rows: readonly { readonly ood: Readonly<Record<string, Readonly<Record<string, unknown>>>> }[]): MeasuredScore[] {
  const found = new Set(rows.flatMap(({ ood }) => Object.values(ood).flatMap((results) => Object.keys(results))));
  const usual = [featureMixture, maxSoftmax, logitMixture].filter((score) => found.delete(score));
  return [...usual, ...[...found].sort()] as MeasuredScore[];
}
