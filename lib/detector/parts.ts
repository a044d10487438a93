// The parts of a detector, and the check that the parts of a file belong together.

import type { LibtorchOodError } from "../core/errors";
import { Scope } from "../core/scope";
import type { GaussianMixture } from "../statistics/gaussian-mixture";
import type { OwnExtractor } from "../models/extractor";
import type { Score } from "../scores/score";
import { corrupt } from "../formats/state-file";
import { Tensor } from "../native/tensor";
import { checkFalseAlarmRate } from "./calibration";
import { asMixture } from "./class-names";
import type { DetectorDescription } from "./detector-file";
import { pick } from "./outputs";

export type Parts = Omit<DetectorDescription, "network" | "model" | "score" | "classifier"> & {
  network: OwnExtractor | undefined;
  score: Score;
  classifier: GaussianMixture | undefined;
  calibrationScores: Float64Array;
  /** Labels in the order of the scores; undefined where they were not given. */
  calibrationLabels: Int32Array | undefined;
};

/** Requires parts that fit together; scoring a probe shows what the descriptions alone do not. @throws ERR_CORRUPT_FILE naming the part that does not fit */
export async function requireConsistent(path: string, parts: Parts): Promise<void> {
  const { network, score, classifier, labelsFrom, evidence, classNames, calibrationScores, falseAlarmRate } = parts;
  const own = asMixture(score)?.mixture;
  const mixture = classifier ?? own;
  const classes = classNames.length;
  const missing = score.needs.find((kind) => !evidence.includes(kind));
  if (missing !== undefined) corrupt(path, "evidence", `${missing}, which the score needs`, evidence.join(", "));
  if (labelsFrom === "logits" ? !evidence.includes("logits") : labelsFrom !== "none" && mixture === undefined)
    corrupt(path, "labelsFrom", "a source there is", labelsFrom);
  if (labelsFrom === "score" && (classifier !== undefined || own === undefined)) {
    corrupt(path, "labelsFrom", "a source there is", labelsFrom);
  }
  if (labelsFrom === "classifier" && (classifier === undefined || !evidence.includes("features"))) {
    corrupt(path, "labelsFrom", "a source there is", labelsFrom);
  }
  if (labelsFrom === "none" && classifier !== undefined) corrupt(path, "classifier", "none where no class is named", "one");
  if (network !== undefined && labelsFrom === "none") corrupt(path, "labelsFrom", "a source there is with a network", labelsFrom);
  if (labelsFrom !== "logits" && labelsFrom !== "none" && mixture?.numClasses !== classes)
    corrupt(path, "classNames", `${mixture?.numClasses} names`, classes);
  try {
    checkFalseAlarmRate(falseAlarmRate, calibrationScores.length);
  } catch (error) {
    corrupt(path, "falseAlarmRate", "a rate that the calibration can give", (error as Error).message);
  }
  if (network === undefined) return;
  const { featureDim, numClasses } = network;
  const probe = (columns: number) => Tensor.from(new Float32Array(columns).fill(1 / Math.sqrt(columns)), [1, columns]);
  try {
    await Scope.run((scope) => {
      const own = (columns: number) => scope.own(probe(columns));
      const tensors = { features: own(featureDim), rawFeatures: own(featureDim), logits: own(numClasses ?? classes) };
      return score.score(pick(tensors, score.needs));
    });
  } catch (error) {
    if ((error as LibtorchOodError).code !== "ERR_SHAPE") throw error;
    corrupt(
      path,
      "score",
      `one of ${featureDim} features and ${numClasses ?? classes} classes, as the network has`,
      (error as Error).message,
    );
  }
}
