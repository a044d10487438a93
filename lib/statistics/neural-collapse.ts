// The numbers of neural collapse: how far features and classifier have gone towards a simplex equiangular tight frame.

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

/** The numbers of the class means alone. u_c: class means; u_G: their mean; M̄: the columns u_c − u_G. */
export interface CollapseOfMeans {
  /** NC1, variability collapse: tr(Σ_W Σ_B†), Σ_W = Σ(z − u_c)(z − u_c)ᵀ/N, Σ_B = M̄M̄ᵀ/C. Never negative. */
  readonly nc1: number;
  /** Equinorm: standard deviation (ddof 1) over mean of ‖u_c − u_G‖. */
  readonly enMeans: number;
  /** Equiangularity: mean over pairs of classes of |cos + 1/(C − 1)| for the centred means. */
  readonly eaMeans: number;
  /** Rank of Σ_B that the pseudoinverse used: C − 1, less where d < C − 1 or means are dependent. */
  readonly rank: number;
  /** ‖G/‖G‖_F − (I − 11ᵀ/C)/√(C − 1)‖_F for the Gram matrix G of the centred means: 0 for a simplex ETF (Zhu et al. 2021). */
  readonly etfDistanceMeans: number;
  /** The classes that have samples: all numbers are over them, as if the network had no other, and C is their number. */
  readonly classes: readonly number[];
  /** Named where `variants: true` asks for them. */
  readonly variants?: VariantsOfMeans;
}

/** {@link CollapseOfMeans} and the numbers of the classifier W, rows w_c: all that need no second look at the samples. */
export interface CollapseOfStatistics extends CollapseOfMeans {
  /** Equinorm of the ‖w_c‖ (not centred). */
  readonly enClassifier: number;
  /** Equiangularity of the w_c (not centred). */
  readonly eaClassifier: number;
  /** NC3, self-duality: ‖Wᵀ/‖W‖_F − M̄/‖M̄‖_F‖²_F. */
  readonly nc3: number;
  /** As {@link etfDistanceMeans}, for the Gram matrix of the w_c. */
  readonly etfDistanceClassifier: number;
  /** Variants of the definitions, where `variants: true` asks for them. */
  readonly variants?: CollapseVariants;
}

export interface CollapseNumbers extends CollapseOfStatistics {
  /** NC4: share of samples whose nearest class mean is not the class that the network predicts. */
  readonly nc4: number;
}

/** What {@link measure} gives without a classifier. */
export interface CollapseOfFeatures extends CollapseOfMeans {
  /** As in {@link CollapseNumbers}; undefined without `predictions`. */
  readonly nc4: number | undefined;
}

/** Other definitions of the numbers of the class means, as some publications have them. */
export interface VariantsOfMeans {
  /** tr(Σ_W Σ_B†)/C, Eq. 4 of the seed paper as printed. */
  readonly nc1OverClasses: number;
  /** `enMeans` with the standard deviation of ddof 0. */
  readonly enMeansDdof0: number;
  /** Share of samples whose nearest class mean is not their label; undefined from statistics, and where there is no NC4. */
  readonly nc4Labels: number | undefined;
}

/** Other definitions of all numbers, as some publications have them. */
export interface CollapseVariants extends VariantsOfMeans {
  /** `enClassifier` with the standard deviation of ddof 0. */
  readonly enClassifierDdof0: number;
  /** Columns of Wᵀ and M̄ brought to unit length each, squared distances summed. */
  readonly nc3UnitColumns: number;
}

/** Options of {@link measure}. */
export interface MeasureOptions {
  /** Shape `[N, d]`, float32 or float64: training features, eval mode, un-augmented. What else `model.extract` gives may lie beside them and is ignored. */
  features: Tensor | ArrayWithShape;
  /** Shape `[N]`: the classes of the samples. */
  labels: Labels;
  /** Shape `[N]`: the class that the network predicts. Default: the largest of W z + b; none without a weight. */
  predictions?: Labels;
  /** Classifier weights [C, d]. Default: none, for embeddings; then there are no numbers of the classifier, and C is one more than the largest label. */
  weight?: Tensor | ArrayWithShape;
  /** Classifier bias [C]; used for the default of `predictions` only, and so beside a weight only. Default: none. */
  bias?: Tensor | ArrayWithShape;
  /** Eigenvalues of M̄ᵀM̄ below this share of the largest count as zero. Default 4·max(C, d)·2.2e-16. */
  rcond?: number;
  /** Adds {@link CollapseVariants}. Default false. */
  variants?: boolean;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  /** Aborts the call, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** Options of {@link measureStatistics}. */
export interface MeasureStatisticsOptions {
  /** With scatter `"full"` or `"pooled"`. */
  statistics: ClassStatistics;
  /** Classifier weights [C, d]. Default: none. */
  weight?: Tensor | ArrayWithShape;
  /** Eigenvalues of M̄ᵀM̄ below this share of the largest count as zero. Default 4·max(C, d)·2.2e-16. */
  rcond?: number;
  /** Adds {@link CollapseVariants}. Default false. */
  variants?: boolean;
  /** Aborts the call, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** What an extraction holds besides. */
const extractionKeys = ["logits", "offset", "skipped", "precision"] as const;

/**
 * All seven numbers of Papyan, Han and Donoho (2020) as the seed paper uses them, in two passes over the features and O(N·d·C) time: no d×d
 * matrix is formed. Invariant to rotation, to the scale of the features and to a shift. Without `weight`: the numbers of the class means.
 *
 * @throws ERR_NON_FINITE, ERR_SHAPE (also for samples of fewer than two classes), ERR_DTYPE, ERR_OPTION, ERR_ABORTED; ERR_RANGE for a label
 *   outside 0 to C − 1, class means that all coincide, a class mean that is the mean of the class means, a zero row of W, logits that overflow
 * @example
 * const { nc1, nc4 } = await neuralCollapse.measure({ features, labels, weight, bias });
 */
export function measure(options: MeasureOptions & { weight: Tensor | ArrayWithShape }): Promise<CollapseNumbers>;
export function measure(options: MeasureOptions & { weight: MeasureOptions["weight"] }): Promise<CollapseOfFeatures>;
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
 * Every number but NC4, which needs the samples, from {@link ClassStatistics}. NC1 equals that of {@link measure} to about 1e-15 of the ratio of
 * the largest variance to the variances along the class means: the scatters hold no more digits. The others are the same.
 *
 * @throws as {@link measure}; ERR_OPTION for scatter `"diagonal"`; ERR_RANGE where that ratio leaves less than two digits of NC1
 */
export function measureStatistics(options: MeasureStatisticsOptions & { weight: Tensor | ArrayWithShape }): Promise<CollapseOfStatistics>;
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

/** All but NC4. */
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
  /** Of the batch, [B, d], float32 or float64. */
  features: Tensor | ArrayWithShape;
  /** Shape `[B]`: the classes of the samples. */
  labels: Labels;
  /** Classifier weights [C, d]. */
  weight: Tensor | ArrayWithShape;
  /** `"cpu"` (default), `"cuda"` or `"cuda:N"`. */
  device?: string;
  /** Aborts the call, which then throws ERR_ABORTED. */
  signal?: AbortSignal;
}

/** The loss of a batch, its terms and its gradients. */
export interface CollapseLoss {
  /** The sum of the terms. */
  readonly value: number;
  /** The six numbers whose sum is the loss. */
  readonly terms: CollapseTerms;
  /** Of the value: `features` [B, d] and `weight` [C, d], float64. A class without samples in the batch has a row of zeros. */
  readonly gradients: {
    /** Shape `[B, d]`. */
    readonly features: Tensor;
    /** Shape `[C, d]`. */
    readonly weight: Tensor;
  };
}

/**
 * The neural-collapse loss, Eq. 3 of Haas, Yolland and Rabus (2022), with its gradient, as `ResNet.fit` computes it for every batch with
 * `loss: "neural-collapse"`: NC1 + EN of means + EN of classifier + EA of means + EA of classifier + NC3, unweighted, in float64.
 *
 * @throws ERR_NON_FINITE, ERR_SHAPE (also for samples of fewer than two classes), ERR_DTYPE, ERR_OPTION, ERR_ABORTED; ERR_RANGE for a label
 *   outside 0 to C − 1, a zero row of W, a class mean that is the mean of the class means, class means on a subspace of fewer dimensions
 *   than min(C − 1, d), features or weights whose squares float64 does not hold, and a gradient that overflows
 * @example
 * const { value, gradients } = await neuralCollapse.loss({ features, labels, weight });
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
