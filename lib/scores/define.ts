// The form in which a score is written: one value that declares everything. The registry turns it into what users see.

import type { Labels } from "../core/labels";
import type { FeaturesFile } from "../formats/features-file";
import type { Tensor } from "../native/tensor";
import type { ResolvedOptions, ScoreOptionTable } from "./option";
import type { Requirements, ScoreState } from "./score";

/** The matrices that the score's `needs` name, checked for dtype and shape; they live as long as the call. */
export interface Given {
  readonly features: Tensor;
  readonly rawFeatures: Tensor;
  readonly logits: Tensor;
}

/** The training outputs that the score's `needs` name; matrices are checked for dtype and shape. */
export interface GivenTraining extends Given {
  readonly labels: Labels;
  readonly weight: Tensor;
  /** Bias of the last layer, given with `weight`; undefined where the layer has none. */
  readonly bias: Tensor | undefined;
}

/** A fitted score as its definition sees it. `Facts` are the properties that users can read, among them the options on which its needs depend. */
export interface Fitted<Facts extends object> {
  readonly facts: Facts;
  /** What a user should know about the fit. Default: none. */
  readonly warnings?: readonly string[];
  /** Scores the rows: Float64Array [N], higher means more in-distribution. */
  score(given: Given, signal: AbortSignal | undefined): Promise<Float64Array>;
  /** Everything that a file has to hold; `restore` makes a score of it that gives the same numbers. */
  state(): ScoreState | Promise<ScoreState>;
  /** Frees native memory. Default: there is none. */
  dispose?(): void;
}

/** Sizes that decide the cost of a fit: rows and columns of the matrix that the score is fitted to, and the number of inputs scored after it. */
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
  /** Cost of scoring, for the table of scores. */
  readonly cost: string;
  /** Situation in which to choose the score, for the table of scores. */
  readonly chooseWhere: string;
  /** Options of the score; every score also takes `signal`. */
  readonly options: O;
  /** Description of each property that users can read of the fitted score. */
  readonly facts: { readonly [K in keyof NoInfer<Facts>]: string };
  /** Outputs that the score is fitted to and looks at; `bias` may be missing where the last layer has none. */
  readonly needs: Requirements | ((options: ResolvedOptions<O>) => Requirements);
  /** Whether the score compares classes with one another, so that with a single class it is the same number for every input. Default false. */
  readonly comparesClasses?: boolean;
  /** Number of multiplications of a fit and of the scores after it. Default: rows · columns², as for a covariance. */
  readonly multiplications?: (sizes: FitSizes) => number;
  fit(
    given: GivenTraining,
    options: ResolvedOptions<O> & { readonly signal: AbortSignal | undefined },
  ): Fitted<Facts> | Promise<Fitted<Facts>>;
  /** Fits the score to a file in one pass or a few. Default: the file is loaded, for a score that has to hold the rows. */
  fitFile?(
    file: FeaturesFile,
    options: ResolvedOptions<O> & { readonly signal: AbortSignal | undefined },
  ): Fitted<Facts> | Promise<Fitted<Facts>>;
  /** Restores a fitted score from its `state`; `where` names its source in errors. @throws ERR_CORRUPT_FILE where the state is damaged */
  restore(state: ScoreState, device: string, where: string): Fitted<Facts> | Promise<Fitted<Facts>>;
}

/** Returns the definition unchanged, and infers its types. */
export function defineScore<const N extends string, O extends ScoreOptionTable, Facts extends object>(
  definition: ScoreDefinition<N, O, Facts>,
): ScoreDefinition<N, O, Facts> {
  return definition;
}
