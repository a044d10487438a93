// Detector: a classifier with a score and held-out scores to hold new ones against; it says of each input whether to trust the answer.

import { boolean, fail, optionalFunction, optionalSignal, optionsObject, string } from "./checks";
import type { Dataset } from "./datasets/dataset";
import { calibrate, checkFalseAlarmRate, pValue } from "./detector/calibration";
import { chooseScore, classCount, withClasses } from "./detector/choice";
import { readDetectorFile, writeDetectorFile, type DetectorDescription, type Extraction } from "./detector/detector-file";
import {
  evidenceKinds,
  extractEvidence,
  extractions,
  isEvidence,
  isEvidenceKind,
  pick,
  requireLogits,
  takeEvidence,
  tensorsOf,
  unique,
  type Tensors,
} from "./detector/evidence";
import { commonKeys, type DetectorFeatures, type DetectorFitOptions, type PredictOptions, type Prediction } from "./detector/options";
import { compareInputs } from "./detector/overlap";
import { requireConsistent, type Parts } from "./detector/parts";
import { resizeWarnings, usualResize } from "./detector/resizing";
import { LibtorchOodError } from "./errors";
import { GaussianMixture } from "./gaussian-mixture";
import { labelsTensor } from "./labels";
import { maxLogit, predictedClass, softmaxConfidence } from "./metrics/logit-scores";
import { calledFrom } from "./native-call";
import type { ImageResize } from "./images/decode";
import type { PresetRecord } from "./presets/preset";
import { ResNet, type Architecture, type Images } from "./resnet";
import { requireDataset } from "./resnet/images";
import { imageRows, tensorRows, type Overlap, type Rows } from "./seen-inputs";
import { fit as fitScore, requirements, restoreScore } from "./scores/fit";
import { GaussianMixtureScore } from "./scores/gaussian-mixture-score";
import { scoreRows } from "./scores/rows";
import type { Evidence, Score, ScoreName, TrainingEvidence } from "./scores/score";
import { Tensor, type ArrayWithShape } from "./tensor";

export type { DetectorFeatures, DetectorFitOptions, PredictOptions, Prediction } from "./detector/options";

const defaultRate = 0.05;

/**
 * Network (or none, for features of another model), score and calibration in one. It owns a copy of the network as it was when the
 * detector was fitted. Made by {@link Detector.fit}, {@link Detector.fromFeatures} or {@link Detector.load}.
 *
 * @example
 * const detector = await Detector.fit(model, train, { calibration: validation, falseAlarmRate: 0.05 });
 * await detector.save("digits.safetensors");
 * const [answer] = await detector.predict("photo.jpg");
 * if (answer.outOfDistribution) console.log("not one of", detector.classNames);
 */
export class Detector {
  readonly classNames: readonly string[];
  /** The rate that {@link predict} uses unless told otherwise. */
  readonly falseAlarmRate: number;
  /** Scores of the held-out inputs, ascending. */
  readonly calibrationScores: Float64Array;
  /** SHA-256 over the calibration inputs in their order, in hexadecimal. */
  readonly calibrationHash: string;
  /** Which score it is, and what {@link predict} needs for it: see `evidence`. */
  readonly scoreName: ScoreName;
  /** What a user should know about the inputs and the fit of the score. */
  readonly warnings: readonly string[];
  /** The preset that the score's options came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** "images", or "features" where the detector has no network. */
  readonly takes: "images" | "features";
  /** What features must come with: the kinds of evidence that score and label need. */
  readonly evidence: readonly (keyof Evidence)[];
  /** Of the network, and so of its images; undefined without one. */
  readonly architecture: Architecture | undefined;
  /** What becomes of images of another size. */
  readonly resize: ImageResize;
  readonly #parts: Parts;
  #disposed = false;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.classNames = parts.classNames;
    this.falseAlarmRate = parts.falseAlarmRate;
    this.calibrationScores = Float64Array.from(parts.calibrationScores);
    this.calibrationHash = parts.calibrationHash;
    this.scoreName = parts.score.name;
    this.warnings = [...parts.warnings, ...parts.score.warnings];
    this.preset = parts.preset;
    this.takes = parts.network === undefined ? "features" : "images";
    this.evidence = parts.evidence;
    this.architecture = parts.network?.architecture;
    this.resize = parts.extraction.resize;
  }

  /**
   * Fits the score to the training images, un-augmented, and calibrates it on held-out ones.
   *
   * @param model - a trained network; the detector takes a copy of it
   * @param train - the images that it was trained on (without a validation part)
   * @throws ERR_RANGE where there are too few calibration images for the rate, ERR_OPTION where calibration images are among the training images or
   *   those that the network was trained on; what `model.extract` and `scores.fit` throw; ERR_ABORTED, and what `onProgress` throws
   */
  static fit<N extends ScoreName = "gaussian-mixture">(model: ResNet, train: Dataset, options: DetectorFitOptions<N>): Promise<Detector> {
    return calledFrom(Detector.fit, () => Detector.#fit(model, train, options));
  }

  static async #fit<N extends ScoreName>(model: ResNet, train: Dataset, options: DetectorFitOptions<N>): Promise<Detector> {
    const given = optionsObject(options, "options", [...commonKeys, "batchSize", "precision", "resize", "onProgress"]);
    if (!(model instanceof ResNet)) fail("ERR_OPTION", "model", "a ResNet", model);
    requireDataset(train, "train");
    const calibration = requireDataset(given.calibration, "calibration");
    const onProgress = optionalFunction(given.onProgress, "onProgress");
    const { name, scoreOptions, record } = chooseScore(given);
    const falseAlarmRate = checkFalseAlarmRate(given.falseAlarmRate ?? defaultRate, calibration.length);
    const signal = optionalSignal(given.signal, "signal");
    const extraction: Extraction = { precision: given.precision ?? "float32", resize: given.resize ?? usualResize(train) };
    const needs = requirements(name, scoreOptions);
    const scored = unique<keyof Evidence>([...needs.score, "logits"]);
    const fitted = needs.fit.filter(isEvidenceKind);

    const allowOverlap = boolean(given.allowOverlap ?? false, "allowOverlap");
    const classNames = [...(model.classNames ?? train.classNames)];
    const { numClasses, temperature } = model.architecture;
    if (classNames.length !== numClasses) {
      const expected = `${numClasses} names, as the network has classes`;
      throw new LibtorchOodError("ERR_SHAPE", `classNames: expected ${expected}, found ${classNames.length}`);
    }
    const network = await model.copy(); // before anything else takes time: as it is at the call
    let score: Score | undefined;
    const owned: Tensor[] = [];
    try {
      const compared = await compareInputs(imageRows(train), imageRows(calibration), allowOverlap, network.trainedOn);
      const passes = (kinds: readonly (keyof Evidence)[]): number => extractions(kinds).length;
      const total = passes(fitted) * train.length + passes(scored) * calibration.length;
      let before = 0;
      const read = async (images: Dataset, kinds: readonly (keyof Evidence)[]) => {
        const report = onProgress && ((done: number) => onProgress(before + done, total));
        const evidence = await extractEvidence(
          network,
          images,
          kinds,
          { ...extraction, batchSize: given.batchSize, signal, onProgress: report },
          (done) => {
            before += done;
          },
        );
        owned.push(...tensorsOf(evidence));
        return evidence;
      };
      const training: TrainingEvidence = { ...(await read(train, fitted)), labels: train.labels };
      const weights = await network.weights();
      owned.push(...weights.values());
      if (needs.fit.includes("weight")) {
        const weight = dividedBy(temperature, weights.get("fc.weight") as Tensor); // logits are (W/τ)z + b
        owned.push(weight);
        training.weight = weight;
      }
      if (needs.fit.includes("bias")) training.bias = weights.get("fc.bias");
      score = await fitScore(name, training, withClasses(name, scoreOptions, numClasses, network.device, signal));
      const held = await read(calibration, scored);
      const calibrationScores = await calibrate(score, held, signal);
      return new Detector({
        network,
        score,
        classifier: undefined,
        labelsFrom: "logits",
        evidence: scored,
        classNames,
        falseAlarmRate,
        ...compared,
        warnings: [...compared.warnings, ...resizeWarnings(train, calibration, extraction.resize)],
        calibrationScores,
        extraction,
        preset: record,
      });
    } catch (error) {
      network.dispose();
      score?.dispose();
      throw error;
    } finally {
      disposeAll(owned);
    }
  }

  /**
   * A detector over the features of any other model: fits the score to training features and calibrates it on held-out ones.
   *
   * Labels come from the logits where those are given (then they belong to every later input). Without logits they come from the score's own
   * mixture if that is the score, else from Gaussian classes with one covariance for all (linear discriminant analysis); `confidence` is the
   * posterior there.
   *
   * @throws ERR_RANGE where there are too few calibration inputs for the rate, ERR_OPTION where calibration inputs are among the training inputs;
   *   what `scores.fit` throws
   * @example
   * const detector = await Detector.fromFeatures({
   *   features: { data: trainEmbeddings, shape: [n, d] }, labels,
   *   calibration: { features: { data: heldOut, shape: [m, d] } },
   *   scoreOptions: { covariance: "ledoit-wolf" },
   * });
   * const [{ className, outOfDistribution }] = await detector.predict({ data: embedding, shape: [1, d] });
   */
  static fromFeatures<N extends ScoreName = "gaussian-mixture">(options: DetectorFeatures<N>): Promise<Detector> {
    return calledFrom(Detector.fromFeatures, () => Detector.#fromFeatures(options));
  }

  static async #fromFeatures<N extends ScoreName>(options: DetectorFeatures<N>): Promise<Detector> {
    const keys = [...commonKeys, ...evidenceKinds, "labels", "weight", "bias", "classNames", "device"] as const;
    const given = optionsObject(options, "options", keys);
    const { name, scoreOptions, record } = chooseScore(given);
    const device = string(given.device ?? "cpu", "device");
    const signal = optionalSignal(given.signal, "signal");
    const needs = requirements(name, scoreOptions);
    const hasLogits = given.logits !== undefined;
    const labelsFrom = hasLogits ? "logits" : name === "gaussian-mixture" ? "score" : "classifier";
    const scored = unique<keyof Evidence>([
      ...needs.score,
      ...(hasLogits ? ["logits" as const] : []),
      ...(labelsFrom === "classifier" ? ["features" as const] : []),
    ]);
    const owned: Tensor[] = [];
    let score: Score | undefined;
    let classifier: GaussianMixture | undefined;
    try {
      const take = (evidence: Evidence, kinds: readonly (keyof Evidence)[], where: string) => takeEvidence(evidence, kinds, where, owned);
      const held = take(given.calibration, scored, "calibration");
      const training = take(given, unique<keyof Evidence>([...needs.fit.filter(isEvidenceKind), ...scored]), "training");
      const falseAlarmRate = checkFalseAlarmRate(given.falseAlarmRate ?? defaultRate, held.rows);
      const labels = labelsTensor(given.labels, "labels");
      if (labels !== given.labels) owned.push(labels);
      if (labels.size !== training.rows) {
        throw new LibtorchOodError("ERR_SHAPE", `labels: expected ${training.rows}, one per row, found ${labels.size}`);
      }
      const numClasses = classCount(given.classNames, training.evidence.logits, labels);
      requireLogits(held.evidence, numClasses, "calibration");
      const { weight, bias } = given;
      const all: TrainingEvidence = { ...training.evidence, labels, weight, bias };
      const kind = scored[0] as keyof Evidence;
      const [trainingRows, heldRows] = [training, held].map(({ evidence }) => tensorRows(evidence[kind] as Tensor)) as [Rows, Rows];
      const compared = await compareInputs(trainingRows, heldRows, boolean(given.allowOverlap ?? false, "allowOverlap"));
      score = await fitScore(name, all, withClasses(name, scoreOptions, numClasses, device, signal));
      if (score instanceof GaussianMixtureScore && labelsFrom === "score" && score.mixture.numClasses !== numClasses) {
        const expected = `${numClasses}, as there are names or labels`;
        throw new LibtorchOodError("ERR_SHAPE", `scoreOptions.numClasses: expected ${expected}, found ${score.mixture.numClasses}`);
      }
      if (labelsFrom === "classifier") {
        classifier = await GaussianMixture.fit(all.features as Tensor, labels, { covariance: "tied", numClasses, device, signal });
      }
      return new Detector({
        network: undefined,
        score,
        classifier,
        labelsFrom,
        evidence: scored,
        classNames: given.classNames ? [...given.classNames] : Array.from({ length: numClasses }, (_, label) => String(label)),
        falseAlarmRate,
        ...compared,
        calibrationScores: await calibrate(score, held.evidence, signal),
        extraction: { precision: "float32", resize: "center-crop" },
        preset: record,
      });
    } catch (error) {
      score?.dispose();
      classifier?.dispose();
      throw error;
    } finally {
      disposeAll(owned);
    }
  }

  /**
   * What the detector says of each input.
   *
   * @param input - images in any form that `model.extract` takes; or evidence `{ features, rawFeatures, logits }` of the same network, as far as
   *   {@link evidence} names it. A detector without a network takes evidence, or features alone as [N, d].
   * @throws ERR_OPTION where evidence is missing, ERR_RANGE for a rate that the calibration cannot give, ERR_SHAPE, ERR_DTYPE, ERR_NON_FINITE,
   *   ERR_ABORTED, ERR_DISPOSED; what `model.extract` throws
   */
  predict(input: Images | Evidence, options?: PredictOptions): Promise<Prediction[]> {
    return calledFrom(this.predict, () => this.#predict(input, options));
  }

  async #predict(input: Images | Evidence, options?: PredictOptions): Promise<Prediction[]> {
    const given = optionsObject(options, "predict options", ["falseAlarmRate", "batchSize", "signal"]);
    this.#requireLive();
    const { calibrationScores, network, score, extraction } = this.#parts;
    const rate = checkFalseAlarmRate(given.falseAlarmRate ?? this.falseAlarmRate, calibrationScores.length);
    const signal = optionalSignal(given.signal, "signal");
    const owned: Tensor[] = [];
    try {
      let evidence: Tensors;
      if (isEvidence(input)) {
        evidence = takeEvidence(input, this.evidence, "input", owned).evidence;
      } else if (network === undefined) {
        const features = input as Tensor | ArrayWithShape;
        if (this.evidence.length > 1) {
          fail("ERR_OPTION", "input", `{ ${this.evidence.join(", ")} }`, input);
        }
        evidence = takeEvidence({ [this.evidence[0] as keyof Evidence]: features }, this.evidence, "input", owned).evidence;
      } else {
        evidence = await extractEvidence(network, input, this.evidence, { ...extraction, batchSize: given.batchSize, signal });
        owned.push(...tensorsOf(evidence));
      }
      const count = evidence[this.evidence[0] as keyof Evidence]?.shape[0] ?? 0;
      requireLogits(evidence, this.classNames.length, "input");
      if (count === 0) return [];
      const scores = await score.score(pick(evidence, score.needs), { signal });
      const { labels, confidences } = await this.#classify(evidence, signal);
      return Array.from(scores, (value, i) => {
        const p = pValue(calibrationScores, value);
        const label = labels[i] as number;
        return {
          label,
          className: this.classNames[label] as string,
          confidence: confidences[i] as number,
          score: value,
          ...(score.name === "gaussian-mixture" ? { logDensity: value } : {}),
          pValue: p,
          outOfDistribution: p <= rate,
        };
      });
    } finally {
      disposeAll(owned);
    }
  }

  async #classify(evidence: Tensors, signal: AbortSignal | undefined) {
    const { score, classifier, labelsFrom } = this.#parts;
    if (labelsFrom === "logits") {
      const logits = evidence.logits as Tensor;
      const confidences = await scoreRows(logits, "logits", signal, softmaxConfidence);
      return { labels: await scoreRows(logits, "logits", signal, predictedClass), confidences };
    }
    const own = score instanceof GaussianMixtureScore ? score : undefined;
    const mixture = classifier ?? (own as GaussianMixtureScore).mixture;
    const features = evidence[classifier ? "features" : (own as GaussianMixtureScore).from] as Tensor;
    const posterior = await mixture.responsibilities(features, { signal });
    try {
      const labels = await scoreRows(posterior, "posterior", signal, predictedClass);
      return { labels, confidences: await scoreRows(posterior, "posterior", signal, maxLogit) };
    } finally {
      posterior.dispose();
    }
  }

  /**
   * Which of these inputs the network was trained on, the score was fitted to or the calibration was made of: an evaluation on them would flatter
   * the detector. The record is in its file.
   *
   * @param input - a Dataset; of a detector over features evidence, or features alone, as {@link predict} takes it
   * @throws ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_DISPOSED
   * @example
   * const { indices } = await detector.overlap(test); // []: none of them
   */
  overlap(input: Dataset | Tensor | ArrayWithShape | Evidence): Promise<Overlap> {
    return calledFrom(this.overlap, () => this.#overlap(input));
  }

  async #overlap(input: Dataset | Tensor | ArrayWithShape | Evidence): Promise<Overlap> {
    this.#requireLive();
    const { network, seen } = this.#parts;
    if (network !== undefined) return seen.join(network.trainedOn).among(imageRows(requireDataset(input, "input")));
    const kind = this.evidence[0] as keyof Evidence;
    const owned: Tensor[] = [];
    try {
      const given = isEvidence(input) ? input : { [kind]: input as Tensor | ArrayWithShape };
      const { evidence } = takeEvidence(given, [kind], "input", owned);
      return await seen.among(tensorRows(evidence[kind] as Tensor));
    } finally {
      disposeAll(owned);
    }
  }

  /** Writes network, score and calibration to one .safetensors file, atomically. @throws ERR_IO, ERR_DISPOSED */
  save(path: string): Promise<void> {
    return calledFrom(this.save, () => this.#save(path));
  }

  async #save(path: string): Promise<void> {
    this.#requireLive();
    const { network, score, classifier, calibrationScores, ...rest } = this.#parts;
    const scoreState = await score.state();
    const classifierState = await classifier?.state();
    const weights = [...((await network?.weights()) ?? [])].map(([name, tensor]) => ({ name, tensor }));
    const scores = Tensor.from(calibrationScores);
    try {
      const description: DetectorDescription = {
        ...rest,
        network: network?.description,
        score: { name: score.name, description: scoreState.description },
        classifier: classifierState?.description,
      };
      const tensors = {
        network: weights.map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) })),
        score: scoreState.tensors,
        classifier: classifierState?.tensors ?? [],
      };
      await writeDetectorFile(string(path, "path"), description, tensors, Tensor.handle(scores, "scores"));
    } finally {
      const states = [...scoreState.tensors, ...(classifierState?.tensors ?? [])];
      disposeAll([...weights, ...states].map(({ tensor }) => tensor));
      scores.dispose();
    }
  }

  /**
   * Reads what {@link save} wrote; on the same device predictions are the same, scores but for rounding in the last bit.
   *
   * @throws ERR_CORRUPT_FILE for a damaged file or one of another format or version, ERR_IO, ERR_DEVICE, ERR_OUT_OF_MEMORY
   */
  static load(path: string, options?: { device?: string }): Promise<Detector> {
    return calledFrom(Detector.load, () => Detector.#load(path, options));
  }

  static async #load(path: string, options: { device?: string } | undefined): Promise<Detector> {
    const device = string(optionsObject(options, "options", ["device"]).device ?? "cpu", "device");
    const { description, tensors, calibrationScores } = await readDetectorFile(path);
    const { network: model, score: stored, classifier: classes, ...rest } = description;
    const owned: { dispose(): void }[] = [];
    try {
      const network = model && (await ResNet.restore(path, model, tensors.network, device));
      if (network) owned.push(network);
      const score = await restoreScore(stored.name, { description: stored.description, tensors: tensors.score }, device, path);
      owned.push(score);
      const classifier = classes && (await GaussianMixture.restore(classes, tensors.classifier, device, path));
      if (classifier) owned.push(classifier);
      const parts = { ...rest, network, score, classifier, calibrationScores };
      await requireConsistent(path, parts);
      return new Detector(parts);
    } catch (error) {
      disposeAll(owned);
      throw error;
    } finally {
      disposeAll(Object.values(tensors).flatMap((part) => part.map(({ tensor }) => tensor))); // the parts hold what they keep
    }
  }

  /** Frees network and score. Idempotent; any later use throws ERR_DISPOSED. */
  dispose(): void {
    this.#disposed = true;
    const { network, score, classifier } = this.#parts;
    network?.dispose();
    score.dispose();
    classifier?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  #requireLive(): void {
    if (this.#disposed) throw new LibtorchOodError("ERR_DISPOSED", "detector: it has been disposed");
  }
}

function dividedBy(divisor: number, tensor: Tensor): Tensor {
  const values = tensor.toArray() as Float32Array | Float64Array;
  return Tensor.from(
    Float64Array.from(values, (value) => value / divisor),
    tensor.shape,
  );
}

function disposeAll(values: readonly { dispose(): void }[]): void {
  for (const value of values) value.dispose();
}
