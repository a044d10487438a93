// Fits a detector to images: extracts the outputs of training and calibration images, fits the score to the former and calibrates it on the latter.

import { boolean, fail, optionalFunction, optionalSignal, optionsObject } from "../core/checks";
import { labelsAmong, labelsFor } from "../data/class-labels";
import type { Dataset } from "../data/dataset";
import { LibtorchOodError } from "../core/errors";
import { isModelOutput, type ModelOutput } from "../core/model-outputs";
import { Scope } from "../core/scope";
import { checkPrecision, resolvePrecision } from "../native/precision";
import { internals, isExtractor, type FeatureExtractor, type OwnExtractor } from "../models/extractor";
import { requireDataset } from "../data/dataset";
import { imageRows } from "../data/seen-inputs";
import { fit as fitScore, requirements } from "../scores/fit";
import type { Requirements, ScoreName, TrainingOutputs } from "../scores/score";
import { GaussianMixture } from "../statistics/gaussian-mixture";
import type { Tensor } from "../native/tensor";
import { calibrate, checkFalseAlarmRate, defaultFalseAlarmRate } from "./calibration";
import { chooseScore, withClasses } from "./choice";
import type { Extraction } from "./detector-file";
import type { Naming } from "./class-names";
import { examine } from "./examine";
import { noiseImages, shuffledImages } from "./generated-inputs";
import { spread } from "./rows-at";
import { pick, tensorsOf, unique, type Tensors } from "./outputs";
import { commonKeys, examinationOptions, type DetectorFitOptions } from "./options";
import { compareInputs } from "./overlap";
import type { Parts } from "./parts";
import { laterResize, resizeWarnings, usualResize } from "./resizing";

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
  requireOutputs(model, name, needs);

  const allowOverlap = boolean(given.allowOverlap ?? false, "allowOverlap");
  const { minimumAccuracy, selfTest } = examinationOptions(given);
  const classNames = [...(model.classNames ?? train.classNames)];
  const numClasses = classNames.length;
  const labelsFrom = namedBy(model, classNames, name);
  const byLogits = labelsFrom === "logits";
  const scored = unique<ModelOutput>([
    ...needs.score,
    ...(byLogits ? (["logits"] as const) : labelsFrom === "classifier" ? (["features"] as const) : []),
  ]);
  const fitted = unique<ModelOutput>([...needs.fit.filter(isModelOutput), ...(byLogits ? [] : scored)]);
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
    const trainingKinds = unique<ModelOutput>([...fitted, ...(byLogits ? (["logits"] as const) : [])]);
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
    const training: TrainingOutputs & { weight?: Tensor | undefined; bias?: Tensor | undefined } = {
      ...(fitted.length > 0 ? trainingOutputs : {}),
      labels: trained.labels,
    };
    const head = await network.head();
    if (head !== undefined) scope.ownAll([head.weight, head.bias]);
    else if (needs.fit.includes("weight")) {
      throw new LibtorchOodError("ERR_OPTION", `model: expected one whose last layer is known, for the score "${name}"; this one's is not`);
    }
    if (needs.fit.includes("weight")) training.weight = head?.weight;
    if (needs.fit.includes("bias")) training.bias = head?.bias;
    const score = scope.own(await fitScore(name, training, withClasses(name, scoreOptions, numClasses, network.device, signal)));
    const held = await read(calibration, scored);
    const { scores, sorted, warnings } = await calibrate(score, held, { numClasses, falseAlarmRate, signal });
    const ofClasses = { covariance: "tied", numClasses, device: network.device, signal } as const;
    const classifier =
      labelsFrom === "classifier"
        ? scope.own(await GaussianMixture.fit(trainingOutputs.features as Tensor, trained.labels, ofClasses))
        : undefined;
    const naming: Naming = { score, classifier, labelsFrom };
    const examination = await examine({
      naming,
      name,
      scoreOptions,
      training: { ...trainingOutputs, weight: training.weight, bias: training.bias },
      trainingSample: byLogits ? { logits: trainingOutputs.logits } : pick(trainingOutputs, scored),
      labels: Int32Array.from(sampled, (row) => trained.labels[row] as number),
      calibration: held,
      calibrationLabels: heldOut.labels,
      scores,
      numClasses,
      falseAlarmRate,
      device: network.device,
      signal,
      circumstances: { minimumAccuracy, noun: "image", foreign: byLogits && network[internals].trainedOn.isEmpty },
      generated: selfTest
        ? async () => {
            const [noise, shuffled] = [await read(generated[0] as Dataset, scored), await read(generated[1] as Dataset, scored)];
            return { noise, shuffled };
          }
        : undefined,
    });
    for (const part of [network, score, classifier]) scope.release(part);
    return {
      network,
      ...naming,
      evidence: scored,
      classNames,
      falseAlarmRate,
      ...compared,
      warnings: [
        ...compared.warnings,
        ...(byLogits || model.numClasses === undefined
          ? []
          : [
              `model: its ${model.numClasses} logits are not the ${numClasses} classes of the training images; the features name the class`,
            ]),
        ...trained.warnings,
        ...heldOut.warnings,
        ...resizeWarnings(train, calibration, laterResize(model.input, extraction.resize)),
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

/**
 * What names the class of an input: the logits, where they are those of the classes; else the features.
 *
 * @throws ERR_SHAPE for a network that this library trained, which has other classes
 */
function namedBy(model: OwnExtractor, classNames: readonly string[], score: ScoreName): Naming["labelsFrom"] {
  if (model.numClasses === classNames.length) return "logits";
  if (!model[internals].trainedOn.isEmpty) {
    const expected = `${model.numClasses} names, as the network has classes`;
    throw new LibtorchOodError("ERR_SHAPE", `classNames: expected ${expected}, found ${classNames.length}`);
  }
  return score === "gaussian-mixture" ? "score" : "classifier";
}

/** Requires what the score looks at of the model. @throws ERR_OPTION naming what the model does not give */
function requireOutputs({ kind, numClasses }: OwnExtractor, score: ScoreName, needs: Requirements): void {
  if (numClasses !== undefined || ![...needs.fit, ...needs.score].includes("logits")) return;
  const expected = `a model that gives logits, for the score "${score}"`;
  throw new LibtorchOodError("ERR_OPTION", `model: expected ${expected}, found one of kind "${kind}" that gives features alone`);
}
