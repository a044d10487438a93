// The preset `openood-1.5`: Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection" (Jingkang50/OpenOOD).

import type { Preset, PresetTraining } from "./preset";

/** configs/pipelines/train/baseline.yml, configs/datasets/cifar10/cifar10.yml; openood/trainers/base_trainer.py: Nesterov, cosine per step to 1e-6. */
const training: PresetTraining = {
  epochs: 100,
  batchSize: 128,
  learningRate: 0.1,
  momentum: 0.9,
  weightDecay: 5e-4,
  nesterov: true,
  schedule: "cosine",
  milestones: [],
  gamma: 0.1,
  augmentation: "crop-flip", // openood/preprocessors/base_preprocessor.py: RandomHorizontalFlip, RandomCrop(32, padding=4)
  shuffle: true,
  validation: undefined, // its validation images have a list of their own
};

/** openood/evaluation_api/datasets.py, by in-distribution set: what is near to one of the two CIFAR sets includes the other. */
const far = ["MNIST", "SVHN", "Textures", "Places365"];
const groups = {
  "CIFAR-10": { near: ["CIFAR-100", "Tiny ImageNet"], far },
  "CIFAR-100": { near: ["CIFAR-10", "Tiny ImageNet"], far },
};

export const openood15: Preset = {
  name: "openood-1.5",
  source: "Zhang et al. 2023, OpenOOD v1.5; Jingkang50/OpenOOD",
  // openood/networks/resnet18_32x32.py: ReLU, 1×1 convolutions as shortcuts, no spectral norm
  architecture: { leakyRelu: false, avgPoolShortcut: false, spectralNorm: false, l2Normalize: false, temperature: 1 },
  training: { 18: training, 50: training }, // its network for CIFAR is a ResNet18; ResNet50 takes the same here
  // openood/preprocessors/transform.py
  normalizations: {
    "CIFAR-10": { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
    "CIFAR-100": { mean: [0.5071, 0.4867, 0.4408], std: [0.2675, 0.2565, 0.2761] },
  },
  features: "normalized",
  mixture: { covariance: "full", prior: "empirical", jitter: "relative" }, // none is prescribed: the defaults of this library
  // openood/evaluators/metrics.py
  evaluation: { auprPositive: "out", auprEstimator: "trapezoid", fprPositive: "out", tpr: 0.95, groups: groups["CIFAR-10"] },
  groups,
};
