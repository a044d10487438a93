// The numbers of neural collapse: how far features and classifier have gone towards a simplex equiangular tight frame (ETF).

import { boolean, fail, finite, optionalSignal, optionsObject, string } from "../core/checks";
import { ClassStatistics } from "./class-statistics";
import type { Labels } from "../core/labels";
import { Scope } from "../core/scope";
import { classesIn, labelsTensor } from "../native/labels-tensor";
import { native, type NativeCollapseNumbers } from "../native/surface";
import { runNative } from "../native/call";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";

export { projectedSingularValues, singularValues } from "./singular-values";
export type { ProjectedSingularValues, SingularValues, SingularValuesOptions } from "./singular-values";

/** The numbers of the class means alone. u_c are the class means, u_G is their mean, and M̄ has the columns u_c − u_G. */
export interface CollapseOfMeans {
  /** NC1, variability collapse: tr(Σ_W Σ_B†) with Σ_W = Σ(z − u_c)(z − u_c)ᵀ/N and Σ_B = M̄M̄ᵀ/C. It is never negative. */
  readonly nc1: number;
  /** Equinorm of the class means: standard deviation (ddof 1) over mean of ‖u_c − u_G‖. */
  readonly enMeans: number;
  /** Equiangularity of the class means: the mean over pairs of classes of |cos + 1/(C − 1)|, for the centred means. */
  readonly eaMeans: number;
  /** Rank of Σ_B that the pseudoinverse used: C − 1, or less where d < C − 1 or the means are dependent. */
  readonly rank: number;
  /**
   * Distance from a simplex ETF: ‖G/‖G‖_F − (I − 11ᵀ/C)/√(C − 1)‖_F for the Gram matrix G of the centred means (Zhu et al. 2021). 0 for a simplex
   * ETF.
   */
  readonly etfDistanceMeans: number;
  /** The classes that have samples. All numbers are over these classes, as if the network had no other, and C is their number. */
  readonly classes: readonly number[];
  /** Other definitions of the same numbers; undefined unless `variants: true` asks for them. */
  readonly variants?: VariantsOfMeans;
}

/** {@link CollapseOfMeans} and the numbers of the classifier W with rows w_c: all numbers that need no second pass over the samples. */
export interface CollapseOfStatistics extends CollapseOfMeans {
  /** Equinorm of the classifier: standard deviation (ddof 1) over mean of ‖w_c‖, not centred. */
  readonly enClassifier: number;
  /** Equiangularity of the classifier: the mean over pairs of classes of |cos + 1/(C − 1)|, for the w_c, not centred. */
  readonly eaClassifier: number;
  /** NC3, self-duality: ‖Wᵀ/‖W‖_F − M̄/‖M̄‖_F‖²_F. */
  readonly nc3: number;
  /** Distance of the classifier from a simplex ETF: as {@link CollapseOfMeans.etfDistanceMeans}, for the Gram matrix of the w_c. */
  readonly etfDistanceClassifier: number;
  /** Other definitions of the same numbers; undefined unless `variants: true` asks for them. */
  readonly variants?: CollapseVariants;
}

/** All numbers of neural collapse: what {@link measure} gives with a classifier. */
export interface CollapseNumbers extends CollapseOfStatistics {
  /** NC4: the share of samples whose nearest class mean is not the class that the network predicts. */
  readonly nc4: number;
}

/** What {@link measure} gives without a classifier. */
export interface CollapseOfFeatures extends CollapseOfMeans {
  /** NC4, as in {@link CollapseNumbers}; undefined without `predictions`. */
  readonly nc4: number | undefined;
}

/** Other definitions of {@link CollapseOfMeans}. */
export interface VariantsOfMeans {
  /** tr(Σ_W Σ_B†)/C: Eq. 4 of the seed paper as printed. */
  readonly nc1OverClasses: number;
  /** Equinorm of the class means with the population standard deviation (ddof 0). */
  readonly enMeansDdof0: number;
  /** Share of samples whose nearest class mean is not their label; undefined from statistics, and where there is no NC4. */
  readonly nc4Labels: number | undefined;
}

/** Other definitions of {@link CollapseOfStatistics}. */
export interface CollapseVariants extends VariantsOfMeans {
  /** Equinorm of the classifier with the population standard deviation (ddof 0). */
  readonly enClassifierDdof0: number;
  /** NC3 with each column of Wᵀ and of M̄ brought to unit length: the sum of the squared distances between the columns. */
  readonly nc3UnitColumns: number;
}

/** Options of {@link measure}. */
export interface MeasureOptions {
  /**
   * Un-augmented training features in eval mode, float32 or float64, [N, d]. The other fields of what `ResNet.extract` gives may stand beside them
   * and are ignored.
   */
  features: Tensor | ArrayWithShape;
  /** Class of each row, [N]. */
  labels: Labels;
  /** The class that the network predicts for each row, [N]. Default: the largest of W z + b; none without a weight. */
  predictions?: Labels;
  /**
   * Classifier weights, float32 or float64, [C, d]. Default: none, for embeddings. There are then no numbers of the classifier, and C is one more
   * than the largest label.
   */
  weight?: Tensor | ArrayWithShape;
  /** Classifier bias, [C]. It serves the default of `predictions` only, and is allowed beside a weight only. Default: none. */
  bias?: Tensor | ArrayWithShape;
  /** Eigenvalues of M̄ᵀM̄ below this share of the largest count as zero, 0 to 1. Default 4·max(C, d)·2.2e-16. */
  rcond?: number;
  /** Whether {@link CollapseVariants} are added. Default false. */
  variants?: boolean;
  /** Where to compute: `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link measureStatistics}. */
export interface MeasureStatisticsOptions {
  /** Statistics of the training features, with scatter `"full"` or `"pooled"`. */
  statistics: ClassStatistics;
  /** Classifier weights, float32 or float64, [C, d]. Default: none. */
  weight?: Tensor | ArrayWithShape;
  /** Eigenvalues of M̄ᵀM̄ below this share of the largest count as zero, 0 to 1. Default 4·max(C, d)·2.2e-16. */
  rcond?: number;
  /** Whether {@link CollapseVariants} are added. Default false. */
  variants?: boolean;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Fields that an extraction has besides the features. */
const extractionKeys = ["logits", "offset", "skipped", "precision"] as const;

/**
 * All seven numbers of Papyan, Han and Donoho (2020) as the seed paper uses them; without `weight`, the numbers of the class means.
 *
 * It takes two passes over the features and O(N·d·C) time, and forms no d×d matrix. The numbers do not change when the features are rotated, scaled
 * or shifted.
 *
 * @param options - features, labels, and the classifier where there is one
 * @throws ERR_NON_FINITE for NaN or infinity in features or classifier; ERR_SHAPE where arrays do not go together, and for samples of fewer than two
 *   classes; ERR_DTYPE for another dtype; ERR_OPTION where an option is unknown or wrong, and for a bias without a weight; ERR_RANGE for a label
 *   outside 0 to C − 1, class means that all coincide, a class mean that is the mean of the class means, a zero row of W, and logits that overflow;
 *   ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { neuralCollapse } from "libtorch-ood";
 *
 * const features = { data: new Float32Array([1, 0, 1.1, 0, -1, 0.1, -1, -0.1]), shape: [4, 2] };
 * const weight = { data: new Float32Array([1, 0, -1, 0]), shape: [2, 2] };
 * const { nc1, nc3, nc4 } = await neuralCollapse.measure({ features, labels: [0, 0, 1, 1], weight });
 */
export function measure(options: MeasureOptions & { weight: Tensor | ArrayWithShape }): Promise<CollapseNumbers>;
/**
 * The numbers of the class means, for features without a classifier, and NC4 where `predictions` are given.
 *
 * @param options - features and labels
 * @throws as the first form
 */
export function measure(options: MeasureOptions & { weight: MeasureOptions["weight"] }): Promise<CollapseOfFeatures>;
/**
 * The numbers of the class means, for features without a classifier, and NC4 where `predictions` are given.
 *
 * @param options - features and labels
 * @throws as the first form
 */
export function measure(options: MeasureOptions & { bias?: undefined }): Promise<CollapseOfFeatures>;
export async function measure(options: MeasureOptions): Promise<CollapseNumbers | CollapseOfFeatures> {
  const known = ["features", "labels", "predictions", "weight", "bias", "rcond", "variants", "device", "signal"] as const;
  const given = optionsObject(options, "options", [...known, ...extractionKeys] as readonly (keyof MeasureOptions)[]);
  const features = handle(given.features, "features");
  const labels = labelsTensor(given.labels, "labels");
  const predictions = given.predictions === undefined ? undefined : labelsTensor(given.predictions, "predictions");
  const weight = given.weight === undefined ? undefined : handle(given.weight, "weight");
  if (weight === undefined && given.bias !== undefined) fail("ERR_OPTION", "bias", "a weight beside it", undefined);
  const bias = given.bias === undefined ? undefined : handle(given.bias, "bias");
  const rcond = given.rcond === undefined ? undefined : finite(given.rcond, "rcond", 0, 1);
  const device = string(given.device ?? "cpu", "device");
  const variants = boolean(given.variants ?? false, "variants");
  const signal = optionalSignal(given.signal, "signal");
  const classes = weight?.shape[0] ?? Math.max(classesIn(labels, "labels"), predictions ? classesIn(predictions, "predictions") : 0);
  const handles = [Tensor.handle(labels, "labels"), predictions && Tensor.handle(predictions, "predictions")] as const;
  const numbers = await runNative(signal, (control) =>
    native().measureCollapse(control, features, ...handles, weight, bias, rcond, device, classes),
  );
  return { ...withoutSamples(numbers, variants), nc4: numbers.nc4 };
}

/**
 * The numbers of {@link measure} from {@link ClassStatistics}, except NC4, which needs the samples. NC1 equals that of {@link measure} to about 1e-15
 * of the ratio of the largest variance to the variances along the class means, because the scatters hold no more digits. The others are the same.
 *
 * @param options - statistics, and the classifier weights where there are some
 * @throws ERR_OPTION for scatter `"diagonal"`; ERR_RANGE where rounding leaves NC1 less than two digits; and as {@link measure}
 */
export function measureStatistics(options: MeasureStatisticsOptions & { weight: Tensor | ArrayWithShape }): Promise<CollapseOfStatistics>;
/**
 * The numbers of the class means, from statistics without a classifier.
 *
 * @param options - statistics
 * @throws as the first form
 */
export function measureStatistics(options: MeasureStatisticsOptions): Promise<CollapseOfMeans>;
export async function measureStatistics(options: MeasureStatisticsOptions): Promise<CollapseOfStatistics | CollapseOfMeans> {
  const given = optionsObject(options, "options", ["statistics", "weight", "rcond", "variants", "signal"]);
  const weight = given.weight === undefined ? undefined : handle(given.weight, "weight");
  const rcond = given.rcond === undefined ? undefined : finite(given.rcond, "rcond", 0, 1);
  const variants = boolean(given.variants ?? false, "variants");
  const signal = optionalSignal(given.signal, "signal");
  const numbers = await ClassStatistics.read(given.statistics, "statistics", (statistics) =>
    runNative(signal, (control) => native().measureCollapseOfStatistics(control, statistics, weight, rcond)),
  );
  return withoutSamples(numbers, variants);
}

function handle(value: Tensor | ArrayWithShape, name: string) {
  return Tensor.handle(toTensor(value, name), name);
}

/** All numbers but NC4. */
function withoutSamples(numbers: NativeCollapseNumbers, variants: boolean): CollapseOfStatistics | CollapseOfMeans {
  const { nc1, enMeans, eaMeans, rank, etfDistanceMeans, classes, enMeansDdof0, nc4Labels } = numbers;
  const { enClassifier, eaClassifier, nc3, etfDistanceClassifier, enClassifierDdof0, nc3UnitColumns } = numbers;
  const classifier = nc3 === undefined ? {} : { enClassifier, eaClassifier, nc3, etfDistanceClassifier };
  const primary = { nc1, enMeans, eaMeans, rank, etfDistanceMeans, classes, ...classifier };
  if (!variants) return primary;
  const ofClassifier = nc3 === undefined ? {} : { enClassifierDdof0, nc3UnitColumns };
  return { ...primary, variants: { nc1OverClasses: nc1 / classes.length, enMeansDdof0, nc4Labels, ...ofClassifier } };
}

/** The terms of {@link loss}, each as in {@link CollapseOfStatistics}. */
export type CollapseTerms = Pick<CollapseOfStatistics, "nc1" | "enMeans" | "enClassifier" | "eaMeans" | "eaClassifier" | "nc3">;

/** Options of {@link loss}. */
export interface LossOptions {
  /** Features of the batch, float32 or float64, [B, d]. */
  features: Tensor | ArrayWithShape;
  /** Class of each row, [B]. */
  labels: Labels;
  /** Classifier weights, float32 or float64, [C, d]. */
  weight: Tensor | ArrayWithShape;
  /** Where to compute: `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  /** Aborts the call, which then rejects with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** The neural-collapse loss of a batch with its terms and gradient. */
export interface CollapseLoss {
  /** The loss: the sum of the terms. */
  readonly value: number;
  /** The terms, unweighted. */
  readonly terms: CollapseTerms;
  /** Gradient of the value. */
  readonly gradients: {
    /** Gradient by the features, float64 [B, d]. */
    readonly features: Tensor;
    /** Gradient by the classifier weights, float64 [C, d]. A class without samples in the batch has a row of zeros. */
    readonly weight: Tensor;
  };
}

/**
 * The neural-collapse loss, Eq. 3 of Haas, Yolland and Rabus (2022), with its gradient: NC1 + EN of means + EN of classifier + EA of means + EA of
 * classifier + NC3, unweighted, in float64. `ResNet.fit` computes it for every batch with `loss: "neural-collapse"`.
 *
 * @param options - a batch and the classifier weights
 * @throws ERR_NON_FINITE for NaN or infinity; ERR_SHAPE where arrays do not go together, and for samples of fewer than two classes; ERR_DTYPE for
 *   another dtype; ERR_OPTION where an option is unknown or wrong; ERR_RANGE for a label outside 0 to C − 1, a zero row of W, a class mean that is
 *   the mean of the class means, class means on a subspace of fewer dimensions than min(C − 1, d), features or weights whose squares float64 does not
 *   hold, and a gradient that overflows; ERR_DEVICE where the device is unavailable; ERR_ABORTED on an abort
 * @example
 * import { neuralCollapse } from "libtorch-ood";
 *
 * const features = { data: new Float32Array([1, 0, 1.1, 0, -1, 0.1, -1, -0.1]), shape: [4, 2] };
 * const weight = { data: new Float32Array([1, 0, -1, 0]), shape: [2, 2] };
 * const { value, gradients } = await neuralCollapse.loss({ features, labels: [0, 0, 1, 1], weight });
 */
export async function loss(options: LossOptions): Promise<CollapseLoss> {
  const given = optionsObject(options, "options", ["features", "labels", "weight", "device", "signal"]);
  const features = handle(given.features, "features");
  const labels = Tensor.handle(labelsTensor(given.labels, "labels"), "labels");
  const weight = handle(given.weight, "weight");
  const device = string(given.device ?? "cpu", "device");
  const result = await runNative(optionalSignal(given.signal, "signal"), (control) =>
    native().collapseLoss(control, features, labels, weight, device),
  );
  const values = await Scope.run((scope) => scope.own(result.terms).toTypedArray() as Float64Array);
  const [nc1, enMeans, enClassifier, eaMeans, eaClassifier, nc3] = values as Iterable<number> as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    value: nc1 + enMeans + enClassifier + eaMeans + eaClassifier + nc3,
    terms: { nc1, enMeans, enClassifier, eaMeans, eaClassifier, nc3 },
    gradients: { features: new Tensor(result.features), weight: new Tensor(result.weight) },
  };
}
