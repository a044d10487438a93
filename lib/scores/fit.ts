// The one way to a score: its name, what it is fitted to, and its options; and back from what a file held.

import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
import type { Fitted } from "./define";
import { withOutputs, withTraining } from "./given";
import { definitionOf, needsOf, resolveOptions, type AnyDefinition, type ScoreName, type ScoreOf, type ScoreOptions } from "./registry";
import type { ModelOutputs, Requirements, Score, ScoreCallOptions, ScoreState, TrainingOutputs } from "./score";

/** Any score, around what its definition made. */
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
 * Fits a score; {@link requirements} says to what. Those of logits alone and `"feature-norm"` are fitted to nothing.
 *
 * @param name - one of `scores.names`; `"gaussian-mixture"` is the method of this library
 * @param options - those that the score declares (see the table of scores in the documentation), and `signal`
 * @throws ERR_OPTION for an unknown name or option, or where outputs are missing; ERR_NON_FINITE naming the row, ERR_SHAPE, ERR_DTYPE, ERR_RANGE,
 *   ERR_ABORTED, ERR_DEVICE; ERR_NOT_POSITIVE_DEFINITE where features do not vary within classes
 *
 * @example
 * const vim = await scores.fit("vim", { features, logits, weight, bias });
 * metrics.auroc(await vim.score({ features: test.features, logits: test.logits }), await vim.score({ features: ood.features, logits: ood.logits }));
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
 * Which outputs `fit` and `score` of a score look at under the options, so that nothing else need be extracted.
 *
 * @throws ERR_OPTION, ERR_RANGE, ERR_NON_FINITE
 *
 * @example
 * scores.requirements("vim"); // { fit: ["features", "logits", "weight", "bias"], score: ["features", "logits"] }
 */
export function requirements<N extends ScoreName>(name: N, options?: ScoreOptions[N]): Requirements {
  const definition = definitionOf(name);
  return needsOf(definition, resolveOptions(definition, options));
}

/**
 * @internal From what {@link Score.state} gave; `where` names its source in errors.
 * @throws ERR_CORRUPT_FILE
 */
export async function restoreScore(name: ScoreName, state: ScoreState, device: string, where: string): Promise<Score> {
  const definition = definitionOf(name);
  const fitted = await definition.restore(state, device, where);
  return new FittedScore(name, needsOf(definition, optionsAmong(definition, fitted)).score, fitted);
}

/** Of the options, those that the fitted score tells: they say what it needs. */
function optionsAmong({ options }: AnyDefinition, { facts }: Fitted<object>) {
  const told = facts as Record<string, unknown>;
  return Object.fromEntries(Object.entries(options).map(([name, option]) => [name, name in told ? told[name] : option.default]));
}
