// What is compared: each row prepares our side and names the peer's operation (bench/peers/peer.py).

import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ClassStatistics,
  Dataset,
  datasets,
  GaussianMixture,
  linalg,
  loadModel,
  metrics,
  neuralCollapse,
  ResNet,
  scores,
  Tensor,
} from "libtorch-ood";
import { features, images, matrix, uniform } from "./inputs.mjs";

const ddu = "the DDU network in PyTorch";
const normalization = datasets.normalizations.cifar10;

/** Runs `work` and gives its wall time, or the time that it returns, in seconds. */
async function timed(work) {
  const start = performance.now();
  const seconds = await work();
  return typeof seconds === "number" ? seconds : (performance.now() - start) / 1000;
}

function imageSet(count) {
  const { values, labels } = images(1, count);
  return Dataset.fromArrays({ images: values, labels, shape: [3, 32, 32], normalization });
}

const network = () => ResNet.create({ numClasses: 10, normalization });

/** One SGD step on a batch of 128: what the training loop itself reports, as the peer times no data preparation. */
function trainingStep(precision, peerPrecision) {
  return {
    name: `training step, batch 128, ${precision}`,
    peer: `${ddu}, ${peerPrecision}`,
    request: { operation: `train_step_${peerPrecision === "bfloat16" ? "bf16" : "f32"}` },
    async prepare() {
      const [model, data] = [await network(), imageSet(128)];
      return async () => (await model.fit(data, { epochs: 1, precision }))[0].seconds;
    },
  };
}

function epoch(precision, peerPrecision, count) {
  return {
    name: `epoch of ${count} images with crop and flip, ${precision}`,
    peer: `${ddu}, ${peerPrecision}, augmentation in numpy`,
    request: { operation: `epoch_${peerPrecision === "bfloat16" ? "bf16" : "f32"}`, images: count },
    async prepare() {
      const [model, data] = [await network(), imageSet(count)];
      return () => timed(async () => void (await model.fit(data, { epochs: 1, precision, augmentation: "crop-flip" })));
    },
  };
}

function extraction(precision, peerPrecision, form) {
  const count = 512;
  return {
    name: `extraction of ${count} images, ${precision}, folded`,
    peer: form === "folded" ? `the same, folded in PyTorch, ${peerPrecision}` : `${ddu}, inference mode, ${peerPrecision}`,
    request: { operation: `extract_${peerPrecision === "bfloat16" ? "bf16" : "f32"}`, images: count, form },
    async prepare() {
      const [model, data] = [await network(), imageSet(count)];
      return () => timed(async () => dispose(await model.extract(data, { precision })));
    },
  };
}

function dispose(extraction) {
  extraction.features.dispose();
  extraction.logits.dispose();
}

/** A network at 224 pixels, in a file that both sides read. */
function largeExtraction(kind, depth, count, peer) {
  const ending = { resnet: "safetensors", torchscript: "pt", onnx: "onnx" }[kind];
  const path = join(tmpdir(), `libtorch-ood-bench-resnet${depth}.${ending}`);
  const called = { resnet: "weights of torchvision", torchscript: "TorchScript", onnx: "ONNX" }[kind];
  return {
    name: `extraction of ${count} images of 224 pixels, ResNet-${depth}, float32, ${called}`,
    peer,
    request: { operation: "extract_224", kind, depth, path, images: count },
    async prepare(process) {
      await process.ask({ operation: "write_model", kind, depth, path });
      const model = await loadModel(path, { input: "imagenet" });
      const data = { data: images(1, count, 224).values, shape: [count, 3, 224, 224] };
      return () => timed(async () => dispose(await model.extract(data, { batchSize: 32 })));
    },
  };
}

function labelled({ samples, dimensions, classes = 10 }) {
  const { values, labels } = features(1, samples, dimensions, classes);
  return { z: Tensor.from(values, [samples, dimensions]), labels };
}

function mixtureFit(size) {
  return {
    name: `mixture fit, d = ${size.dimensions}, N = ${size.samples}, 10 classes`,
    peer: "DDU's algorithm in PyTorch, float64",
    request: { operation: "gmm_fit", ...size, classes: 10 },
    async prepare() {
      const { z, labels } = labelled(size);
      return () => timed(async () => (await GaussianMixture.fit(z, labels, { prior: "none" })).dispose());
    },
  };
}

function logDensity(size) {
  return {
    name: `log density of ${size.queries} features, d = ${size.dimensions}, 10 classes`,
    peer: "DDU's MultivariateNormal in PyTorch, float64",
    request: { operation: "gmm_log_density", ...size, classes: 10 },
    async prepare() {
      const { z, labels } = labelled(size);
      const mixture = await GaussianMixture.fit(z, labels, { prior: "none" });
      const queries = Tensor.from(uniform("queries 1", size.queries * size.dimensions), [size.queries, size.dimensions]);
      return () => timed(async () => void (await mixture.logDensity(queries)));
    },
  };
}

function nc1(size, operation, peer) {
  return {
    name: `NC1 and the other six, d = ${size.dimensions}, N = ${size.samples}, ${size.classes} classes`,
    peer,
    request: { operation, ...size },
    async prepare() {
      const { z, labels } = labelled(size);
      const weight = Tensor.from(uniform("weight", size.classes * size.dimensions), [size.classes, size.dimensions]);
      return () => timed(async () => void (await neuralCollapse.measure({ features: z, labels, weight })));
    },
  };
}

const samples = ({ samples, dimensions }) => Tensor.from(matrix("matrix 1", samples, dimensions), [samples, dimensions]);

/** A function of linalg on samples, or on their covariance, beside PyTorch's. */
function linear(name, size, operation, { on = samples, peer, run }) {
  return {
    name: `${name}, ${on === samples ? `${size.samples} x ${size.dimensions}` : `d = ${size.dimensions}`}, float64`,
    peer,
    request: { operation, ...size },
    async prepare() {
      const x = await on(size);
      return () => timed(async () => void (await run(x)));
    },
  };
}
const covarianceOf = async (size) => linalg.covariance(samples(size));

/** One class's shrinkage, covariance included: statistics of the samples, then the mixture's estimator. */
function shrinkage(covariance, size, operation) {
  return {
    name: `${covariance} of ${size.samples} x ${size.dimensions}`,
    peer: "scikit-learn",
    request: { operation, ...size },
    async prepare() {
      const x = samples(size);
      const labels = Tensor.from(new Int32Array(size.samples));
      return () =>
        timed(async () => {
          const statistics = new ClassStatistics({ numClasses: 1, featureDim: size.dimensions });
          await statistics.update(x, labels);
          (await GaussianMixture.fromStatistics(statistics, { covariance })).dispose();
          statistics.dispose();
        });
    },
  };
}

function linalgRows() {
  // Below about 5 ms the crossing to the compute thread and back, 0.2 ms, is a part of what is timed.
  const small = { samples: 5000, dimensions: 512 };
  const medium = { samples: 4000, dimensions: 1024 };
  const large = { samples: 8000, dimensions: 2048 };
  const disposed = async (result) => (await result).dispose(); // as Python frees what nobody holds
  return [
    ...[small, large].map((size) =>
      linear("covariance", size, "covariance", { peer: "torch.cov", run: (x) => disposed(linalg.covariance(x)) }),
    ),
    linear("pseudoinverse", medium, "pinv", { peer: "torch.linalg.pinv", run: (x) => disposed(linalg.pinv(x)) }),
    linear("symmetric pseudoinverse", medium, "pinv_symmetric", {
      on: covarianceOf,
      peer: "torch.linalg.pinv, hermitian",
      run: (x) => disposed(linalg.pinv(x, { hermitian: true })),
    }),
    ...[medium, large].map((size) =>
      linear("Cholesky factor", size, "cholesky", {
        on: covarianceOf,
        peer: "torch.linalg.cholesky",
        run: async (x) => (await linalg.cholesky(x)).factor.dispose(),
      }),
    ),
    linear("eigenvalues and vectors", medium, "eigh", {
      on: covarianceOf,
      peer: "torch.linalg.eigh",
      run: async (x) => (await linalg.eigh(x)).vectors.dispose(),
    }),
    linear("singular values", medium, "svdvals", { peer: "torch.linalg.svdvals", run: (x) => disposed(linalg.svdvals(x)) }),
    linear("singular values and basis of features", { samples: 20_000, dimensions: 512 }, "svd", {
      peer: "torch.linalg.svd",
      run: async (x) => (await neuralCollapse.singularValues(x)).basis.dispose(),
    }),
    ...[medium, large].map((size) =>
      linear("log determinant", size, "slogdet", { on: covarianceOf, peer: "torch.linalg.slogdet", run: (x) => linalg.logdet(x) }),
    ),
    ...[small, large].map((size) => shrinkage("ledoit-wolf", size, "ledoit_wolf")),
    ...[small, large].map((size) => shrinkage("oas", size, "oas")),
  ];
}

const auroc = {
  name: "AUROC of 10,000 and 10,000 scores",
  peer: "scikit-learn",
  request: { operation: "auroc" },
  async prepare() {
    const inside = uniform("inside 1", 10_000, Float64Array).map((value) => value + 0.5);
    const outside = uniform("outside 1", 10_000, Float64Array);
    return () => timed(async () => void metrics.auroc(inside, outside));
  },
};

/** As matrix() of the peers: columns of unequal spread. */
function spread(name, count, dimensions, ArrayType) {
  const values = uniform(name, count * dimensions, ArrayType);
  for (let i = 0; i < values.length; i++) values[i] *= (1 + ((i % dimensions) % 8)) / 4;
  return Tensor.from(values, [count, dimensions]);
}

function neighbours(size, dtype) {
  const { samples, dimensions, queries, k } = size;
  return {
    name: `${k}th nearest of ${samples} features to ${queries}, d = ${dimensions}, ${dtype}`,
    peer: "scikit-learn, brute force",
    request: { operation: "nearest_neighbours", ...size, dtype },
    async prepare() {
      const ArrayType = dtype === "float32" ? Float32Array : Float64Array;
      const points = spread("matrix 1", samples, dimensions, ArrayType);
      const query = spread("queries 1", queries, dimensions, ArrayType);
      return () =>
        timed(async () => {
          const score = await scores.fit("nearest-neighbours", { features: points }, { k, normalize: false });
          await score.score({ features: query });
          score.dispose();
        });
    },
  };
}

function mahalanobis(size) {
  return {
    name: `Mahalanobis fit and ${size.queries} scores, d = ${size.dimensions}, N = ${size.samples}, ${size.classes} classes`,
    peer: "OpenOOD's algorithm in scikit-learn and numpy",
    request: { operation: "mahalanobis", ...size },
    async prepare() {
      const { z, labels } = labelled(size);
      const query = Tensor.from(uniform("queries 1", size.queries * size.dimensions), [size.queries, size.dimensions]);
      return () =>
        timed(async () => {
          const score = await scores.fit("mahalanobis", { features: z, labels });
          await score.score({ features: query });
          score.dispose();
        });
    },
  };
}

function vimFit(size, eigenvectors) {
  return {
    name: `ViM fit, d = ${size.dimensions}, N = ${size.samples}`,
    peer: `OpenOOD's algorithm in scikit-learn and numpy, ${eigenvectors}`,
    request: { operation: "vim_fit", ...size, eigenvectors },
    async prepare() {
      const { z } = labelled(size);
      const weight = Tensor.from(uniform("weight", size.classes * size.dimensions), [size.classes, size.dimensions]);
      const bias = Tensor.from(uniform("bias", size.classes), [size.classes]);
      const logits = Tensor.from(uniform("logits", size.samples * size.classes), [size.samples, size.classes]);
      return () => timed(async () => (await scores.fit("vim", { features: z, logits, weight, bias })).dispose());
    },
  };
}

export const rows = [
  trainingStep("float32", "float32"),
  trainingStep("bfloat16", "float32"),
  trainingStep("bfloat16", "bfloat16"),
  epoch("float32", "float32", 512),
  epoch("bfloat16", "bfloat16", 512),
  extraction("float32", "float32", "network"),
  extraction("float32", "float32", "folded"),
  extraction("bfloat16", "float32", "network"),
  extraction("bfloat16", "bfloat16", "network"),
  extraction("bfloat16", "bfloat16", "folded"),
  ...[18, 50].flatMap((depth) => [
    largeExtraction("resnet", depth, 64, "torchvision, folded in PyTorch, inference mode, channels last"),
    largeExtraction("torchscript", depth, 64, "the same file in PyTorch, frozen, inference mode"),
    largeExtraction("onnx", depth, 64, "the same file in onnxruntime"),
  ]),
  mixtureFit({ dimensions: 512, samples: 10_000 }),
  mixtureFit({ dimensions: 2048, samples: 25_000 }),
  logDensity({ dimensions: 512, samples: 10_000, queries: 2000 }),
  logDensity({ dimensions: 2048, samples: 25_000, queries: 500 }),
  nc1({ dimensions: 512, samples: 10_000, classes: 10 }, "nc1_pinv", "pseudoinverse in PyTorch, NC1 alone"),
  nc1({ dimensions: 512, samples: 10_000, classes: 10 }, "nc1_pinv_hermitian", "symmetric pseudoinverse in PyTorch, NC1 alone"),
  nc1({ dimensions: 2048, samples: 10_000, classes: 10 }, "nc1_pinv", "pseudoinverse in PyTorch, NC1 alone"),
  ...linalgRows(),
  auroc,
  neighbours({ samples: 5000, dimensions: 512, queries: 1000, k: 50 }, "float32"),
  neighbours({ samples: 50_000, dimensions: 512, queries: 2000, k: 50 }, "float32"),
  neighbours({ samples: 5000, dimensions: 512, queries: 1000, k: 50 }, "float64"),
  neighbours({ samples: 50_000, dimensions: 512, queries: 2000, k: 50 }, "float64"),
  mahalanobis({ samples: 10_000, dimensions: 512, classes: 10, queries: 2000 }),
  mahalanobis({ samples: 10_000, dimensions: 512, classes: 100, queries: 2000 }),
  vimFit({ samples: 10_000, dimensions: 512, classes: 10 }, "eig"),
  vimFit({ samples: 10_000, dimensions: 512, classes: 10 }, "eigh"),
];
