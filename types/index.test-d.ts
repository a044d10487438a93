// Type tests of the published declarations: what a user may write, what it gives, and what the compiler refuses.

import { expectAssignable, expectError, expectNotAssignable, expectType } from "tsd";
import { ClassStatistics, Dataset, datasets, device, GaussianMixture, isLibtorchOodError, LibtorchOodError, linalg } from "..";
import { metrics, neuralCollapse, ResNet, scores, Tensor } from "..";
import { defineExtractor, Detector, files, OnnxModel, presets, TorchScriptModel } from "..";
import * as experiments from "../dist/experiment";
import type { ArrayWithShape, CalibrationReport, Evaluation, Overlap, Prediction, PresetRecord, ResizeRecord, SelfTest } from "..";
import type {
  Architecture,
  ErrorCode,
  EpochReport,
  Extraction,
  ExtractionChunk,
  FeatureExtractor,
  FitOptions,
  ImageFailure,
  LinearHead,
  ResNetOptions,
  TensorArray,
} from "..";

// libtorch-ood/experiments, by the file that it is
const experiment: experiments.Configuration = {
  inDistribution: "mnist",
  outOfDistribution: ["svhn"],
  seeds: 1,
  cells: [{ depth: 18, epochs: 1 }],
};
expectType<Promise<experiments.ExperimentSummary>>(experiments.run(experiment, { data: "data", out: "runs" }));
expectType<Promise<experiments.ExperimentSummary>>(experiments.resume("runs", { data: "data" }));
expectType<Promise<experiments.Results>>(experiments.read("runs"));
expectError(experiments.run({ ...experiment, cells: [{ depth: 19, epochs: 1 }] }, { data: "data", out: "runs" }));
expectError(experiments.run(experiment, { data: "data" }));
expectAssignable<experiments.MeasuredScore[]>(["vim", "gaussian-mixture:logits"]);
expectNotAssignable<experiments.MeasuredScore>("softmax");

// Tensor
const tensor = Tensor.from(new Float32Array(6), [2, 3]);
expectType<Tensor>(tensor);
expectType<number[]>(tensor.shape);
expectType<"float32" | "float64" | "int32" | "int64" | "uint8" | "int8">(tensor.dtype);
expectType<TensorArray>(tensor.toArray());
expectType<Tensor>(Tensor.from(Buffer.alloc(3)));
expectType<void>(tensor.dispose());
expectError(Tensor.from([1, 2, 3]));
expectError(Tensor.from(new Float32Array(6), "2x3"));
expectError((tensor.shape = [6]));

// ResNet: the example of the README.
const options: ResNetOptions = {
  depth: 18,
  numClasses: 10,
  inChannels: 1,
  imageSize: 28,
  l2Normalize: true,
  spectralNorm: { coefficient: 3 },
  leakyRelu: true,
  avgPoolShortcut: true,
  seed: 1,
  device: "cpu",
};
expectType<Promise<ResNet>>(ResNet.create(options));
expectError(ResNet.create({}));
expectType<Promise<ResNet>>(ResNet.create({ numClasses: 10, depth: 34, stem: "imagenet", input: "imagenet" }));
expectError(ResNet.create({ numClasses: 10, depth: 42 }));
expectError(ResNet.create({ numClasses: 10, l2Normalise: true }));
expectError(ResNet.create({ numClasses: "10" }));

declare const model: ResNet;
expectType<Architecture>(model.architecture);
expectType<number>(model.featureDim);
expectType<Promise<ResNet>>(ResNet.load("model.safetensors", { device: "cuda:1" }));
expectType<Promise<void>>(model.save("model.safetensors"));
expectType<Promise<Map<string, Tensor>>>(model.weights());
expectType<Promise<{ weight: Tensor; bias: Tensor }>>(model.head());
expectError((model.architecture = {} as Architecture));

expectType<Promise<Record<"train" | "test", Dataset>>>(datasets.mnist("data/mnist"));
declare const train: Dataset, test: Dataset;
expectType<Promise<EpochReport[]>>(model.fit(train, { epochs: 3, batchSize: 128, learningRate: 0.1, milestones: [2] }));
expectAssignable<FitOptions>({
  epochs: 1,
  signal: new AbortController().signal,
  onEpoch: (report: EpochReport) => expectType<number | undefined>(report.validationAccuracy),
});
expectAssignable<FitOptions>({ epochs: 1, precision: "auto" });
expectNotAssignable<FitOptions>({ epochs: 1, precision: "float16" });
expectNotAssignable<FitOptions>({ epochs: 1, schedule: "step" });
expectError(model.fit(train, {}));
expectError(model.fit(train.images, { epochs: 1 }));
expectType<Promise<Overlap>>(model.overlap(test));
expectType<Promise<readonly number[]>>(model.overlap(test).then(({ indices }) => indices));
expectError(model.overlap(test.images));
expectType<Promise<files.SafetensorsContent>>(files.readSafetensors("x.safetensors"));
expectType<Promise<files.SafetensorsFile>>(files.openSafetensors("x.safetensors"));
expectType<Promise<void>>(
  files.readSafetensors("x.safetensors").then(({ tensors }) => {
    const named = [...tensors].map(([name, { shape, data }]) => [name, { data: files.toValues("F32", data), shape }] as const);
    return model.setWeights(new Map<string, ArrayWithShape | number | bigint>([...named, ["bn1.num_batches_tracked", 7]]));
  }),
);

expectType<Promise<Extraction>>(model.extract(test));
expectType<Promise<Extraction>>(model.extract({ data: new Uint8Array(784), shape: [1, 1, 28, 28] }, { precision: "auto" }));
declare const extraction: Extraction;
expectType<Tensor>(extraction.features);
expectType<Tensor>(extraction.logits);
expectType<Int32Array>(extraction.labels);
expectType<"float32" | "bfloat16" | "float64">(extraction.precision);
expectType<Promise<{ count: number; skipped: ImageFailure[] }>>(
  model.extractStream([train, test], async (chunk) => {
    expectType<ExtractionChunk>(chunk);
    await chunk;
  }),
);
expectType<Promise<Extraction>>(model.extract("image.png"));
expectType<Promise<Extraction>>(
  model.extract([Buffer.alloc(1), { data: new Uint8ClampedArray(4), width: 1, height: 1 }], { resize: "squash" }),
);
expectType<Promise<Extraction<readonly ["rawFeatures", "logits"]>>>(model.extract(test, { outputs: ["rawFeatures", "logits"] }));
expectType<Promise<void>>(
  model.extract(test, { outputs: ["rawFeatures"], batchSize: 8 }).then((asked) => {
    expectType<Tensor>(asked.rawFeatures);
    expectType<Tensor | undefined>(asked.features);
  }),
);
declare const someOutputs: ("features" | "logits")[];
expectType<Promise<void>>(model.extract(test, { outputs: someOutputs }).then((asked) => expectType<Tensor | undefined>(asked.features)));
expectError(model.extract(test, { outputs: ["pooled"] }));
expectError(model.extract(test, { features: "raw" }));
expectError(model.extract(7));
expectType<Promise<Tensor>>(Tensor.fromAsync(new Float32Array(4), [2, 2], { signal: new AbortController().signal }));
expectError(model.extract("image.png", { resize: "crop" }));

// Datasets
expectType<Dataset>(Dataset.fromArrays({ images: new Uint8Array(784), labels: [3], shape: [1, 1, 28, 28] }));
expectType<readonly [channels: number, height: number, width: number]>(train.shape);
expectType<Promise<Record<"test", Dataset>>>(datasets.cifar10("data", { splits: ["test"] }));
expectType<Promise<Record<"test", Dataset>>>(datasets.svhn("data", { splits: ["test"] }));
expectType<Promise<Record<"train" | "test", Dataset>>>(datasets.svhn("data"));
expectType<Promise<Record<"extra", Dataset>>>(datasets.svhn("data", { splits: ["extra"] }));
expectError(datasets.cifar10("data", { splits: ["extra"] }));
expectType<Promise<Record<"train" | "test", Dataset>>>(datasets.kmnist("data", { prefix: "kmnist-" }));
expectType<Promise<{ validation: Dataset }>>(datasets.tinyImageNet("data", { imageSize: 32 }));
expectError(datasets.tinyImageNet("data", { resize: "squash" }));
expectType<Promise<Dataset>>(
  datasets.imageFolder("pets", {
    imageSize: 64,
    channels: 1,
    resize: "squash",
    cache: "cache",
    signal: new AbortController().signal,
    onProgress: (progress) => expectType<datasets.DecodingProgress>(progress),
  }),
);
expectError(datasets.imageFolder("pets", { channels: 4 }));
expectType<ResizeRecord | undefined>(train.resize);
Dataset.fromArrays({ images: new Uint8Array(784), labels: [3], shape: [1, 28, 28], resize: { mode: "squash", kernel: "bilinear" } });
expectError(Dataset.fromArrays({ images: new Uint8Array(784), labels: [3], shape: [1, 28, 28], resize: "squash" }));

// Mixture, statistics, collapse
expectType<Promise<GaussianMixture>>(GaussianMixture.fit(extraction.features, extraction.labels, { covariance: "tied", prior: "uniform" }));
expectError(GaussianMixture.fit(extraction.features, extraction.labels, { covariance: "spherical" }));
expectType<Promise<GaussianMixture>>(GaussianMixture.fit(extraction.features, extraction.labels, { preset: "ddu-2021", prior: "uniform" }));
expectError(GaussianMixture.fit(extraction.features, extraction.labels, { preset: "ddu" }));
declare const mixture: GaussianMixture;
expectType<PresetRecord | undefined>(mixture.preset);
expectType<Promise<Float64Array>>(mixture.logDensity(extraction.features));
expectError((mixture.counts[0] = 1));
const statistics = new ClassStatistics({ numClasses: 10, featureDim: 512, scatter: "pooled" });
expectType<Promise<void>>(statistics.update(extraction.features, extraction.labels));
expectError(new ClassStatistics({ numClasses: 10 }));
const { features, labels } = extraction;
const collapse = neuralCollapse.measure({ features, labels, predictions: labels, weight: features });
expectType<Promise<number>>(collapse.then(({ nc1, nc3, nc4 }) => nc1 + nc3 + nc4));
expectType<Promise<number | undefined>>(neuralCollapse.measure({ features, labels }).then(({ nc4 }) => nc4));
expectError(neuralCollapse.measure({ features, labels }).then(({ nc3 }) => nc3));
expectError(neuralCollapse.measure({ features }));
expectError(neuralCollapse.measure({ features, labels, bias: features }));
expectError(neuralCollapse.measureStatistics({ statistics: new ClassStatistics({ numClasses: 2, featureDim: 2 }), bias: features }));
declare const layer: Map<string, Tensor>;
expectType<Promise<number | undefined>>(
  neuralCollapse.measure({ features, labels, weight: layer.get("fc.weight"), bias: layer.get("fc.bias") }).then(({ nc4 }) => nc4),
);
const spectrum = neuralCollapse.singularValues(features, { k: 10, centred: true });
expectType<Promise<Float64Array>>(spectrum.then(({ values }) => values));
expectType<Promise<Float64Array>>(
  spectrum.then(async (training) => (await neuralCollapse.projectedSingularValues(training, features)).lengths),
);
expectError(neuralCollapse.singularValues(features, { centered: true }));
expectType<Promise<Tensor>>(linalg.pinv(features));
expectType<Promise<Tensor>>(linalg.covariance(features, { labels, of: "pooled", ddof: 0 }));
expectError(linalg.covariance(features, { labels, of: "class" }));

// Metrics
expectType<number>(metrics.auroc(new Float64Array(2), [0.1, 0.2]));
expectType<number>(metrics.accuracy(extraction.labels, extraction.labels));
expectError(metrics.auroc(["0.1"], [0.2]));
expectError(metrics.auroc(new Float64Array(2)));

// FeatureExtractor: of a function
const custom = defineExtractor({
  name: "embeddings",
  featureDim: 8,
  classNames: ["a", "b"],
  input: { size: 32, mean: [0, 0, 0], std: [1, 1, 1] },
  embed: async ({ count, data, pixels }) => {
    expectType<Float32Array>(data);
    expectType<Uint8Array | undefined>(pixels);
    return { features: new Float32Array(count * 8), logits: [[1, 2]] };
  },
});
expectAssignable<FeatureExtractor>(custom);
expectAssignable<FeatureExtractor>(model);
expectType<"custom">(custom.kind);
expectType<Promise<LinearHead | undefined>>(custom.head());
expectType<Promise<Detector>>(Detector.fit(custom, train, { calibration: test }));
expectType<Promise<Extraction<readonly ["features"]>>>(custom.extract(test, { outputs: ["features"] }));
expectError(defineExtractor({ name: "embeddings", featureDim: 8, input: "imagenets", embed: () => ({ features: new Float32Array(8) }) }));
expectError(defineExtractor({ name: "embeddings", featureDim: 8, input: "imagenet", embed: () => ({ rows: new Float32Array(8) }) }));

// OnnxModel
const onnx = OnnxModel.load("model.onnx", { input: "imagenet", executionProviders: ["cuda", "cpu"] });
expectType<Promise<OnnxModel>>(onnx);
expectType<Promise<OnnxModel>>(OnnxModel.load(new Uint8Array(8), { input: { size: 8, mean: [0], std: [1] }, features: "pool" }));
onnx.then((network) => expectAssignable<FeatureExtractor>(network));
expectError(OnnxModel.load("model.onnx"));
expectError(OnnxModel.load("model.onnx", { input: "imagenet", executionProviders: ["gpu"] }));

// Detector and presets
expectType<Promise<Detector>>(Detector.fit(model, train, { calibration: test, falseAlarmRate: 0.05, scoreOptions: { covariance: "oas" } }));
expectError(Detector.fit(model, train, {}));
expectError(Detector.fit(model, train, { calibration: test, score: "magic" }));
expectError(Detector.fit(model, train, { calibration: test, score: "energy", scoreOptions: { covariance: "oas" } }));
expectType<Promise<Detector>>(Detector.fromFeatures({ features, labels, calibration: { features } }));
expectError(Detector.fromFeatures({ features, labels }));
expectType<Promise<Detector>>(Detector.fromFeatures({ ...extraction, calibration: extraction }));
expectType<Promise<Detector>>(Detector.fromFeatures({ features, calibration: { features }, score: "nearest-neighbours" }));
declare const chunk: ExtractionChunk;
expectType<Promise<Detector>>(Detector.fromFeatures({ ...chunk, calibration: chunk }));
declare const detector: Detector;
expectType<Promise<Prediction[]>>(detector.predict(extraction));
expectType<Promise<Prediction[]>>(detector.predict(chunk));
expectType<Promise<Overlap>>(detector.overlap(extraction));
expectType<Promise<Detector>>(
  Detector.fromFeatures({ features, labels, calibration: { features, labels }, minimumAccuracy: 0.7, selfTest: false }),
);
expectType<CalibrationReport>(detector.calibration);
expectType<number | undefined>(detector.calibration.calibration?.accuracy);
expectType<SelfTest>(detector.selfTest({ falseAlarmRate: 0.01 }));
expectType<number | undefined>(detector.selfTest().leftOutClasses?.flagged);
expectError(detector.selfTest({ rate: 0.01 }));
declare const prediction: Prediction;
expectType<number | undefined>(prediction.label); // a detector without labels and logits names no class
expectType<string | undefined>(prediction.className);
expectType<number | undefined>(prediction.confidence);
expectType<Promise<Prediction[]>>(detector.predict(["a.png", "b.jpg"], { falseAlarmRate: 0.01 }));
expectType<Promise<Prediction[]>>(detector.predict({ features, logits: features }));
expectType<PresetRecord | undefined>(detector.preset);
expectType<Promise<Overlap>>(detector.overlap(test));
expectType<Promise<Overlap>>(detector.overlap({ data: new Float32Array(4), shape: [2, 2] }));
expectError(detector.overlap("photo.jpg"));
expectType<number>(presets["seed-paper"].training[18].epochs);
expectType<Promise<EpochReport[]>>(model.fit(train, { preset: "ddu-2021" }));
expectError(model.fit(train, { preset: "ddu" }));
expectType<Evaluation>(metrics.evaluate([1], { SVHN: [0] }, { preset: "openood-1.5" }));

// Devices
expectType<boolean>(device.cudaAvailable());
expectType<Promise<void>>(device.setThreads(2));

// Errors
const error: unknown = new LibtorchOodError("ERR_SHAPE", "features: expected 2 dimensions, found 3");
if (isLibtorchOodError(error)) expectType<ErrorCode>(error.code);
expectAssignable<Error>(new LibtorchOodError("ERR_IO", "no such file"));
expectError(new LibtorchOodError("ERR_UNKNOWN", "not a code"));

// scores
const outputs: scores.ModelOutputs = { features: tensor, logits: { data: new Float32Array(4), shape: [2, 2] } };
expectType<Promise<scores.ScoreOf["vim"]>>(
  scores.fit("vim", { features: tensor, logits: tensor, weight: tensor, bias: tensor }, { dimension: 1 }),
);
expectType<Promise<scores.ScoreOf["energy"]>>(scores.fit("energy"));
expectType<Promise<scores.ScoreOf["nearest-neighbours"]>>(
  scores.fit("nearest-neighbours", { features: tensor }, { k: 5, from: "rawFeatures" }),
);
expectType<Promise<scores.ScoreOf["mahalanobis"]>>(scores.fit("mahalanobis", { features: tensor, labels: [0, 1] }));
declare const score: scores.Score;
expectType<Promise<Float64Array>>(score.score(outputs, { signal: new AbortController().signal }));
expectType<scores.ScoreName>(score.name);
expectAssignable<scores.Score>({} as scores.ScoreOf[scores.ScoreName]);
expectType<readonly ("features" | "rawFeatures" | "logits")[]>(scores.requirements("vim").score);
expectType<Promise<scores.ScoreOf["gaussian-mixture"]>>(
  scores.fit("gaussian-mixture", { features: tensor, labels: [0, 1] }, { covariance: "oas" }),
);
expectType<GaussianMixture>({} as scores.ScoreOf["gaussian-mixture"]["mixture"]);
expectType<number>({} as scores.ScoreOf["vim"]["alpha"]);
expectType<number | undefined>({} as scores.ScoreOptions["vim"]["dimension"]);
expectAssignable<scores.ScoreOptions["gaussian-mixture"]>({ jitter: 1e-3, prior: "uniform" });
expectError<scores.ScoreOptions["gaussian-mixture"]>({ jitter: "some" });
expectError<scores.ScoreOptions["nearest-neighbours"]>({ k: "5" });
expectType<string>(scores.describe("energy").formula);
expectType<readonly scores.ScoreOptionDescription[]>(scores.describe("energy").options);
expectError(scores.describe("knn"));
expectError(scores.fit("knn", { features: tensor }));
expectError(scores.fit("vim", { features: tensor }, { k: 5 }));
expectError(scores.fit("max-logit", {}, { temperature: 2 }));
expectError(scores.fit("mahalanobis", { feature: tensor }));
expectError(score.score({ labels: [0] }));
expectType<Promise<Float64Array>>(score.score(extraction));
expectType<Promise<scores.ScoreOf["mahalanobis"]>>(scores.fit("mahalanobis", extraction));

// TorchScriptModel
expectType<Promise<TorchScriptModel>>(TorchScriptModel.load("model.pt", { input: "imagenet", features: "layer4", device: "cuda" }));
expectError(TorchScriptModel.load("model.pt"));
expectError(TorchScriptModel.load("model.pt", { input: "imagenets" }));
declare const torchScript: TorchScriptModel;
expectType<number | undefined>(torchScript.numClasses);
expectAssignable<Promise<{ features: Tensor }>>(torchScript.extract(tensor, { outputs: ["features"] }));

// files
expectType<Promise<files.Npy>>(files.readNpy("features.npy"));
declare const writer: files.NpyWriter<"float32">;
expectType<Promise<files.NpyWriter<"float32">>>(files.NpyWriter.open("features.npy", "float32", [512]));
expectType<Promise<void>>(writer.write(new Float32Array(512)));
expectType<number>(writer.rows);
expectError(writer.write(new Float64Array(512)));
expectError(files.NpyWriter.open("features.npy", "uint8", []));
