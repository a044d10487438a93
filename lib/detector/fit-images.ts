// Fits a detector to images: extracts the outputs of training and calibration images, fits the score to the former and calibrates it on the latter.

import { boolean, fail, optionalFunction, optionalSignal, optionsObject } from "../core/checks";
import { labelsAmong, labelsFor } from "../data/class-labels";
import type { Dataset } from "../data/dataset";
import { LibtorchOodError } from "../core/errors";
import { isModelOutput, type ModelOutput } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { checkPrecision, resolvePrecision } from "../native/precision";
import { internals, isExtractor, type FeatureExtractor } from "../models/extractor";
import { requireDataset } from "../data/dataset";
import { imageRows } from "../data/seen-inputs";
import { fit as fitScore, requirements } from "../scores/fit";
import type { ScoreName, TrainingOutputs } from "../scores/score";
import { Tensor } from "../native/tensor";
import { calibrate, checkFalseAlarmRate, defaultFalseAlarmRate } from "./calibration";
import { chooseScore, withClasses } from "./choice";
import type { Extraction } from "./detector-file";
import { examine } from "./examine";
import { noiseImages, shuffledImages } from "./generated-inputs";
import { spread } from "./rows-at";
import { pick, tensorsOf, unique, type Tensors } from "./outputs";
import { commonKeys, examinationOptions, type DetectorFitOptions } from "./options";
import { compareInputs } from "./overlap";
import type { Parts } from "./parts";
import { resizeWarnings, usualResize } from "./resizing";

/** Number of training images whose logits are looked at if the score is fitted to none. */
const trainingSample = 512;

/** Makes the parts of a detector over images; throws what `Detector.fit` documents. */
export async function fitToImages<N extends ScoreName>(
  model: FeatureExtractor,
  train: Dataset,
  options: DetectorFitOptions<N>,
): Promise<Parts> {
  const given = optionsObject(options, "options", [...commonKeys, "batchSize", "precision", "resize", "onProgress"]);
  if (!isExtractor(model)) fail("ERR_OPTION", "model", "a ResNet or another FeatureExtractor", model);
  requireDataset(train, "train");
  const calibration = requireDataset(given.calibration, "calibration");
  const onProgress = optionalFunction(given.onProgress, "onProgress");
  const { name, scoreOptions, record } = chooseScore(given);
  const falseAlarmRate = checkFalseAlarmRate(given.falseAlarmRate ?? defaultFalseAlarmRate, calibration.length);
  const signal = optionalSignal(given.signal, "signal");
  const extraction: Extraction = {
    precision: resolvePrecision(checkPrecision(given.precision), model.device, model[internals].dtype),
    resize: given.resize ?? usualResize(train),
  };
  const needs = requirements(name, scoreOptions);
  const scored = unique<ModelOutput>([...needs.score, "logits"]);
  const fitted = needs.fit.filter(isModelOutput);

  const allowOverlap = boolean(given.allowOverlap ?? false, "allowOverlap");
  const { minimumAccuracy, selfTest } = examinationOptions(given);
  const classNames = [...(model.classNames ?? train.classNames)];
  const { numClasses } = model;
  if (numClasses === undefined) fail("ERR_OPTION", "model", "a model that gives logits", model.kind);
  if (classNames.length !== numClasses) {
    const expected = `${numClasses} names, as the network has classes`;
    throw new LibtorchOodError("ERR_SHAPE", `classNames: expected ${expected}, found ${classNames.length}`);
  }
  // Another name for every class: the network's were renamed after training.
  const renamed = "missing" in labelsAmong(train, classNames) && train.classNames.length === numClasses;
  const numbering = renamed ? train.classNames : classNames;
  const trained = labelsFor(train, numbering, "train");
  const heldOut = labelsFor(calibration, numbering, "calibration");
  return Scope.run(async (scope) => {
    const network = scope.own(await model[internals].copy()); // before anything else takes time: as it is at the call
    const compared = await compareInputs(imageRows(train), imageRows(calibration), allowOverlap, network[internals].trainedOn);
    // Logits of training images come with the pass over them; where the score is fitted to none, some images are looked at for them.
    const sampled = spread(train.length, fitted.length > 0 ? train.length : trainingSample);
    const sample = fitted.length > 0 ? train : train.subset(sampled);
    const trainingKinds = unique<ModelOutput>([...fitted, "logits"]);
    const generated = selfTest ? [noiseImages(calibration), shuffledImages(calibration)] : [];
    const total = [sample, calibration, ...generated].reduce((sum, { length }) => sum + length, 0);
    let before = 0;
    const read = async (images: Dataset, outputs: readonly ModelOutput[]): Promise<Tensors> => {
      const report = onProgress && ((done: number) => onProgress(before + done, total));
      const extracted = await network.extract(images, { outputs, ...extraction, batchSize: given.batchSize, signal, onProgress: report });
      scope.ownAll(tensorsOf(extracted));
      before += images.length;
      return pick(extracted, outputs);
    };
    const trainingOutputs = await read(sample, trainingKinds);
    const training: TrainingOutputs & { weight?: Tensor; bias?: Tensor | undefined } = {
      ...(fitted.length > 0 ? trainingOutputs : {}),
      labels: trained.labels,
    };
    const head = await network.head();
    if (head !== undefined) scope.ownAll([head.weight, head.bias]);
    if (needs.fit.includes("weight") && head !== undefined) training.weight = head.weight;
    if (needs.fit.includes("bias") && head !== undefined) training.bias = head.bias;
    const score = scope.own(await fitScore(name, training, withClasses(name, scoreOptions, numClasses, network.device, signal)));
    const held = await read(calibration, scored);
    const { scores, sorted, warnings } = await calibrate(score, held, { numClasses, falseAlarmRate, signal });
    const naming = { score, classifier: undefined, labelsFrom: "logits" } as const;
    const examination = await examine({
      naming,
      name,
      scoreOptions,
      training: { ...trainingOutputs, weight: training.weight, bias: training.bias },
      trainingSample: { logits: trainingOutputs.logits },
      labels: Int32Array.from(sampled, (row) => trained.labels[row] as number),
      calibration: held,
      calibrationLabels: heldOut.labels,
      scores,
      numClasses,
      falseAlarmRate,
      device: network.device,
      signal,
      circumstances: { minimumAccuracy, noun: "image", foreign: network[internals].trainedOn.isEmpty },
      generated: selfTest
        ? async () => {
            const [noise, shuffled] = [await read(generated[0] as Dataset, scored), await read(generated[1] as Dataset, scored)];
            return { noise, shuffled };
          }
        : undefined,
    });
    for (const part of [network, score]) scope.release(part);
    return {
      network,
      ...naming,
      evidence: scored,
      classNames,
      falseAlarmRate,
      ...compared,
      warnings: [
        ...compared.warnings,
        ...trained.warnings,
        ...heldOut.warnings,
        ...resizeWarnings(train, calibration, extraction.resize),
        ...warnings,
        ...examination.warnings,
      ],
      calibrationScores: sorted,
      calibrationLabels: examination.calibrationLabels,
      report: examination.report,
      selfTest: examination.selfTest,
      extraction,
      preset: record,
    };
  });
}
