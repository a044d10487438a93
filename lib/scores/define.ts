// How a score is written: one value that says all of it. The registry makes of it what users see.

import type { Labels } from "../core/labels";
import type { Tensor } from "../native/tensor";
import type { ResolvedOptions, ScoreOptionTable } from "./option";
import type { Requirements, ScoreState } from "./score";

/** Of the model outputs, the matrices that the score's `needs` name, checked for dtype and shape; they live as long as the call. */
export interface Given {
  readonly features: Tensor;
  readonly rawFeatures: Tensor;
  readonly logits: Tensor;
}

/** The same of the training outputs. */
export interface GivenTraining extends Given {
  readonly labels: Labels;
  readonly weight: Tensor;
  /** Given along with `weight`; undefined where the last layer has none. */
  readonly bias: Tensor | undefined;
}

/** A score that was fitted, as its definition sees it; `Facts` are what users can read of it, among them the options on which its needs depend. */
export interface Fitted<Facts extends object> {
  readonly facts: Facts;
  /** What a user should know about the fit. Default: nothing. */
  readonly warnings?: readonly string[];
  /** One number per row, Float64Array [N]; higher means more in-distribution. */
  score(given: Given, signal: AbortSignal | undefined): Promise<Float64Array>;
  /** Everything that a file has to hold; `restore` makes of it a score that gives the same numbers. */
  state(): ScoreState | Promise<ScoreState>;
  /** Gives native memory back. Default: there is none. */
  dispose?(): void;
}

/** Sizes by which the cost of a fit is told: of the matrix that the score is fitted to, and how many inputs are scored after it. */
export interface FitSizes {
  readonly rows: number;
  readonly columns: number;
  readonly inputs: number;
}

/** A score. Its file has the same name, its constant that name in camel case. */
export interface ScoreDefinition<N extends string, O extends ScoreOptionTable, Facts extends object> {
  readonly name: N;
  /** The formula, as plain text. */
  readonly formula: string;
  /** Authors and year of the publication. */
  readonly source: string;
  /** What scoring costs, for the table of scores. */
  readonly cost: string;
  /** Where it serves best, for the table of scores. */
  readonly chooseWhere: string;
  /** Beside these every score takes `signal`. */
  readonly options: O;
  /** What can be read of the fitted score: what each of its facts says. */
  readonly facts: { readonly [K in keyof NoInfer<Facts>]: string };
  /** What it is fitted to and what it looks at; `bias` may be missing where the last layer has none. */
  readonly needs: Requirements | ((options: ResolvedOptions<O>) => Requirements);
  /** It compares classes with one another, so that with a single class it is the same number for every input. Default false. */
  readonly comparesClasses?: boolean;
  /** Multiplications of a fit and of the scores after it. Default: rows · columns², as for a covariance. */
  readonly multiplications?: (sizes: FitSizes) => number;
  fit(
    given: GivenTraining,
    options: ResolvedOptions<O> & { readonly signal: AbortSignal | undefined },
  ): Fitted<Facts> | Promise<Fitted<Facts>>;
  /** From what `state` gave; `where` names its source in errors. @throws ERR_CORRUPT_FILE */
  restore(state: ScoreState, device: string, where: string): Fitted<Facts> | Promise<Fitted<Facts>>;
}

/** The definition as it is, with its types. */
export function defineScore<const N extends string, O extends ScoreOptionTable, Facts extends object>(
  definition: ScoreDefinition<N, O, Facts>,
): ScoreDefinition<N, O, Facts> {
  return definition;
}
