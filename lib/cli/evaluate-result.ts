// Prints the result of `evaluate`: one JSON object, or tables for people.

import type { Evaluation } from "../metrics";
import type { ScoreName } from "../scores";
import type { Inputs } from "./evaluate-inputs";
import type { Scored, Subject } from "./evaluate-subjects";
import type { Skipped } from "./skipped";
import { facts, share, table } from "./table";

/** What is known of one set beside its scores. */
export interface Looked extends Omit<Inputs, "rows" | "labels">, Scored {
  /** Inputs that the subject was made from. */
  readonly seen: number;
}

export interface EvaluateResult {
  readonly file: string;
  readonly subject: Pick<Subject, "kind" | "reading" | "scoreNames" | "leftOut" | "precision">;
  /** Whether scores are listed by name: "all" or several were asked for. */
  readonly byScore: boolean;
  readonly test: Looked;
  readonly accuracy: number | undefined;
  readonly ece: number | undefined;
  readonly others: ReadonlyMap<string, Looked>;
  readonly evaluations: ReadonlyMap<ScoreName, Evaluation>;
  /** Images that --skip-errors left out, of any set; undefined without it. */
  readonly skipped: Skipped["listed"] | undefined;
}

export function evaluateJson({ file, subject, byScore, test, accuracy, ece, others, evaluations, skipped }: EvaluateResult): object {
  const { kind, leftOut, precision } = subject;
  const head = { [kind]: file, precision, test: { name: test.name, count: test.count, accuracy, ece, ...recordOf(test) }, skipped };
  const withRecords = (evaluation: Evaluation) => ({
    ...evaluation,
    sets: Object.fromEntries(
      Object.entries(evaluation.sets).map(([name, set]) => [name, { ...set, ...recordOf(others.get(name) as Looked) }]),
    ),
  });
  const [first] = evaluations;
  if (!byScore && first !== undefined) return { ...head, score: first[0], ...withRecords(first[1]) };
  const scores = Object.fromEntries([...evaluations].map(([name, evaluation]) => [name, withRecords(evaluation)]));
  return { ...head, scores, leftOut };
}

function recordOf({ flagged, seen, resize, madeFrom }: Looked) {
  return { flagged, seen, resize, madeFrom };
}

export function evaluateText({ file, subject, byScore, test, accuracy, ece, others, evaluations }: EvaluateResult): string {
  const { kind, scoreNames, precision } = subject;
  const noun = subject.reading === undefined ? "inputs" : "images";
  const flagged = test.flagged === undefined ? "" : `, ${share(test.flagged)} flagged`;
  const about = facts([
    [kind, file],
    [scoreNames.length === 1 ? "score" : "scores", scoreNames.join(", ")],
    ["precision", precision],
    ["test set", `${test.name}, ${test.count} ${noun}${flagged}`],
    ["accuracy", accuracy === undefined ? undefined : share(accuracy)],
    ["calibration", ece === undefined ? undefined : `${share(ece)} expected error of the confidence`],
  ]);
  const [first] = evaluations.values();
  if (first === undefined) return about;
  return [about, ...(byScore ? tablesBySet(evaluations) : [oneTable(first, others, noun)])].join("\n\n");
}

const numbers = ["auroc", "auprIn", "auprOut", "fpr"] as const;

function headings({ choices }: Evaluation): string[] {
  return ["AUROC", "AUPR-in", "AUPR-out", `FPR${Math.round(choices.tpr * 1000) / 10}`];
}

/** A row a set, and one a group. */
function oneTable(evaluation: Evaluation, others: ReadonlyMap<string, Looked>, noun: string): string {
  const { sets, groups } = evaluation;
  const flags = [...others.values()].some(({ flagged }) => flagged !== undefined);
  const rows = Object.entries(sets).map(([name, set]) => {
    const flagged = others.get(name)?.flagged;
    return [name, set.count, ...numbers.map((key) => share(set[key])), flagged === undefined ? undefined : share(flagged)];
  });
  for (const [name, group] of Object.entries(groups)) rows.push([groupTitle(name, group), undefined, ...numbers.map((key) => share(group[key])), undefined]); // prettier-ignore
  return table(["set", noun, ...headings(evaluation), ...(flags ? ["flagged"] : [])], rows, [1]);
}

/** A table a set and a group, with a row a score: which score does best is read down a column. */
function tablesBySet(evaluations: ReadonlyMap<ScoreName, Evaluation>): string[] {
  const [first] = evaluations.values() as Iterable<Evaluation>;
  const { sets, groups } = first as Evaluation;
  const of = (title: string, numbersOf: (evaluation: Evaluation) => Readonly<Record<(typeof numbers)[number], number>>): string => {
    const rows = [...evaluations].map(([name, evaluation]) => [name, ...numbers.map((key) => share(numbersOf(evaluation)[key]))]);
    return `${title}\n${table(["score", ...headings(first as Evaluation)], rows)}`;
  };
  return [
    ...Object.entries(sets).map(([name, { count }]) =>
      of(`${name}, ${count} inputs`, (evaluation) => evaluation.sets[name] as Evaluation["sets"][string]),
    ),
    ...Object.entries(groups).map(([name, group]) =>
      of(groupTitle(name, group), (evaluation) => evaluation.groups[name] as Evaluation["groups"][string]),
    ),
  ];
}

function groupTitle(name: string, { missing }: Evaluation["groups"][string]): string {
  return missing.length === 0 ? `mean, ${name}` : `mean, ${name} (without ${missing.join(", ")})`;
}
