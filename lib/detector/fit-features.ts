// Fits a detector to features of any other model, and calibrates it on held-out ones.

import { boolean, fail, integer, optionalSignal, optionsObject, string } from "../core/checks";
import { checkClassNames } from "../core/class-names";
import { LibtorchOodError } from "../core/errors";
import { GaussianMixture } from "../statistics/gaussian-mixture";
import type { Labels } from "../core/labels";
import { isModelOutput, modelOutputs } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { labelsTensor } from "../native/labels-tensor";
import { tensorRows, type Rows } from "../data/seen-inputs";
import { fit as fitScore, requirements } from "../scores/fit";
import { outputCompanions } from "../scores/given";
import type { ModelOutputs, ScoreName, TrainingOutputs } from "../scores/score";
import { heldIn, toTensor, type ArrayWithShape, type Tensor } from "../native/tensor";
import { calibrate, checkFalseAlarmRate, defaultFalseAlarmRate } from "./calibration";
import { chooseScore, classCount, withClasses } from "./choice";
import { asMixture, type Naming } from "./class-names";
import { pick, requireLogits, takeOutputs, unique } from "./outputs";
import { examine } from "./examine";
import { generatedFeatures } from "./generated-inputs";
import { commonKeys, examinationOptions, type DetectorFeatures } from "./options";
import { compareInputs } from "./overlap";
import type { Parts } from "./parts";

/** Makes the parts of a detector over features; throws what `Detector.fromFeatures` documents. */
export async function fitToFeatures<N extends ScoreName>(options: DetectorFeatures<N>): Promise<Parts> {
  const keys = [...commonKeys, ...modelOutputs, ...outputCompanions, "classNames", "device"] as const;
  const given = optionsObject(options, "options", keys as readonly (keyof DetectorFeatures<N>)[]);
  const { name, scoreOptions, record } = chooseScore(given);
  const device = string(given.device ?? "cpu", "device");
  const signal = optionalSignal(given.signal, "signal");
  const { minimumAccuracy, selfTest } = examinationOptions(given);
  const needs = requirements(name, scoreOptions);
  const hasLogits = given.logits !== undefined;
  const hasLabels = areLabels(given.labels);
  if (!hasLabels && needs.fit.includes("labels")) {
    const expected = `labels: expected one per row, for the score "${name}"`;
    throw new LibtorchOodError("ERR_OPTION", `${expected}, found none; without labels take score: "nearest-neighbours"`);
  }
  const labelsFrom = hasLogits ? "logits" : !hasLabels ? "none" : name === "gaussian-mixture" ? "score" : "classifier";
  if (labelsFrom === "none" && given.classNames !== undefined) {
    fail("ERR_OPTION", "classNames", "labels or logits beside them, without which no class is named", given.classNames);
  }
  const scored = unique<keyof ModelOutputs>([
    ...needs.score,
    ...(hasLogits ? ["logits" as const] : []),
    ...(labelsFrom === "classifier" ? ["features" as const] : []),
  ]);
  return Scope.run(async (scope) => {
    const calibration = takeOutputs(given.calibration, scored, "calibration", scope);
    const training = takeOutputs(given, unique<keyof ModelOutputs>([...needs.fit.filter(isModelOutput), ...scored]), "training", scope);
    const falseAlarmRate = checkFalseAlarmRate(given.falseAlarmRate ?? defaultFalseAlarmRate, calibration.rows);
    const labels = hasLabels ? heldIn(scope, labelsTensor(given.labels as Labels, "labels"), given.labels) : undefined;
    if (labels !== undefined && labels.size !== training.rows) {
      throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${training.rows}, one per row, found ${labels.size}`);
    }
    const names = given.classNames === undefined ? undefined : checkClassNames(given.classNames);
    const numClasses = classCount(names, training.outputs.logits, labels);
    const calibrationLabels = takeCalibrationLabels(
      scope,
      given.calibration.labels,
      calibration.rows,
      labelsFrom === "none" ? 0 : numClasses,
    );
    requireLogits(calibration.outputs, numClasses, "calibration");
    const layer = (key: "weight" | "bias") => {
      const value: Tensor | ArrayWithShape | undefined = given[key];
      return value === undefined ? undefined : heldIn(scope, toTensor(value, key), value);
    };
    const [weight, bias] = [layer("weight"), layer("bias")];
    const all: TrainingOutputs = { ...training.outputs, labels, weight, bias };
    const kind = scored[0] as keyof ModelOutputs;
    const rowsOf = ({ outputs }: typeof training): Rows => tensorRows(outputs[kind] as Tensor);
    const compared = await compareInputs(rowsOf(training), rowsOf(calibration), boolean(given.allowOverlap ?? false, "allowOverlap"));
    const score = scope.own(await fitScore(name, all, withClasses(name, scoreOptions, numClasses, device, signal)));
    const own = labelsFrom === "score" ? asMixture(score)?.mixture : undefined;
    if (own !== undefined && own.numClasses !== numClasses) {
      const expected = `${numClasses}, as there are names or labels`;
      throw new LibtorchOodError("ERR_SHAPE", `scoreOptions.numClasses: expected ${expected}, found ${own.numClasses}`);
    }
    let classifier: GaussianMixture | undefined;
    if (labelsFrom === "classifier") {
      const options = { covariance: "tied", numClasses, device, signal } as const;
      classifier = scope.own(await GaussianMixture.fit(all.features as Tensor, labels as Tensor, options));
    }
    const { scores, sorted, warnings } = await calibrate(score, calibration.outputs, { numClasses, falseAlarmRate, signal });
    const naming: Naming = { score, classifier, labelsFrom };
    const examination = await examine({
      naming,
      name,
      scoreOptions,
      training: { ...training.outputs, weight, bias },
      trainingSample: pick(training.outputs, scored),
      labels: labels && Array.from(labels.toArray(), Number),
      calibration: calibration.outputs,
      calibrationLabels,
      scores,
      numClasses,
      falseAlarmRate,
      device,
      signal,
      circumstances: { minimumAccuracy, noun: "input", foreign: labelsFrom === "logits" },
      generated: selfTest ? () => generatedFeatures(calibration.outputs, score.needs) : undefined,
    });
    for (const part of [score, classifier]) scope.release(part);
    return {
      network: undefined,
      ...naming,
      evidence: scored,
      classNames: names ?? Array.from({ length: numClasses }, (_, label) => String(label)),
      falseAlarmRate,
      ...compared,
      warnings: [...compared.warnings, ...warnings, ...examination.warnings],
      calibrationScores: sorted,
      calibrationLabels: examination.calibrationLabels,
      report: examination.report,
      selfTest: examination.selfTest,
      extraction: { precision: "float32", resize: "center-crop" },
      preset: record,
    };
  });
}

/**
 * The labels of calibration inputs; undefined where there are none or where the detector names no class.
 *
 * @throws ERR_SHAPE if there is not one per row; ERR_DTYPE for anything but integers; ERR_RANGE for a label of no class
 */
function takeCalibrationLabels(scope: Scope, given: Labels | undefined, rows: number, numClasses: number): Int32Array | undefined {
  if (!areLabels(given) || numClasses === 0) return undefined;
  const tensor = heldIn(scope, labelsTensor(given as Labels, "calibration.labels"), given);
  const labels = Int32Array.from(tensor.toArray(), Number);
  if (labels.length !== rows)
    throw new LibtorchOodError("ERR_SHAPE", `calibration.labels: expected ${rows}, one per row, found ${labels.length}`);
  labels.forEach((label, i) => integer(label, `calibration.labels[${i}]`, 0, numClasses - 1));
  return labels;
}

/** Whether labels were given: `model.extract` gives an empty array for images without labels. */
function areLabels(labels: Labels | undefined): boolean {
  return labels !== undefined && (!ArrayBuffer.isView(labels) || (labels as Int32Array).length > 0);
}
