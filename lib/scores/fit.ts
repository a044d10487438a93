// Fits any score by its name, and restores one from the state in a file.

import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
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

  async score(outputs: ModelOutputs, options: ScoreCallOptions = {}): Promise<Float64Array> {
    return withOutputs({ score: this.name, needs: this.needs }, outputs, options, (given, signal) => {
      this.#requireLive();
      return this.#fitted.score(given, signal);
    });
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
 * @param training - model outputs for the training inputs, float32 or float64, without augmentation; their labels; and the last layer
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
export async function fit<N extends ScoreName>(name: N, training: TrainingOutputs = {}, options?: ScoreOptions[N]): Promise<ScoreOf[N]> {
  const definition = definitionOf(name);
  const resolved = resolveOptions(definition, options);
  const needs = needsOf(definition, resolved);
  return withTraining({ score: name, needs: needs.fit }, training, async (given) => {
    return new FittedScore(name, needs.score, await definition.fit(given, resolved)) as Score as ScoreOf[N];
  });
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
