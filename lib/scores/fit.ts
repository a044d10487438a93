// Fits any score by its name, and restores one from the state in a file.

import { optionalSignal, optionsObject } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
import { located } from "../core/located";
import { FeaturesFile } from "../formats/features-file";
import type { Fitted } from "./define";
import { withOutputs, withTraining } from "./given";
import { definitionOf, needsOf, resolveOptions, type AnyDefinition, type ScoreName, type ScoreOf, type ScoreOptions } from "./registry";
import type { ModelOutputs, Requirements, Score, ScoreCallOptions, ScoreState, TrainingOutputs } from "./score";

/** The public form of every score, around what its definition made. */
class FittedScore implements Score {
  readonly name: ScoreName;
  readonly needs: readonly ModelOutput[];
  readonly warnings: readonly string[];
  readonly #fitted: Fitted<object>;
  #disposed = false;

  constructor(name: ScoreName, needs: readonly ModelOutput[], fitted: Fitted<object>) {
    this.name = name;
    this.needs = needs;
    this.warnings = fitted.warnings ?? [];
    this.#fitted = fitted;
    Object.assign(this, fitted.facts);
  }

  async score(outputs: ModelOutputs | FeaturesFile, options: ScoreCallOptions = {}): Promise<Float64Array> {
    if (FeaturesFile.is(outputs)) return this.#scoreFile(outputs, options);
    return withOutputs({ score: this.name, needs: this.needs }, outputs, options, (given, signal) => {
      this.#requireLive();
      return this.#fitted.score(given, signal);
    });
  }

  async #scoreFile(file: FeaturesFile, options: ScoreCallOptions): Promise<Float64Array> {
    const signal = optionalSignal(optionsObject(options, "options", ["signal"]).signal, "signal");
    this.#requireLive();
    if (file.length === 0) throw new LibtorchOodError("ERR_SHAPE", `${file.path}: expected at least one row, found none`);
    const scores = new Float64Array(file.length);
    for await (const { offset, features, rawFeatures, logits } of file.pieces({ arrays: this.needs, signal })) {
      const scored = this.score({ features, rawFeatures, logits }, { signal });
      scores.set(await located(`${file.path}: `, scored, offset), offset);
    }
    return scores;
  }

  async state(): Promise<ScoreState> {
    this.#requireLive();
    return this.#fitted.state();
  }

  dispose(): void {
    this.#disposed = true;
    this.#fitted.dispose?.();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #requireLive(): void {
    if (this.#disposed) throw new LibtorchOodError("ERR_DISPOSED", `${this.name}: it has been disposed`);
  }
}

/**
 * Fits a score. {@link requirements} says which outputs it is fitted to. Scores of logits alone and `"feature-norm"` are fitted to nothing.
 *
 * @param name - one of {@link names}; `"gaussian-mixture"` is the method of this library
 * @param training - model outputs for the training inputs, float32 or float64, without augmentation; their labels; and the last layer. Or a file of
 *   them that `files.openFeatures` opened: `"gaussian-mixture"`, `"mahalanobis"` and `"relative-mahalanobis"` are fitted to it in one pass for each
 *   covariance, without loading it; `"nearest-neighbours"` and `"vim"` hold the rows they are fitted to and load these.
 * @param options - the options that {@link describe} lists for the score, and `signal`
 * @returns the fitted score, with the properties that {@link describe} lists
 * @throws ERR_OPTION for an unknown name or option, and if outputs that the score needs are missing; ERR_RANGE for an option or a label outside its range,
 *   and if there are too few training inputs for the option; ERR_SHAPE for an empty matrix, and if rows, labels and last layer disagree; ERR_DTYPE for
 *   matrices that are not float32 or float64, and labels that are no integers; ERR_NON_FINITE for NaN or infinity, naming the row;
 *   ERR_NOT_POSITIVE_DEFINITE if features do not vary within classes; ERR_DEVICE if the device is unavailable; ERR_ABORTED after an abort of `signal`;
 *   ERR_DISPOSED for a tensor that has been disposed
 *
 * @example
 * const train = await model.extract(trainImages);
 * const vim = await scores.fit("vim", { ...train, ...(await model.head()) });
 * const inDistribution = await vim.score(await model.extract(testImages));
 * const outOfDistribution = await vim.score(await model.extract(otherImages));
 * console.log(metrics.auroc(inDistribution, outOfDistribution));
 */
export async function fit<N extends ScoreName>(
  name: N,
  training: TrainingOutputs | FeaturesFile = {},
  options?: ScoreOptions[N],
): Promise<ScoreOf[N]> {
  const definition = definitionOf(name);
  const resolved = resolveOptions(definition, options);
  const needs = needsOf(definition, resolved);
  if (FeaturesFile.is(training)) {
    const fitted = await (definition.fitFile?.(training, resolved) ?? fitLoaded(definition, training, needs.fit, resolved));
    return new FittedScore(name, needs.score, fitted) as Score as ScoreOf[N];
  }
  return withTraining({ score: name, needs: needs.fit }, training, async (given) => {
    return new FittedScore(name, needs.score, await definition.fit(given, resolved)) as Score as ScoreOf[N];
  });
}

/** Holds the arrays of the file that the score is fitted to, and the labels, which some scores look at where they are there. */
async function fitLoaded(
  definition: AnyDefinition,
  file: FeaturesFile,
  needs: readonly (keyof TrainingOutputs)[],
  resolved: Parameters<AnyDefinition["fit"]>[1],
): Promise<Fitted<object>> {
  const arrays = needs.length === 0 ? [] : [...new Set([...needs, "labels" as const])].filter((name) => file.arrays.has(name));
  const training = arrays.length === 0 ? {} : await file.read(arrays);
  return withTraining({ score: definition.name, needs }, training, async (given) => definition.fit(given, resolved));
}

/**
 * Says which outputs a score is fitted to and looks at under these options. Nothing else has to be extracted.
 *
 * @param name - one of {@link names}
 * @param options - the options that {@link fit} will be given
 * @throws ERR_OPTION for an unknown name or option, and for a value of another type; ERR_RANGE for a number outside its range; ERR_NON_FINITE for NaN and
 *   infinity
 *
 * @example
 * scores.requirements("vim"); // { fit: ["features", "logits", "weight", "bias"], score: ["features", "logits"] }
 */
export function requirements<N extends ScoreName>(name: N, options?: ScoreOptions[N]): Requirements {
  const definition = definitionOf(name);
  return needsOf(definition, resolveOptions(definition, options));
}

/**
 * @internal Restores a score from the result of {@link Score.state}; `where` names its source in errors.
 * @throws ERR_CORRUPT_FILE where the state is damaged
 */
export async function restoreScore(name: ScoreName, state: ScoreState, device: string, where: string): Promise<Score> {
  const definition = definitionOf(name);
  const fitted = await definition.restore(state, device, where);
  return new FittedScore(name, needsOf(definition, optionsAmong(definition, fitted)).score, fitted);
}

/** The options that the fitted score has as properties, with defaults for the others: they decide what it needs. */
function optionsAmong({ options }: AnyDefinition, { facts }: Fitted<object>) {
  const told = facts as Record<string, unknown>;
  return Object.fromEntries(Object.entries(options).map(([name, option]) => [name, name in told ? told[name] : option.default]));
}
