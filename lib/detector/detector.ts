// Detector: a classifier with a score and held-out scores to hold new ones against; it says of each input whether to trust the answer.

import { fail, integer, optionalSignal, optionsObject, string } from "../core/checks";
import type { Dataset } from "../data/dataset";
import { checkFalseAlarmRate, pValue } from "./calibration";
import type { CalibrationReport } from "./calibration-report";
import { nameClasses } from "./class-names";
import { readDetectorFile, writeDetectorFile, type DetectorDescription } from "./detector-file";
import { isModelOutputs, pick, requireLogits, takeOutputs, tensorsOf, type Tensors } from "./outputs";
import { fitToFeatures } from "./fit-features";
import { fitToImages } from "./fit-images";
import type { DetectorFeatures, DetectorFitOptions, PredictOptions, Prediction } from "./options";
import { requireConsistent, type Parts } from "./parts";
import { selfTestAt, type SelfTest } from "./self-test";
import { LibtorchOodError } from "../core/errors";
import { GaussianMixture } from "../statistics/gaussian-mixture";
import type { ImageResize } from "../images/decode";
import { checkMaxPixels } from "../images/image";
import { calledFrom } from "../native/call";
import type { ComputePrecision } from "../native/precision";
import type { PresetRecord } from "../protocols/preset";
import { ResNet, type Architecture, type Images } from "../models/resnet/resnet";
import { requireDataset } from "../data/dataset";
import { requireImageSize } from "../models/resnet/model-file";
import type { Overlap } from "../core/overlap";
import { Scope, type Disposable } from "../core/scope";
import { imageRows, tensorRows } from "../data/seen-inputs";
import { restoreScore } from "../scores/fit";
import { restoring } from "../formats/state-file";
import type { ModelOutputs, ScoreName } from "../scores/score";
import { Tensor, type ArrayWithShape } from "../native/tensor";

export type { CalibrationReport, NamedInputs } from "./calibration-report";
export type { FlaggedClass, FlaggedShare, SelfTest } from "./self-test";
export type { DetectorFeatures, DetectorFitOptions, PredictOptions, Prediction } from "./options";

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
  /** The name of each class; empty where the detector knows no classes. */
  readonly classNames: readonly string[];
  /** The rate that {@link predict} uses unless told otherwise. */
  readonly falseAlarmRate: number;
  /** Scores of the held-out inputs, ascending. */
  readonly calibrationScores: Float64Array;
  /** SHA-256 over the calibration inputs in their order, in hexadecimal. */
  readonly calibrationHash: string;
  /** Which score it is, and what {@link predict} needs for it: see {@link needs}. */
  readonly scoreName: ScoreName;
  /** What a user should know about the inputs and the fit of the score. */
  readonly warnings: readonly string[];
  /** How well the classes of calibration and training inputs were named. */
  readonly calibration: CalibrationReport;
  /** The preset that the score's options came from; undefined without one. */
  readonly preset: PresetRecord | undefined;
  /** "images", or "features" where the detector has no network. */
  readonly takes: "images" | "features";
  /** Which model outputs score and label look at: what {@link predict} takes in place of images holds these. */
  readonly needs: readonly (keyof ModelOutputs)[];
  /** Of the network, and so of its images; undefined without one. */
  readonly architecture: Architecture | undefined;
  /** What becomes of images of another size. */
  readonly resize: ImageResize;
  /** What the network's convolutions are computed in (a float64 network: in float64); undefined without one. */
  readonly precision: ComputePrecision | "float64" | undefined;
  readonly #parts: Parts;
  #disposed = false;
  /** Under way. */
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
    this.architecture = parts.network?.architecture;
    this.resize = parts.extraction.resize;
    this.precision = parts.network && (parts.network.dtype === "float64" ? "float64" : parts.extraction.precision);
  }

  /**
   * Fits the score to the training images, un-augmented, and calibrates it on held-out ones.
   *
   * @param model - a trained network; the detector takes a copy of it
   * @param train - the images that it was trained on (without a validation part)
   * @throws ERR_RANGE where there are too few calibration images for the rate, ERR_OPTION where calibration images are among the training images or
   *   those that the network was trained on, or where all calibration images have the same score; what `model.extract` and `scores.fit` throw; ERR_ABORTED, and what `onProgress` throws
   */
  static fit<N extends ScoreName = "gaussian-mixture">(model: ResNet, train: Dataset, options: DetectorFitOptions<N>): Promise<Detector> {
    return calledFrom(Detector.fit, async () => new Detector(await fitToImages(model, train, options)));
  }

  /**
   * A detector over the features of any other model: fits the score to training features and calibrates it on held-out ones.
   *
   * Labels come from the logits where those are given (then they belong to every later input). Without logits they come from the score's own
   * mixture if that is the score, else from Gaussian classes with one covariance for all (linear discriminant analysis); `confidence` is the
   * posterior there. Scores that are not fitted to classes need no labels; without labels and logits predictions have no label.
   *
   * What `model.extract` gives goes in as it is, for training and calibration.
   *
   * @throws ERR_RANGE where there are too few calibration inputs for the rate, ERR_OPTION where calibration inputs are among the training inputs;
   *   what `scores.fit` throws
   * @throws ERR_OPTION where all calibration inputs have the same score, as those of one class do under `"relative-mahalanobis"`
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
   * What the detector says of each input.
   *
   * @param input - images in any form that `model.extract` takes; or model outputs `{ features, rawFeatures, logits }` of the same network, as far as
   *   {@link needs} names them. A detector without a network takes model outputs, or features alone as [N, d].
   * @throws ERR_OPTION where an output is missing, ERR_RANGE for a rate that the calibration cannot give, ERR_SHAPE, ERR_DTYPE, ERR_NON_FINITE,
   *   ERR_ABORTED, ERR_DISPOSED; what `model.extract` throws
   */
  predict(input: Images | ModelOutputs, options?: PredictOptions): Promise<Prediction[]> {
    return calledFrom(this.predict, () => this.#inUse(() => this.#predict(input, options)));
  }

  async #predict(input: Images | ModelOutputs, options?: PredictOptions): Promise<Prediction[]> {
    const given = optionsObject(options, "predict options", ["falseAlarmRate", "batchSize", "maxPixels", "onError", "signal"]);
    const { calibrationScores, network, score, extraction } = this.#parts;
    const rate = checkFalseAlarmRate(given.falseAlarmRate ?? this.falseAlarmRate, calibrationScores.length);
    const signal = optionalSignal(given.signal, "signal");
    const { batchSize, onError } = given;
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
        outputs = await network.extract(input, { outputs: this.needs, ...extraction, batchSize, maxPixels, onError, signal });
        scope.ownAll(tensorsOf(outputs));
      }
      const count = outputs[this.needs[0] as keyof ModelOutputs]?.shape[0] ?? 0;
      requireLogits(outputs, this.classNames.length, "input");
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
   * Which of these inputs the network was trained on, the score was fitted to or the calibration was made of: an evaluation on them would flatter
   * the detector. The record is in its file.
   *
   * @param input - a Dataset; of a detector over features model outputs, or features alone, as {@link predict} takes it
   * @throws ERR_OPTION, ERR_SHAPE, ERR_DTYPE, ERR_DISPOSED
   * @example
   * const { indices } = await detector.overlap(test); // []: none of them
   */
  overlap(input: Dataset | Tensor | ArrayWithShape | ModelOutputs): Promise<Overlap> {
    return calledFrom(this.overlap, () => this.#inUse(() => this.#overlap(input)));
  }

  async #overlap(input: Dataset | Tensor | ArrayWithShape | ModelOutputs): Promise<Overlap> {
    const { network, seen } = this.#parts;
    if (network !== undefined) return seen.join(network.trainedOn).among(imageRows(requireDataset(input, "input")));
    const kind = this.needs[0] as keyof ModelOutputs;
    return Scope.run((scope) => {
      const given = isModelOutputs(input) ? input : { [kind]: input as Tensor | ArrayWithShape };
      const { outputs } = takeOutputs(given, [kind], "input", scope);
      return seen.among(tensorRows(outputs[kind] as Tensor));
    });
  }

  /**
   * What share the detector flags of inputs that are surely out of distribution, of which classes it flags in-distribution ones, and how far its
   * false-alarm rate may be off.
   * The inputs were scored when it was fitted; a detector of features makes them from the calibration features.
   *
   * @param options.falseAlarmRate - default: the detector's own
   * @throws ERR_RANGE for a rate that the calibration cannot give, ERR_OPTION
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

  /** Writes network, score and calibration to one .safetensors file, atomically. @throws ERR_IO, ERR_DISPOSED */
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
      const weights = [...((await network?.weights()) ?? [])].map(([name, tensor]) => ({ name, tensor }));
      const held = [{ name: "scores", tensor: Tensor.from(calibrationScores) }];
      if (calibrationLabels) held.push({ name: "labels", tensor: Tensor.from(BigInt64Array.from(calibrationLabels, BigInt)) });
      const handles = (tensors: typeof held) => owned(tensors).map(({ name, tensor }) => ({ name, tensor: Tensor.handle(tensor, name) }));
      const description: DetectorDescription = {
        ...rest,
        network: network?.description,
        score: { name: score.name, description: scoreState.description },
        classifier: classifierState?.description,
      };
      const tensors = {
        network: handles(weights),
        score: owned(scoreState.tensors),
        classifier: owned(classifierState?.tensors ?? []),
      };
      await writeDetectorFile(string(path, "path"), description, tensors, handles(held));
    });
  }

  /**
   * Reads what {@link save} wrote; on the same device predictions are the same, scores but for rounding in the last bit.
   *
   * @param options.maxImageSize - refuses a network for larger images, which a small file may state and which cost much. Default: none is refused
   * @throws ERR_CORRUPT_FILE for a damaged file or one of another format or version, ERR_IO, ERR_DEVICE, ERR_OUT_OF_MEMORY, ERR_RANGE for a network
   *   of larger images
   */
  static load(path: string, options?: { device?: string; maxImageSize?: number }): Promise<Detector> {
    return calledFrom(Detector.load, () => Detector.#load(path, options));
  }

  static async #load(path: string, options: Parameters<typeof Detector.load>[1]): Promise<Detector> {
    const { device = "cpu", maxImageSize = Infinity } = optionsObject(options, "options", ["device", "maxImageSize"]);
    string(device, "device");
    if (maxImageSize !== Infinity) integer(maxImageSize, "maxImageSize", 1);
    const { description, tensors, calibrationScores, calibrationLabels } = await readDetectorFile(path);
    const { network: model, score: stored, classifier: classes, ...rest } = description;
    if (model) requireImageSize(path, model.architecture, maxImageSize);
    return Scope.run((scope) => {
      scope.ownAll(Object.values(tensors).flatMap((part) => part.map(({ tensor }) => tensor))); // the parts hold what they keep
      return restoring(path, async () => {
        const network = scope.own(model && (await ResNet.restore(path, model, tensors.network, device)));
        const score = scope.own(await restoreScore(stored.name, { description: stored.description, tensors: tensors.score }, device, path));
        const classifier = scope.own(classes && (await GaussianMixture.restore(classes, tensors.classifier, device, path)));
        const parts = { ...rest, network, score, classifier, calibrationScores, calibrationLabels };
        await requireConsistent(path, parts);
        for (const part of [network, score, classifier]) scope.release(part);
        return new Detector(parts);
      });
    });
  }

  /**
   * Frees network and score, once calls under way have ended: those still give their answers. Idempotent; any later call throws ERR_DISPOSED.
   */
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

  /** Calls {@link dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Whether {@link dispose} was called. */
  get disposed(): boolean {
    return this.#disposed;
  }

  /** Runs a call, during which nothing is freed. @throws ERR_DISPOSED */
  #requireLive(): void {
    if (this.#disposed) throw new LibtorchOodError("ERR_DISPOSED", "detector: it has been disposed");
  }

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
