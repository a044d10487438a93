// Every public function of Tensor, ResNet and device with arguments that it must refuse: the code, a message with the
// value found and the value expected, and a stack that leads to the caller.

import { join } from "node:path";
import { Dataset, device, isLibtorchOodError, LibtorchOodError, ResNet, Tensor, type ErrorCode } from "../../../lib";
import { temporaryDirectory } from "../../support/temporary-directory";
import { failureOf, tinyArchitecture, tinyData, tinyNetwork, useOneThread } from "./tiny-network";

useOneThread();
const directory = temporaryDirectory();

// Arguments that TypeScript would not let pass, as a JavaScript caller may give them.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
const wrong = (value: unknown): any => value;

let model: ResNet;
let disposed: ResNet;
let train: Dataset;
let tensor: Tensor;
let gone: Tensor;
beforeAll(async () => {
  model = await tinyNetwork();
  disposed = await tinyNetwork();
  disposed.dispose();
  train = tinyData(12);
  tensor = Tensor.from(new Float32Array(6), [3, 2]);
  gone = Tensor.from(new Float32Array(64), [1, 1, 8, 8]);
  gone.dispose();
});

type Case = [what: string, call: () => unknown, code: ErrorCode, message: string | RegExp];

const images = (shape: number[], fill = 0.5) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(fill), shape);
const poisoned = (value: number) => Tensor.from(new Float32Array(128).fill(0.5).fill(value, 100, 101), [2, 1, 8, 8]);
const bytes = (count: number) => new Uint8Array(count);
const oddData = (shape: number[], labels: number[], classNames?: string[]) =>
  Dataset.fromArrays({ images: bytes(labels.length * shape.reduce((a, b) => a * b, 1)), labels, shape, classNames });
const create = (options: object) => ResNet.create({ ...tinyArchitecture, ...options });
const fit = (options: object) => model.fit(train, { epochs: 1, ...options });
const sink = () => undefined;

const ofTensor: Case[] = [
  [
    "from: nothing",
    () => Tensor.from(wrong(undefined)),
    "ERR_DTYPE",
    /^data: expected a typed array \(Float64Array, .*\), found undefined$/,
  ],
  ["from: an array of numbers", () => Tensor.from(wrong([1, 2])), "ERR_DTYPE", /found an array of length 2$/],
  ["from: an array without a dtype", () => Tensor.from(wrong(Uint16Array.of(1))), "ERR_DTYPE", /found a Uint16Array of length 1$/],
  ["from: a DataView", () => Tensor.from(wrong(new DataView(new ArrayBuffer(4)))), "ERR_DTYPE", /found a DataView/],
  ["from: a bare buffer", () => Tensor.from(wrong(new ArrayBuffer(4))), "ERR_DTYPE", /found an object \(ArrayBuffer\)$/],
  ["from: a Float16 pretender", () => Tensor.from(wrong({ length: 1, 0: 1 })), "ERR_DTYPE", /found an object \(Object\)$/],
  ["from: shape too large", () => Tensor.from(bytes(5), [2, 3]), "ERR_SHAPE", "data: expected 6 elements for shape [2, 3], found 5"],
  ["from: shape too small", () => Tensor.from(bytes(5), [4]), "ERR_SHAPE", "data: expected 4 elements for shape [4], found 5"],
  ["from: negative size", () => Tensor.from(bytes(5), [-5]), "ERR_SHAPE", "shape: expected non-negative integers, found -5"],
  ["from: broken size", () => Tensor.from(bytes(5), [2.5, 2]), "ERR_SHAPE", "shape: expected non-negative integers, found 2.5"],
  ["from: NaN in the shape", () => Tensor.from(bytes(5), [NaN]), "ERR_SHAPE", "shape: expected non-negative integers, found NaN"],
  ["from: shape is a number", () => Tensor.from(bytes(5), wrong(5)), "ERR_SHAPE", "shape: expected an array of sizes, found 5"],
  ["from: shape with a hole", () => Tensor.from(bytes(5), wrong(new Array(1))), "ERR_SHAPE", /found undefined$/],
  [
    "from: a shape beyond counting",
    () => Tensor.from(bytes(5), [2 ** 40, 2 ** 40]),
    "ERR_RANGE",
    "shape: more elements than can be counted",
  ],
  ["shape: disposed", () => gone.shape, "ERR_DISPOSED", "shape: the tensor has been disposed"],
  ["dtype: disposed", () => gone.dtype, "ERR_DISPOSED", "dtype: the tensor has been disposed"],
  ["size: disposed", () => gone.size, "ERR_DISPOSED", "shape: the tensor has been disposed"],
  ["toArray: disposed", () => gone.toArray(), "ERR_DISPOSED", "tensor: the tensor has been disposed"],
  ["slice: disposed", () => gone.slice(0), "ERR_DISPOSED", /the tensor has been disposed$/],
  ["slice: start beyond the rows", () => tensor.slice(4), "ERR_RANGE", "start: expected 0 to 3, found 4"],
  ["slice: negative start", () => tensor.slice(-1), "ERR_RANGE", "start: expected 0 to 3, found -1"],
  ["slice: end before start", () => tensor.slice(2, 1), "ERR_RANGE", "end: expected 2 to 3, found 1"],
  ["slice: end beyond the rows", () => tensor.slice(0, 4), "ERR_RANGE", "end: expected 0 to 3, found 4"],
  ["slice: broken start", () => tensor.slice(0.5), "ERR_OPTION", "start: expected an integer, found 0.5"],
  ["slice: start is text", () => tensor.slice(wrong("0")), "ERR_OPTION", 'start: expected an integer, found "0"'],
  ["slice: NaN", () => tensor.slice(NaN), "ERR_OPTION", "start: expected an integer, found nan"],
  ["slice: a scalar", () => Tensor.from(bytes(1), []).slice(0, 0), "ERR_SHAPE", "slice: a scalar has no rows"],
];

const ofCreate: Case[] = [
  ["create: nothing", () => ResNet.create(wrong(undefined)), "ERR_OPTION", "numClasses: expected an integer, found undefined"],
  ["create: text", () => ResNet.create(wrong("18")), "ERR_OPTION", 'options: expected an options object, found "18"'],
  ["create: an array", () => ResNet.create(wrong([])), "ERR_OPTION", "options: expected an options object, found an array of length 0"],
  ["create: unknown option", () => create({ dept: 18 }), "ERR_OPTION", /^options: unknown option "dept"; known options: depth, /],
  ["create: depth", () => create({ depth: 20 }), "ERR_OPTION", "depth: expected one of 18, 34, 50, 101, 152, found 20"],
  ["create: depth as text", () => create({ depth: "18" }), "ERR_OPTION", 'depth: expected one of 18, 34, 50, 101, 152, found "18"'],
  ["create: one class", () => create({ numClasses: 1 }), "ERR_RANGE", "numClasses: expected 2 to 1048576, found 1"],
  ["create: broken classes", () => create({ numClasses: 2.5 }), "ERR_OPTION", "numClasses: expected an integer, found 2.5"],
  ["create: no channels", () => create({ inChannels: 0 }), "ERR_RANGE", "inChannels: expected 1 to 4096, found 0"],
  ["create: image size", () => create({ imageSize: -8 }), "ERR_RANGE", "imageSize: expected 1 to 4096, found -8"],
  ["create: width 0", () => create({ width: 0 }), "ERR_RANGE", "width: expected 0.015625 to 64, found 0"],
  ["create: width NaN", () => create({ width: NaN }), "ERR_NON_FINITE", "width: expected a finite number, found NaN"],
  ["create: featureDim 0", () => create({ featureDim: 0 }), "ERR_RANGE", "featureDim: expected 1 to 1048576, found 0"],
  [
    "create: featureDim of ResNet50",
    () => create({ depth: 50, featureDim: 6 }),
    "ERR_OPTION",
    "featureDim: expected a multiple of 4 for ResNet50, found 6",
  ],
  ["create: leakyRelu", () => create({ leakyRelu: 1 }), "ERR_OPTION", "leakyRelu: expected true or false, found 1"],
  ["create: avgPoolShortcut", () => create({ avgPoolShortcut: "no" }), "ERR_OPTION", 'avgPoolShortcut: expected true or false, found "no"'],
  ["create: l2Normalize", () => create({ l2Normalize: 0 }), "ERR_OPTION", "l2Normalize: expected true or false, found 0"],
  ["create: temperature 0", () => create({ temperature: 0 }), "ERR_RANGE", "temperature: expected at least 1e-12, found 0"],
  [
    "create: temperature infinite",
    () => create({ temperature: Infinity }),
    "ERR_NON_FINITE",
    "temperature: expected a finite number, found Infinity",
  ],
  ["create: spectralNorm true", () => create({ spectralNorm: true }), "ERR_OPTION", "spectralNorm: expected an options object, found true"],
  [
    "create: spectralNorm unknown",
    () => create({ spectralNorm: { coeff: 3 } }),
    "ERR_OPTION",
    /^spectralNorm: unknown option "coeff"; known options: coefficient,/,
  ],
  [
    "create: coefficient 0",
    () => create({ spectralNorm: { coefficient: 0 } }),
    "ERR_RANGE",
    /^spectralNorm.coefficient: expected more than 0, found 0$/,
  ],
  [
    "create: powerIterations 0",
    () => create({ spectralNorm: { powerIterations: 0 } }),
    "ERR_RANGE",
    "spectralNorm.powerIterations: expected 1 to 1000, found 0",
  ],
  [
    "create: warmupIterations",
    () => create({ spectralNorm: { warmupIterations: -1 } }),
    "ERR_RANGE",
    "spectralNorm.warmupIterations: expected 0 to 100000, found -1",
  ],
  ["create: seed", () => create({ seed: -1 }), "ERR_RANGE", "seed: expected at least 0, found -1"],
  ["create: seed bigint", () => create({ seed: 1n }), "ERR_OPTION", "seed: expected an integer, found 1"],
  ["create: dtype", () => create({ dtype: "float16" }), "ERR_OPTION", 'dtype: expected one of "float32", "float64", found "float16"'],
  ["create: unknown device", () => create({ device: "gpu" }), "ERR_OPTION", 'device: expected "cpu", "cuda" or "cuda:N", found "gpu"'],
  [
    "create: device with a broken index",
    () => create({ device: "cuda:1x" }),
    "ERR_OPTION",
    'device: expected "cpu", "cuda" or "cuda:N", found "cuda:1x"',
  ],
  ["create: device a number", () => create({ device: 0 }), "ERR_OPTION", "device: expected a string, found 0"],
  ["create: absent device", () => create({ device: "cuda:99" }), "ERR_DEVICE", /^device: "cuda:99" is unavailable; /],
  [
    "create: normalization of 3 channels",
    () => create({ normalization: { mean: [0, 0, 0], std: [1, 1, 1] } }),
    "ERR_SHAPE",
    "normalization.mean: expected 1 numbers, one per channel, found an array of length 3",
  ],
  [
    "create: std 0",
    () => create({ normalization: { mean: [0], std: [0] } }),
    "ERR_RANGE",
    "normalization.std[0]: expected a positive number, found 0",
  ],
  [
    "create: mean NaN",
    () => create({ normalization: { mean: [NaN], std: [1] } }),
    "ERR_NON_FINITE",
    "normalization.mean[0]: expected a finite number, found NaN",
  ],
  [
    "normalization =: text",
    () => (model.normalization = wrong("mnist")),
    "ERR_OPTION",
    'normalization: expected { mean, std }, found "mnist"',
  ],
];

const ofLoadAndSave: Case[] = [
  ["load: nothing", () => ResNet.load(wrong(undefined)), "ERR_OPTION", "path: expected a string, found undefined"],
  [
    "load: unknown option",
    () => ResNet.load("x", wrong({ precision: "float32" })),
    "ERR_OPTION",
    /^options: unknown option "precision"; known options: device, dtype, maxImageSize, input, classNames, leakyRelu, l2Normalize, temperature$/,
  ],
  ["load: no such file", () => ResNet.load(directory.path("absent")), "ERR_IO", /absent.*ENOENT/],
  ["load: a directory", () => ResNet.load(directory.path(".")), "ERR_IO", /directory|regular file/],
  ["load: not a safetensors file", () => ResNet.load(directory.put("text", "not weights at all")), "ERR_CORRUPT_FILE", /text/],
  ["save: nothing", () => model.save(wrong(undefined)), "ERR_OPTION", "path: expected a string, found undefined"],
  ["save: no such directory", () => model.save(directory.path(join("absent", "model"))), "ERR_IO", /ENOENT/],
  ["save: disposed", () => disposed.save(directory.path("model")), "ERR_DISPOSED", "model: it has been disposed"],
];

const ofFit: Case[] = [
  [
    "fit: nothing",
    () => model.fit(wrong(undefined), { epochs: 1 }),
    "ERR_OPTION",
    "train: expected a Dataset (Dataset.fromArrays makes one), found undefined",
  ],
  [
    "fit: a tensor",
    () => model.fit(wrong(tensor), { epochs: 1 }),
    "ERR_OPTION",
    /^train: expected a Dataset .*, found an object \(Tensor\)$/,
  ],
  ["fit: no options", () => model.fit(train, wrong(undefined)), "ERR_OPTION", "epochs: expected an integer, found undefined"],
  [
    "fit: unknown option",
    () => fit({ lr: 0.1 }),
    "ERR_OPTION",
    /^fit options: unknown option "lr"; known options: loss, epochs, batchSize, /,
  ],
  ["fit: no epochs", () => fit({ epochs: 0 }), "ERR_RANGE", "epochs: expected 1 to 16777216, found 0"],
  ["fit: batchSize", () => fit({ batchSize: 0 }), "ERR_RANGE", "batchSize: expected 1 to 1048576, found 0"],
  ["fit: learningRate", () => fit({ learningRate: -0.1 }), "ERR_RANGE", "learningRate: expected at least 0, found -0.1"],
  ["fit: learningRate NaN", () => fit({ learningRate: NaN }), "ERR_NON_FINITE", "learningRate: expected a finite number, found NaN"],
  ["fit: learningRate text", () => fit({ learningRate: "0.1" }), "ERR_OPTION", 'learningRate: expected a number, found "0.1"'],
  ["fit: momentum", () => fit({ momentum: 1.5 }), "ERR_RANGE", "momentum: expected 0 to 1, found 1.5"],
  ["fit: weightDecay", () => fit({ weightDecay: -1 }), "ERR_RANGE", "weightDecay: expected at least 0, found -1"],
  ["fit: nesterov", () => fit({ nesterov: "yes" }), "ERR_OPTION", 'nesterov: expected true or false, found "yes"'],
  ["fit: schedule", () => fit({ schedule: "linear" }), "ERR_OPTION", 'schedule: expected one of "milestones", "cosine", found "linear"'],
  ["fit: milestones a number", () => fit({ milestones: 2 }), "ERR_OPTION", "milestones: expected an array, found 2"],
  ["fit: milestone", () => fit({ milestones: [1, 2.5] }), "ERR_OPTION", "milestones: expected an integer, found 2.5"],
  ["fit: gamma", () => fit({ gamma: -0.1 }), "ERR_RANGE", "gamma: expected at least 0, found -0.1"],
  [
    "fit: augmentation",
    () => fit({ augmentation: "flip" }),
    "ERR_OPTION",
    'augmentation: expected one of "none", "crop-flip", "resized-crop-flip", found "flip"',
  ],
  [
    "fit: augmentation unknown",
    () => fit({ augmentation: { crop: 4 } }),
    "ERR_OPTION",
    /^augmentation: unknown option "crop"; known options: cropPadding, horizontalFlip, resizedCrop, colorJitter$/,
  ],
  [
    "fit: cropPadding beyond the image",
    () => fit({ augmentation: { cropPadding: 9 } }),
    "ERR_RANGE",
    "cropPadding: expected 0 to 8, found 9",
  ],
  ["fit: shuffle", () => fit({ shuffle: 0 }), "ERR_OPTION", "shuffle: expected true or false, found 0"],
  [
    "fit: precision",
    () => fit({ precision: "float16" }),
    "ERR_OPTION",
    'precision: expected one of "auto", "float32", "bfloat16", found "float16"',
  ],
  ["fit: seed", () => fit({ seed: 0.5 }), "ERR_OPTION", "seed: expected an integer, found 0.5"],
  [
    "fit: validation share of everything",
    () => fit({ validation: 1 }),
    "ERR_RANGE",
    "validation: expected a share between 0 and 1, found 1",
  ],
  ["fit: validation share NaN", () => fit({ validation: NaN }), "ERR_RANGE", "validation: expected a share between 0 and 1, found NaN"],
  [
    "fit: validation share of no image",
    () => fit({ validation: 0.01 }),
    "ERR_RANGE",
    /^fraction: expected a share that leaves images on both sides, found 0.01, which is 0 of 12$/,
  ],
  ["fit: validation of another kind", () => fit({ validation: "10%" }), "ERR_OPTION", /^validation: expected a Dataset .*, found "10%"$/],
  [
    "fit: validation of another size",
    () => fit({ validation: oddData([1, 4, 4], [0, 1, 2]) }),
    "ERR_SHAPE",
    "validation images: expected shape [N, 1, 8, 8], found [3, 1, 4, 4]",
  ],
  ["fit: checkpoint", () => fit({ checkpoint: 5 }), "ERR_OPTION", "checkpoint: expected a string, found 5"],
  [
    "fit: checkpointEvery",
    () => fit({ checkpoint: "x", checkpointEvery: 0 }),
    "ERR_RANGE",
    "checkpointEvery: expected at least 1, found 0",
  ],
  ["fit: resume without a file", () => fit({ resume: true }), "ERR_OPTION", "resume: expected a checkpoint file to resume from"],
  ["fit: signal", () => fit({ signal: {} }), "ERR_OPTION", "signal: expected an AbortSignal, found an object (Object)"],
  ["fit: onEpoch", () => fit({ onEpoch: "log" }), "ERR_OPTION", 'onEpoch: expected a function, found "log"'],
  ["fit: onBatch", () => fit({ onBatch: {} }), "ERR_OPTION", "onBatch: expected a function, found an object (Object)"],
  [
    "fit: images of another size",
    () => model.fit(oddData([1, 9, 9], [0, 1, 2]), { epochs: 1 }),
    "ERR_SHAPE",
    "images: expected shape [N, 1, 8, 8], found [3, 1, 9, 9]",
  ],
  [
    "fit: images of 3 channels",
    () => model.fit(oddData([3, 8, 8], [0, 1, 2]), { epochs: 1 }),
    "ERR_SHAPE",
    "images: expected shape [N, 1, 8, 8], found [3, 3, 8, 8]",
  ],
  [
    "fit: a class too many",
    () => model.fit(oddData([1, 8, 8], [0, 1, 3]), { epochs: 1 }),
    "ERR_RANGE",
    "labels: expected labels 0 to 2, found 3 at index 2",
  ],
  [
    "fit: a class too many in validation",
    () => fit({ validation: oddData([1, 8, 8], [5]) }),
    "ERR_RANGE",
    "validation labels: expected labels 0 to 2, found 5 at index 0",
  ],
  ["fit: disposed", () => disposed.fit(train, { epochs: 1 }), "ERR_DISPOSED", "model: it has been disposed"],
  [
    "fit: no normalisation",
    async () => (await create({})).fit(train.withNormalization(undefined), { epochs: 1 }),
    "ERR_OPTION",
    /^normalization: neither the model nor the training set has one/,
  ],
  ["training: disposed", () => disposed.training, "ERR_DISPOSED", "model: it has been disposed"],
];

const ofExtract: Case[] = [
  [
    "extract: nothing",
    () => model.extract(wrong(undefined)),
    "ERR_OPTION",
    "images: expected a Dataset, a Tensor, { data: typed array, shape }, or one image or a list of them as encoded bytes (Uint8Array), a path, a file: URL, a Blob or { data, width, height }, found undefined",
  ],
  ["extract: a path of nothing", () => model.extract("images"), "ERR_IO", /^cannot open images: ENOENT/],
  [
    "extract: bytes of no image",
    () => model.extract(bytes(64)),
    "ERR_CORRUPT_FILE",
    /^images: expected a PNG, JPEG, WebP, GIF, TIFF or AVIF image, found/,
  ],
  ["extract: a bare array of floats", () => model.extract(wrong(new Float32Array(64))), "ERR_DTYPE", /found a Float32Array of length 64$/],
  [
    "extract: data without a shape",
    () => model.extract(wrong({ data: bytes(64) })),
    "ERR_SHAPE",
    "images: expected 4 dimensions, found 1 (shape [64])",
  ],
  [
    "extract: data and shape disagree",
    () => model.extract({ data: bytes(63), shape: [1, 1, 8, 8] }),
    "ERR_SHAPE",
    "data: expected 64 elements for shape [1, 1, 8, 8], found 63",
  ],
  ["extract: two dimensions", () => model.extract(tensor), "ERR_SHAPE", "images: expected 4 dimensions, found 2 (shape [3, 2])"],
  [
    "extract: another size",
    () => model.extract(images([2, 1, 8, 9])),
    "ERR_SHAPE",
    "images: expected shape [N, 1, 8, 8], found [2, 1, 8, 9]",
  ],
  ["extract: NHWC", () => model.extract(images([2, 8, 8, 1])), "ERR_SHAPE", "images: expected shape [N, 1, 8, 8], found [2, 8, 8, 1]"],
  [
    "extract: int32",
    () => model.extract({ data: new Int32Array(64), shape: [1, 1, 8, 8] }),
    "ERR_DTYPE",
    "images: expected uint8 or float32 or float64, found int32",
  ],
  ["extract: NaN", () => model.extract(poisoned(NaN)), "ERR_NON_FINITE", "images: expected finite numbers, found NaN or infinity in row 1"],
  [
    "extract: infinity",
    () => model.extract(poisoned(-Infinity)),
    "ERR_NON_FINITE",
    "images: expected finite numbers, found NaN or infinity in row 1",
  ],
  ["extract: disposed images", () => model.extract(gone), "ERR_DISPOSED", "images: the tensor has been disposed"],
  ["extract: disposed", () => disposed.extract(train), "ERR_DISPOSED", "model: it has been disposed"],
  [
    "extract: unknown option",
    () => model.extract(train, wrong({ batch: 1 })),
    "ERR_OPTION",
    /^extract options: unknown option "batch"; known options: outputs, batchSize, /,
  ],
  [
    "extract: options of another kind",
    () => model.extract(train, wrong(64)),
    "ERR_OPTION",
    "extract options: expected an options object, found 64",
  ],
  ["extract: batchSize", () => model.extract(train, { batchSize: 0 }), "ERR_RANGE", "batchSize: expected 1 to 1048576, found 0"],
  [
    "extract: precision",
    () => model.extract(train, wrong({ precision: "float64" })),
    "ERR_OPTION",
    'precision: expected one of "auto", "float32", "bfloat16", found "float64"',
  ],
  [
    "extract: an unknown output",
    () => model.extract(train, wrong({ outputs: ["features", "pooled"] })),
    "ERR_OPTION",
    'outputs[1]: expected one of "features", "rawFeatures", "logits", found "pooled"',
  ],
  [
    "extract: an output twice",
    () => model.extract(train, { outputs: ["logits", "features", "logits"] }),
    "ERR_OPTION",
    'outputs[2]: expected each output once, found "logits"',
  ],
  [
    "extract: no output",
    () => model.extract(train, { outputs: [] }),
    "ERR_OPTION",
    /^outputs: expected a list of features, rawFeatures, logits,/,
  ],
  ["extract: outputs", () => model.extract(train, wrong({ outputs: "logits" })), "ERR_OPTION", /^outputs: expected a list of .*"logits"$/],
  [
    "extractStream: an unknown output",
    () => model.extractStream([train], sink, wrong({ outputs: ["pooled"] })),
    "ERR_OPTION",
    /^outputs\[0\]: expected one of /,
  ],
  ["extract: signal", () => model.extract(train, wrong({ signal: true })), "ERR_OPTION", "signal: expected an AbortSignal, found true"],
  ["extract: onProgress", () => model.extract(train, wrong({ onProgress: 1 })), "ERR_OPTION", "onProgress: expected a function, found 1"],
  ["extract: no normalisation", async () => (await create({})).extract(train), "ERR_OPTION", /^normalization: the model has none; /],
  [
    "extractStream: no source",
    () => model.extractStream(wrong(undefined), sink),
    "ERR_OPTION",
    "source: expected an iterable of images, found undefined",
  ],
  [
    "extractStream: a source that is no iterable",
    () => model.extractStream(wrong({ images: [] }), sink),
    "ERR_OPTION",
    "source: expected an iterable of images, found an object (Object)",
  ],
  [
    "extractStream: no sink",
    () => model.extractStream([train], wrong(undefined)),
    "ERR_OPTION",
    "sink: expected a function, found undefined",
  ],
  [
    "extractStream: a sink that is no function",
    () => model.extractStream([train], wrong([])),
    "ERR_OPTION",
    "sink: expected a function, found an array of length 0",
  ],
  [
    "extractStream: unknown option",
    () => model.extractStream([train], sink, wrong({ onProgress: sink })),
    "ERR_OPTION",
    /^extract options: unknown option "onProgress"/,
  ],
  [
    "extractStream: a chunk of another kind",
    () => model.extractStream([wrong(7)], sink),
    "ERR_OPTION",
    "images: expected a Dataset, a Tensor, { data: typed array, shape }, or one image or a list of them as encoded bytes (Uint8Array), a path, a file: URL, a Blob or { data, width, height }, found 7",
  ],
  [
    "extractStream: a chunk of another size",
    () => model.extractStream([images([1, 1, 4, 4])], sink),
    "ERR_SHAPE",
    "images: expected shape [N, 1, 8, 8], found [1, 1, 4, 4]",
  ],
  [
    "extractStream: labels of another kind",
    () => model.extractStream([{ images: images([1, 1, 8, 8]), labels: wrong([1]) }], sink),
    "ERR_DTYPE",
    "labels: expected an Int32Array, found an array of length 1",
  ],
  ["extractStream: disposed", () => disposed.extractStream([train], sink), "ERR_DISPOSED", "model: it has been disposed"],
];

const weights = async (change: (map: Map<string, Tensor>) => void) => {
  const map = await model.weights();
  change(map);
  return model.setWeights(map);
};

const ofForwardAndWeights: Case[] = [
  [
    "forward: nothing",
    () => model.forward(wrong(undefined)),
    "ERR_OPTION",
    "images: expected a Tensor or { data: typed array, shape }, found undefined",
  ],
  ["forward: a Dataset", () => model.forward(wrong(train)), "ERR_OPTION", /found an object \(Dataset\)$/],
  [
    "forward: bytes",
    () => model.forward({ data: bytes(64), shape: [1, 1, 8, 8] }),
    "ERR_DTYPE",
    "images: expected float32 or float64, found uint8",
  ],
  [
    "forward: another size",
    () => model.forward(images([1, 1, 8, 7])),
    "ERR_SHAPE",
    "images: expected shape [N, 1, 8, 8], found [1, 1, 8, 7]",
  ],
  ["forward: no images", () => model.forward(images([0, 1, 8, 8])), "ERR_SHAPE", "images: expected at least one image"],
  ["forward: NaN", () => model.forward(poisoned(NaN)), "ERR_NON_FINITE", "images: expected finite numbers, found NaN or infinity in row 1"],
  [
    "forward: unknown option",
    () => model.forward(images([1, 1, 8, 8]), wrong({ train: true })),
    "ERR_OPTION",
    /^forward options: unknown option "train"; known options: training, signal$/,
  ],
  [
    "forward: training",
    () => model.forward(images([1, 1, 8, 8]), wrong({ training: 1 })),
    "ERR_OPTION",
    "training: expected true or false, found 1",
  ],
  ["forward: disposed images", () => model.forward(gone), "ERR_DISPOSED", "images: the tensor has been disposed"],
  ["forward: disposed", () => disposed.forward(images([1, 1, 8, 8])), "ERR_DISPOSED", "model: it has been disposed"],
  ["weights: disposed", () => disposed.weights(), "ERR_DISPOSED", "model: it has been disposed"],
  [
    "setWeights: nothing",
    () => model.setWeights(wrong(undefined)),
    "ERR_OPTION",
    "weights: expected a Map of names to tensors, found undefined",
  ],
  [
    "setWeights: an object",
    () => model.setWeights(wrong({ "fc.bias": tensor })),
    "ERR_OPTION",
    "weights: expected a Map of names to tensors, found an object (Object)",
  ],
  [
    "setWeights: one is missing",
    () => weights((map) => map.delete("fc.bias")),
    "ERR_SHAPE",
    /^weights: expected the \d+ tensors of model\.weights\(\), found 1 missing: fc\.bias$/,
  ],
  [
    "setWeights: one too many",
    () => weights((map) => map.set("fc.scale", tensor)),
    "ERR_OPTION",
    /found 1 not of this network: fc\.scale$/,
  ],
  [
    "setWeights: another shape",
    () => weights((map) => map.set("fc.bias", tensor)),
    "ERR_SHAPE",
    /found 1 of another shape: fc\.bias \(expected \[3\], found \[3, 2\]\)$/,
  ],
  [
    "setWeights: another dtype",
    () => weights((map) => map.set("fc.bias", Tensor.from(new Int32Array(3)))),
    "ERR_DTYPE",
    "state: fc.bias: expected float32, found int32",
  ],
  [
    "setWeights: NaN",
    () => weights((map) => map.set("fc.bias", Tensor.from(Float32Array.of(0, NaN, 0)))),
    "ERR_NON_FINITE",
    "fc.bias: expected finite numbers, found NaN or infinity in row 1",
  ],
  [
    "setWeights: no tensor",
    () => weights((map) => map.set("fc.bias", wrong(3))),
    "ERR_OPTION",
    "fc.bias: expected a tensor of shape [3], found 3",
  ],
  [
    "setWeights: a disposed tensor",
    () => weights((map) => map.set("fc.bias", gone)),
    "ERR_DISPOSED",
    "fc.bias: the tensor has been disposed",
  ],
  ["setWeights: disposed", async () => disposed.setWeights(await model.weights()), "ERR_DISPOSED", "model: it has been disposed"],
];

const ofDevice: Case[] = [
  ["setThreads: none", () => device.setThreads(0), "ERR_RANGE", "threads: expected 1 to 1024, found 0"],
  ["setThreads: too many", () => device.setThreads(1025), "ERR_RANGE", "threads: expected 1 to 1024, found 1025"],
  ["setThreads: broken", () => device.setThreads(1.5), "ERR_OPTION", "threads: expected an integer, found 1.5"],
  ["setThreads: NaN", () => device.setThreads(NaN), "ERR_OPTION", "threads: expected an integer, found NaN"],
  ["setThreads: text", () => device.setThreads(wrong("2")), "ERR_OPTION", 'threads: expected an integer, found "2"'],
];

test.each([...ofTensor, ...ofCreate, ...ofLoadAndSave, ...ofFit, ...ofExtract, ...ofForwardAndWeights, ...ofDevice])(
  "%s",
  async (_, call, code, message) => {
    const error = (await failureOf(call)) as LibtorchOodError;
    expect({ code: error.code, message: error.message }).toEqual({
      code,
      message: typeof message === "string" ? message : expect.stringMatching(message),
    });
    expect(error).toBeInstanceOf(LibtorchOodError);
    expect(isLibtorchOodError(error)).toBe(true);
    expect(error.stack?.startsWith(`LibtorchOodError: ${error.message}`)).toBe(true);
    expect(error.stack).toContain("arguments.test.ts");
  },
);

test("the stack leads to the caller also where nobody awaits the call yet", async () => {
  const calls = {
    fit: () => model.fit(oddData([1, 8, 8], [0, 1, 3]), { epochs: 1 }),
    extract: () => model.extract(poisoned(NaN)),
    extractStream: () => model.extractStream([images([1, 1, 4, 4])], sink),
    load: () => ResNet.load(directory.path("absent")),
    save: () => model.save(directory.path(join("absent", "model"))),
  };
  for (const [name, call] of Object.entries(calls)) {
    const promise = call();
    const settled = promise.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await settled;
    const { stack } = (await promise.catch((error: unknown) => error)) as Error;
    expect(`${name}: ${stack}`).toContain("arguments.test.ts");
  }
});

test("a refused call changes nothing: the network and its weights are as before", async () => {
  const before = await model.extract(train);
  for (const [, call] of [...ofFit, ...ofExtract, ...ofForwardAndWeights]) await failureOf(call);
  expect(model.training).toBe(false);
  expect((await model.extract(train)).logits.toArray()).toEqual(before.logits.toArray());
});
