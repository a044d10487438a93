// Detector: a classifier, a score, and the scores of held-out inputs; it says of each new input whether it is in distribution.

import { fail, integer, optionalSignal, optionsObject, string } from "../core/checks";
import type { Dataset } from "../data/dataset";
import { checkFalseAlarmRate, pValue } from "./calibration";
import type { CalibrationReport } from "./calibration-report";
import { nameClasses } from "./class-names";
import { readDetectorFile, writeDetectorFile, type DetectorDescription } from "./detector-file";
import { isModelOutputs, pick, requireLogits, takeOutputs, tensorsOf, type Tensors } from "./outputs";
import { fitToFeatures } from "./fit-features";
import { fitToImages } from "./fit-images";
import type { DetectorFeatures, DetectorFitOptions, DetectorLoadOptions, PredictOptions, Prediction } from "./options";
import { requireConsistent, type Parts } from "./parts";
import { selfTestAt, type SelfTest } from "./self-test";
import { LibtorchOodError } from "../core/errors";
import { GaussianMixture } from "../statistics/gaussian-mixture";
import type { ImageResize } from "../images/geometry";
import { checkMaxPixels } from "../images/image";
import { calledFrom } from "../native/call";
import type { ComputePrecision } from "../native/precision";
import type { PresetRecord } from "../protocols/preset";
import { internals, type ExtractorDescription, type FeatureExtractor } from "../models/extractor";
import { openStoredModel, type StoredModel } from "../models/stored-model";
import type { Images } from "../models/images";
import { ResNet } from "../models/resnet/resnet";
import { requireDataset } from "../data/dataset";
import { requireImageSize, type ModelDescription } from "../models/resnet/model-file";
import type { Overlap } from "../core/overlap";
import { Scope, type Disposable } from "../core/scope";
import { imageRows, tensorRows } from "../data/seen-inputs";
import { restoreScore } from "../scores/fit";
import { restoring } from "../formats/state-file";
import type { ModelOutputs, ScoreName } from "../scores/score";
import { Tensor, type ArrayWithShape } from "../native/tensor";

export type { CalibrationReport, NamedInputs } from "./calibration-report";
export type { FlaggedClass, FlaggedShare, SelfTest } from "./self-test";
export type { DetectorFeatures, DetectorFitOptions, DetectorLoadOptions, PredictOptions, Prediction } from "./options";

/**
 * A detector of out-of-distribution inputs: a network (or none, for the features of another model), a score, and its calibration. It owns a copy of
 * the network as it was when the detector was fitted; later training does not change the detector. {@link Detector.fit},
 * {@link Detector.fromFeatures} and {@link Detector.load} make one.
 *
 * @example
 * import { Detector } from "libtorch-ood";
 *
 * // Two classes of 8 features each; any model gives such features.
 * const draw = (mean: number) => Array.from({ length: 8 }, () => mean + Math.random());
 * const sample = (n: number) => Array.from({ length: n }, (_, i) => draw(i % 2));
 * const matrix = (rows: number[][]) => ({ data: Float32Array.from(rows.flat()), shape: [rows.length, 8] });
 * const labels = Int32Array.from({ length: 400 }, (_, i) => i % 2);
 * const detector = await Detector.fromFeatures({
 *   features: matrix(sample(400)),
 *   labels,
 *   calibration: { features: matrix(sample(100)) },
 *   classNames: ["low", "high"],
 * });
 * const [answer] = await detector.predict(matrix([draw(5)]));
 * console.log(answer?.outOfDistribution ? "OUT OF DISTRIBUTION" : answer?.className);
 */
export class Detector {
  /** Names of the classes in label order; empty where the detector names no class. */
  readonly classNames: readonly string[];
  /** Default false-alarm rate of {@link predict}: the share of in-distribution inputs that may be flagged. */
  readonly falseAlarmRate: number;
  /** Scores of the held-out inputs, ascending. */
  readonly calibrationScores: Float64Array;
  /** SHA-256 over the calibration inputs in their order, in hexadecimal. */
  readonly calibrationHash: string;
  /** Name of the score, one of `scores.names`. */
  readonly scoreName: ScoreName;
  /** What a user should know about the inputs and the fit of the score. */
  readonly warnings: readonly string[];
  /** How well the detector named the classes of calibration and training inputs. */
  readonly calibration: CalibrationReport;
  /** The preset that the score's options came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** What {@link predict} takes: "images", or "features" where the detector has no network. */
  readonly takes: "images" | "features";
  /** Model outputs that score and label look at. Model outputs that {@link predict} is given instead of images must hold these. */
  readonly needs: readonly (keyof ModelOutputs)[];
  /** The model that makes outputs of images, and what becomes of a picture before it; undefined where {@link takes} is "features". */
  readonly model: ExtractorDescription | undefined;
  /** How images of another size than the network's are resized. */
  readonly resize: ImageResize;
  /** Precision of the network's convolutions ("float64" for a float64 network); undefined without a network. */
  readonly precision: ComputePrecision | "float64" | undefined;
  readonly #parts: Parts;
  #disposed = false;
  /** Number of calls that have not ended. */
  #calls = 0;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.classNames = parts.classNames;
    this.falseAlarmRate = parts.falseAlarmRate;
    this.calibrationScores = Float64Array.from(parts.calibrationScores);
    this.calibrationHash = parts.calibrationHash;
    this.scoreName = parts.score.name;
    this.warnings = [...parts.warnings, ...parts.score.warnings];
    this.calibration = parts.report;
    this.preset = parts.preset;
    this.takes = parts.network === undefined ? "features" : "images";
    this.needs = parts.evidence;
    this.model = parts.network?.describe();
    this.resize = parts.extraction.resize;
    this.precision = parts.network && (parts.network[internals].dtype === "float64" ? "float64" : parts.extraction.precision);
  }

  /**
   * Fits the score to the training images, without augmentation, and calibrates it on held-out images. The detector copies the network when you call
   * `fit`.
   *
   * @param model - a trained network, or any other {@link FeatureExtractor}. Where its logits are not the classes of the training images, and this library
   *   did not train it, the features name the class
   * @param train - the images that the network was trained on, without the validation part
   * @param options - the held-out images, which are required; the false-alarm rate, the score and its options
   * @throws ERR_RANGE if there are too few calibration images for the rate, and for an option outside its range; ERR_OPTION if calibration images are among
   *   the training images or those that the network was trained on (unless `allowOverlap`), if all calibration images have the same score, for an unknown
   *   option, and for a `model` or data set of another type; ERR_SHAPE if there is not one class name per class of the network; ERR_ABORTED after an
   *   abort; what {@link ResNet.extract} and {@link scores.fit} throw; and what `onProgress` throws
   * @example
   * const { train, validation } = data.split(0.1, 1);
   * await model.fit(train, { epochs: 60, milestones: [40, 50] });
   * const detector = await Detector.fit(model, train, { calibration: validation, falseAlarmRate: 0.05 });
   * const [answer] = await detector.predict("photo.jpg");
   * console.log(answer?.outOfDistribution ? "OUT OF DISTRIBUTION" : answer?.className);
   */
  static fit<N extends ScoreName = "gaussian-mixture">(
    model: FeatureExtractor,
    train: Dataset,
    options: DetectorFitOptions<N>,
  ): Promise<Detector> {
    return calledFrom(Detector.fit, async () => new Detector(await fitToImages(model, train, options)));
  }

  /**
   * Makes a detector over the features of any other model: it fits the score to training features and calibrates it on held-out ones.
   *
   * With logits, predictions get their label from the logits, which every later input then needs. Without logits, the label comes from the mixture of
   * the score `"gaussian-mixture"`; with any other score it comes from Gaussian classes with one covariance for all (linear discriminant analysis).
   * `confidence` is then the posterior. Scores that are not fitted to classes need no labels. Without labels and logits, predictions have no label.
   *
   * The result of {@link ResNet.extract} can be passed as it is, for training and calibration.
   *
   * @param options - features, labels and whatever else the score needs; the same for held-out inputs as `calibration`, which is required
   * @throws ERR_RANGE if there are too few calibration inputs for the rate, and for an option or a label outside its range; ERR_OPTION if calibration inputs
   *   are among the training inputs (unless `allowOverlap`), if all calibration inputs have the same score (as those of one class do under
   *   `"relative-mahalanobis"`), if an output or the labels that the score needs are missing, and for an unknown option; ERR_SHAPE if rows, labels,
   *   columns of the logits and class names disagree; ERR_ABORTED after an abort; and what {@link scores.fit} throws
   * @example
   * const detector = await Detector.fromFeatures({
   *   features: { data: trainEmbeddings, shape: [n, d] }, labels,
   *   calibration: { features: { data: heldOut, shape: [m, d] } },
   *   scoreOptions: { covariance: "ledoit-wolf" },
   * });
   * const [{ className, outOfDistribution }] = await detector.predict({ data: embedding, shape: [1, d] });
   */
  static fromFeatures<N extends ScoreName = "gaussian-mixture">(options: DetectorFeatures<N>): Promise<Detector> {
    return calledFrom(Detector.fromFeatures, async () => new Detector(await fitToFeatures(options)));
  }

  /**
   * Predicts the class of each input, and whether the input is out of distribution.
   *
   * @param input - images in any form that {@link ResNet.extract} takes; or model outputs `{ features, rawFeatures, logits }` of the same network, as far
   *   as {@link needs} names them. A detector without a network takes model outputs, or features alone as [N, d]
   * @param options - false-alarm rate, batch size and how to treat images that cannot be decoded
   * @returns one prediction per input, in order; images that `onError` left out have none
   * @throws ERR_OPTION if an output is missing, and for an unknown option; ERR_RANGE for a rate that the calibration cannot give; ERR_SHAPE for outputs of
   *   other columns or of different numbers of rows; ERR_DTYPE for outputs that are not float32 or float64; ERR_NON_FINITE for NaN and infinity;
   *   ERR_ABORTED after an abort; ERR_DISPOSED after {@link dispose}; and what {@link ResNet.extract} throws
   * @example
   * for (const { className, confidence, outOfDistribution } of await detector.predict(["cat.jpg", "noise.png"])) {
   *   console.log(outOfDistribution ? "OUT OF DISTRIBUTION" : `${className} (${confidence})`);
   * }
   */
  predict(input: Images | ModelOutputs, options?: PredictOptions): Promise<Prediction[]> {
    return calledFrom(this.predict, () => this.#inUse(() => this.#predict(input, options)));
  }

  async #predict(input: Images | ModelOutputs, options?: PredictOptions): Promise<Prediction[]> {
    const given = optionsObject(options, "predict options", ["falseAlarmRate", "batchSize", "maxPixels", "truncated", "onError", "signal"]);
    const { calibrationScores, network, score, extraction } = this.#parts;
    const rate = checkFalseAlarmRate(given.falseAlarmRate ?? this.falseAlarmRate, calibrationScores.length);
    const signal = optionalSignal(given.signal, "signal");
    const { batchSize, truncated, onError } = given;
    const maxPixels = checkMaxPixels(given.maxPixels);
    // Left out in silence, an image would shift the predictions of those behind it.
    if (onError !== undefined && onError !== "throw" && typeof onError !== "function") {
      fail("ERR_OPTION", "onError", '"throw" or a function, which is told which images have no prediction', onError);
    }
    return Scope.run(async (scope) => {
      let outputs: Tensors;
      if (isModelOutputs(input)) {
        outputs = takeOutputs(input, this.needs, "input", scope).outputs;
      } else if (network === undefined) {
        const features = input as Tensor | ArrayWithShape;
        if (this.needs.length > 1) {
          fail("ERR_OPTION", "input", `{ ${this.needs.join(", ")} }`, input);
        }
        outputs = takeOutputs({ [this.needs[0] as keyof ModelOutputs]: features }, this.needs, "input", scope).outputs;
      } else {
        outputs = await network.extract(input, { outputs: this.needs, ...extraction, batchSize, maxPixels, truncated, onError, signal });
        scope.ownAll(tensorsOf(outputs));
      }
      const count = outputs[this.needs[0] as keyof ModelOutputs]?.shape[0] ?? 0;
      requireLogits(outputs, this.#logitCount, "input");
      if (count === 0) return [];
      const scores = await score.score(pick(outputs, score.needs), { signal });
      const named = await nameClasses(this.#parts, outputs, signal);
      return Array.from(scores, (value, i) => {
        const p = pValue(calibrationScores, value);
        const label = named?.labels[i];
        return {
          ...(label === undefined ? {} : { label, className: this.classNames[label], confidence: named?.confidences[i] }),
          score: value,
          ...(score.name === "gaussian-mixture" ? { logDensity: value } : {}),
          pValue: p,
          outOfDistribution: p <= rate,
        };
      });
    });
  }

  /**
   * Finds the inputs that the network was trained on, the score was fitted to, or the calibration was made of. An evaluation on them would flatter the
   * detector. The detector's file keeps the record.
   *
   * @param input - a Dataset; for a detector over features, model outputs or features alone, as {@link predict} takes them
   * @returns the numbers of those inputs, and how many inputs could be checked
   * @throws ERR_OPTION for an input of another type, and if an output is missing; ERR_SHAPE for outputs that are not [N, columns]; ERR_DTYPE for an array
   *   without a dtype of a Tensor; ERR_DISPOSED after {@link dispose}
   * @example
   * const { indices } = await detector.overlap(test); // []: none of them
   */
  overlap(input: Dataset | Tensor | ArrayWithShape | ModelOutputs): Promise<Overlap> {
    return calledFrom(this.overlap, () => this.#inUse(() => this.#overlap(input)));
  }

  async #overlap(input: Dataset | Tensor | ArrayWithShape | ModelOutputs): Promise<Overlap> {
    const { network, seen } = this.#parts;
    if (network !== undefined) return seen.join(network[internals].trainedOn).among(imageRows(requireDataset(input, "input")));
    const kind = this.needs[0] as keyof ModelOutputs;
    return Scope.run((scope) => {
      const given = isModelOutputs(input) ? input : { [kind]: input as Tensor | ArrayWithShape };
      const { outputs } = takeOutputs(given, [kind], "input", scope);
      return seen.among(tensorRows(outputs[kind] as Tensor));
    });
  }

  /**
   * Reports which share the detector flags of inputs that are surely out of distribution, in which classes it flags in-distribution inputs, and how far
   * its false-alarm rate may be off. The inputs were scored when the detector was fitted; a detector over features makes them from the calibration
   * features.
   *
   * @param options.falseAlarmRate - the rate to report on. Default: the detector's own
   * @throws ERR_RANGE for a rate that the calibration cannot give; ERR_NON_FINITE for NaN and infinity; ERR_OPTION for an unknown option or a rate that is
   *   no number; ERR_DISPOSED after {@link dispose}
   * @example
   * const { noise, falseAlarms } = detector.selfTest();
   * console.log(`flags ${noise?.flagged} of noise, and ${falseAlarms.lower} to ${falseAlarms.upper} of in-distribution inputs`);
   */
  selfTest(options?: { falseAlarmRate?: number }): SelfTest {
    this.#requireLive();
    const given = optionsObject(options, "options", ["falseAlarmRate"]);
    const rate = checkFalseAlarmRate(given.falseAlarmRate ?? this.falseAlarmRate, this.#parts.calibrationScores.length);
    return selfTestAt(this.#parts, rate);
  }

  /**
   * Writes network, score and calibration to one .safetensors file, atomically: an interrupted call leaves an older file as it was.
   *
   * @param path - path of the file; an existing file is replaced
   * @throws ERR_IO if the file cannot be written; ERR_DISPOSED after {@link dispose}; ERR_OPTION for a path that is no string
   * @example
   * await detector.save("digits.safetensors");
   */
  save(path: string): Promise<void> {
    return calledFrom(this.save, () => this.#inUse(() => this.#save(path)));
  }

  async #save(path: string): Promise<void> {
    const { network, score, classifier, calibrationScores, calibrationLabels, ...rest } = this.#parts;
    await Scope.run(async (scope) => {
      const owned = <T extends { tensor: Disposable }>(tensors: readonly T[]): readonly T[] => {
        scope.ownAll(tensors.map(({ tensor }) => tensor));
        return tensors;
      };
      const scoreState = await score.state();
      const classifierState = await classifier?.state();
      const weights = (await network?.[internals].state()) ?? [];
      const held = [{ name: "scores", tensor: Tensor.from(calibrationScores) }];
      if (calibrationLabels) held.push({ name: "labels", tensor: Tensor.from(BigInt64Array.from(calibrationLabels, BigInt)) });
      const handles = (tensors: typeof held) => owned(tensors).map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) }));
      const description: DetectorDescription = {
        ...rest,
        network: network?.kind === "resnet" ? (network[internals].stored() as ModelDescription) : undefined,
        model: network && network.kind !== "resnet" ? (network.describe() as StoredModel) : undefined,
        score: { name: score.name, description: scoreState.description },
        classifier: classifierState?.description,
      };
      const tensors = {
        network: owned(weights),
        score: owned(scoreState.tensors),
        classifier: owned(classifierState?.tensors ?? []),
      };
      await writeDetectorFile(string(path, "path"), description, tensors, handles(held));
    });
  }

  /**
   * Reads a detector from a file that {@link save} wrote. On the same device its predictions are the same, and its scores differ at most by rounding in
   * the last bit.
   *
   * @param path - path of the file
   * @param options.device - "cpu", "cuda" or "cuda:N"; default "cpu"
   * @param options.model - the model, or the path of its file, where the detector's own file does not hold the weights: for a {@link TorchScriptModel},
   *   an {@link OnnxModel} and what {@link defineExtractor} gives. It has to be the model that the detector was fitted to
   * @param options.maxImageSize - largest image side in pixels that the network may have: a small file can state a large side, and its square is what
   *   an image costs. Default: no limit
   * @throws ERR_CORRUPT_FILE for a damaged file or one of another format or version; ERR_IO if the file cannot be read; ERR_DEVICE if the device is
   *   unavailable; ERR_OUT_OF_MEMORY if the network does not fit into the free memory; ERR_RANGE for a network of larger images than `maxImageSize`;
   *   ERR_OPTION for an unknown option; ERR_LIBTORCH_NOT_FOUND if libtorch is not installed
   * @example
   * const detector = await Detector.load("digits.safetensors");
   */
  static load(path: string, options?: DetectorLoadOptions): Promise<Detector> {
    return calledFrom(Detector.load, () => Detector.#load(path, options));
  }

  static async #load(path: string, options: Parameters<typeof Detector.load>[1]): Promise<Detector> {
    const given = optionsObject(options, "options", ["device", "maxImageSize", "model"]);
    const { device = "cpu", maxImageSize = Infinity } = given;
    string(device, "device");
    if (maxImageSize !== Infinity) integer(maxImageSize, "maxImageSize", 1);
    const { description, tensors, calibrationScores, calibrationLabels } = await readDetectorFile(path);
    const { network: own, model: foreign, score: stored, classifier: classes, ...rest } = description;
    if (own) requireImageSize(path, own, maxImageSize);
    if (foreign === undefined && given.model !== undefined) {
      fail("ERR_OPTION", "model", own ? "none: the network lies in the detector's file" : "none: the detector takes features", given.model);
    }
    return Scope.run((scope) => {
      scope.ownAll(Object.values(tensors).flatMap((part) => part.map(({ tensor }) => tensor))); // the parts hold what they keep
      return restoring(path, async () => {
        const network = scope.own(
          foreign === undefined
            ? own && (await ResNet.restore(path, own, tensors.network, device))
            : await openStoredModel(path, foreign, given.model, device),
        );
        const score = scope.own(await restoreScore(stored.name, { description: stored.description, tensors: tensors.score }, device, path));
        const classifier = scope.own(classes && (await GaussianMixture.restore(classes, tensors.classifier, device, path)));
        const parts = { ...rest, network, score, classifier, calibrationScores, calibrationLabels };
        await requireConsistent(path, parts);
        for (const part of [network, score, classifier]) scope.release(part);
        return new Detector(parts);
      });
    });
  }

  /** Frees network and score when the calls in flight have ended; those still resolve. Later calls throw ERR_DISPOSED; a second `dispose` does nothing. */
  dispose(): void {
    this.#disposed = true;
    if (this.#calls === 0) this.#free();
  }

  #free(): void {
    const { network, score, classifier } = this.#parts;
    network?.dispose();
    score.dispose();
    classifier?.dispose();
  }

  /** Calls {@link dispose} at the end of a `using` declaration's block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Whether {@link dispose} has been called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Number of logits that every input has. */
  get #logitCount(): number {
    const { labelsFrom, network } = this.#parts;
    return labelsFrom === "logits" ? this.classNames.length : (network?.numClasses ?? this.classNames.length);
  }

  /** @throws ERR_DISPOSED after {@link dispose} */
  #requireLive(): void {
    if (this.#disposed) throw new LibtorchOodError("ERR_DISPOSED", "detector: it has been disposed");
  }

  /** Runs a call, during which nothing is freed. @throws ERR_DISPOSED after {@link dispose} */
  async #inUse<T>(call: () => Promise<T>): Promise<T> {
    this.#requireLive();
    this.#calls++;
    try {
      return await call();
    } finally {
      this.#calls--;
      if (this.#disposed && this.#calls === 0) this.#free();
    }
  }
}
