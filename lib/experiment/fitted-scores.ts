// Fits the scores that an experiment measures to the outputs of one network, each once; mixtures use the configuration's estimator.

import type { ModelOutput } from "../core/model-outputs";
import type { Scope } from "../core/scope";
import { scores as scoring, type Covariance, type Extraction, type GaussianMixture, type ResNet, type Tensor } from "../index";
import type { MeasurementChoices, MixtureChoices } from "./configuration";
import { featureMixture, requirementsOf, scoreChoice, type MeasuredScore, type ScoreChoice } from "./measured-scores";

/** The scores to fit, the estimator of their Gaussian mixtures, and the signal that ends the fits. */
export interface FitChoices {
  readonly scores: MeasurementChoices["scores"];
  readonly mixture: MixtureChoices;
  readonly signal: AbortSignal | undefined;
}

/** The fitted scores, by their names in the rows. A Gaussian mixture over the features is fitted even if its score is not asked for. */
export async function fitScores(
  model: ResNet,
  train: Extraction,
  mixtures: Mixtures,
  { scores, signal }: FitChoices,
  scope: Scope,
): Promise<Map<MeasuredScore, scoring.Score>> {
  const choices = scores.map((score) => [score, scoreChoice(score, "scores")] as const);
  const head = choices.some(([, choice]) => requirementsOf(choice).fit.includes("weight")) ? await model.head() : undefined;
  if (head !== undefined) scope.ownAll(Object.values(head));
  const fitted = new Map<MeasuredScore, scoring.Score>();
  for (const [score, choice] of choices) {
    fitted.set(
      score,
      choice.name === featureMixture
        ? await mixtures.score(choice)
        : scope.own(await fitScore(choice, { ...train, ...head }, model.device, signal)),
    );
  }
  return fitted;
}

/** Fits a score with its default options, on the device of the network if the score takes a device. */
function fitScore(
  { name, from }: ScoreChoice,
  training: scoring.TrainingOutputs,
  device: string,
  signal: AbortSignal | undefined,
): Promise<scoring.Score> {
  const takesDevice = scoring.describe(name).options.some((option) => option.name === "device");
  const options = { ...(from !== undefined && { from }), ...(takesDevice && { device }), signal };
  return scoring.fit(name, training, options);
}

/** The Gaussian mixtures over the training outputs, each fitted once. */
export class Mixtures {
  /** Deviations from the estimator that was asked for, in words. */
  readonly notes: string[] = [];
  readonly #fitted = new Map<string, scoring.ScoreOf["gaussian-mixture"]>();

  constructor(
    private readonly train: Extraction,
    private readonly device: string,
    private readonly choices: FitChoices,
    private readonly scope: Scope,
  ) {}

  async over(from: ModelOutput): Promise<GaussianMixture> {
    return (await this.score({ name: featureMixture, from })).mixture;
  }

  async score({ from = "features" }: ScoreChoice): Promise<scoring.ScoreOf["gaussian-mixture"]> {
    const known = this.#fitted.get(from);
    if (known !== undefined) return known;
    const { mixture, signal } = this.choices;
    const { covariance, fewSamples, prior, jitter } = mixture;
    const { labels, logits } = this.train;
    const numClasses = logits.shape[1] as number;
    const smallest = Math.min(...counts(labels, numClasses).filter((count) => count > 0));
    const dimensions = (this.train[from] as Tensor).shape[1] as number;
    const tooFew = covariance === "full" && fewSamples !== "full" && smallest <= dimensions;
    const used: Covariance = tooFew ? fewSamples : covariance;
    if (tooFew) this.notes.push(`mixture over ${from}: ${used} covariance, a class has no more samples than the ${dimensions} dimensions`);
    const options = { from, covariance: used, prior, jitter, numClasses, device: this.device, signal };
    const fitted = this.scope.own(await scoring.fit(featureMixture, this.train, options));
    this.#fitted.set(from, fitted);
    return fitted;
  }
}

function counts(labels: Int32Array, numClasses: number): number[] {
  const found = new Array<number>(numClasses).fill(0);
  for (const label of labels) (found[label] as number)++;
  return found;
}

/** The outputs of the network that are needed: features and logits for every row, and those that the scores look at. */
export function outputsFor(scores: readonly MeasuredScore[]): ModelOutput[] {
  const needed = scores.flatMap((score) => {
    const { fit, score: seen } = requirementsOf(scoreChoice(score, "scores"));
    return [...fit, ...seen];
  });
  return ["features", "logits", ...(needed.includes("rawFeatures") ? ["rawFeatures" as const] : [])];
}
