// Parses the scores that a command line asks for, and their options: `--score energy,vim`, `--score all`, `--score-option vim.dimension=64`.

import { InvalidArgumentError } from "commander";
import { LibtorchOodError } from "../core/errors";
import { describe, names, type ScoreName } from "../scores";
import { keyValue } from "./option-values";

export type ScoreChoice = "all" | readonly ScoreName[];

/** Parses names separated by commas, or "all", for commander. @throws InvalidArgumentError for anything else */
export function scoreChoice(text: string): ScoreChoice {
  if (text === "all") return "all";
  const chosen = text.split(",").map((name) => name.trim());
  const wrong = chosen.find((name, i) => !names.includes(name as ScoreName) || chosen.indexOf(name) !== i);
  if (wrong === undefined) return chosen as ScoreName[];
  throw new InvalidArgumentError(`Expected all, or different names of ${names.join(", ")} with commas, found ${JSON.stringify(wrong)}.`);
}

/** Options by score; the key undefined stands for the only score. */
export type ScoreOptionList = ReadonlyMap<ScoreName | undefined, Record<string, unknown>>;

/** Parses one more "[SCORE.]NAME=VALUE". @throws InvalidArgumentError for anything else */
export function scoreOption(text: string, before: ScoreOptionList = new Map()): ScoreOptionList {
  const [, score, rest = text] = /^([a-z-]+)\.(.*)$/s.exec(text) ?? [];
  if (score !== undefined && !names.includes(score as ScoreName)) {
    throw new InvalidArgumentError(`Expected SCORE.NAME=VALUE with SCORE one of ${names.join(", ")}.`);
  }
  const key = score as ScoreName | undefined;
  return new Map([...before, [key, keyValue(rest, before.get(key))]]);
}

/** Whether a score has an option of that name. */
export function takes(score: ScoreName, option: string): boolean {
  return describe(score).options.some(({ name }) => name === option);
}

/** The options of all scores, for a help text; each is listed once, with the scores that take it. */
export function scoreOptionsHelp(): string {
  const takenBy = new Map<string, ScoreName[]>();
  for (const score of names) {
    for (const { name, expected } of describe(score).options) {
      if (name === "device") continue; // an option of the command itself
      const line = `${name}: ${expected}`;
      takenBy.set(line, [...(takenBy.get(line) ?? []), score]);
    }
  }
  const lines = [...takenBy].map(([line, scores]) => `  ${line} (${scores.join(", ")})`);
  return ["Options of scores, for --score-option:", ...lines.sort()].join("\n");
}

interface Chosen {
  readonly score?: ScoreChoice;
  readonly scoreOption?: ScoreOptionList;
}

/** The options of one of the scores. @throws ERR_OPTION for an option without score if there are several, and for one of a score that was not asked for */
export function optionsOf({ score, scoreOption: list }: Chosen, name: ScoreName): Record<string, unknown> | undefined {
  if (list === undefined) return undefined;
  const several = score === "all" || (score !== undefined && score.length > 1);
  const found = [...list.keys()];
  if (several && found.includes(undefined)) {
    throw new LibtorchOodError("ERR_OPTION", "--score-option: expected SCORE.NAME=VALUE where there are several scores, found no score");
  }
  const chosen: readonly ScoreName[] = score === "all" ? names : (score ?? ["max-softmax"]);
  const unasked = found.find((key) => key !== undefined && !chosen.includes(key));
  if (unasked !== undefined) {
    throw new LibtorchOodError("ERR_OPTION", `--score-option: expected an option of ${chosen.join(", ")}, found one of ${unasked}`);
  }
  const options = { ...(several ? {} : list.get(undefined)), ...list.get(name) };
  return Object.keys(options).length === 0 ? undefined : options;
}

/**
 * @param obstacle why a score cannot be measured; undefined where it can
 * @throws ERR_OPTION where one that was named cannot be; of "all" it is left out
 */
export function chosenScores(
  score: ScoreChoice | undefined,
  obstacle: (name: ScoreName) => string | undefined,
): { names: readonly ScoreName[]; all: boolean; leftOut: readonly { score: ScoreName; reason: string }[] } {
  const all = score === "all";
  const wanted: readonly ScoreName[] = all ? names : (score ?? ["max-softmax"]);
  const leftOut = wanted.flatMap((name) => {
    const reason = obstacle(name);
    return reason === undefined ? [] : [{ score: name, reason }];
  });
  const [first] = leftOut;
  if (first !== undefined && (!all || leftOut.length === wanted.length)) {
    throw new LibtorchOodError("ERR_OPTION", `${first.reason} (${first.score})`);
  }
  return { names: wanted.filter((name) => !leftOut.some((other) => other.score === name)), all, leftOut };
}
