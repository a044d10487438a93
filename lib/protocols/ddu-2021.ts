// The preset `ddu-2021`: Mukhoti et al., "Deep Deterministic Uncertainty", as its code has it (omegafragger/DDU).

import type { Preset, PresetTraining } from "./preset";

/** utils/args.py: the defaults of training (350 epochs, batch 128, milestones 150 and 250, no Nesterov); train.py: SGD, gamma 0.1. */
const training: PresetTraining = {
  epochs: 350,
  batchSize: 128,
  learningRate: 0.1,
  momentum: 0.9,
  weightDecay: 5e-4,
  nesterov: false,
  schedule: "milestones",
  milestones: [150, 250],
  gamma: 0.1,
  augmentation: "crop-flip", // data/ood_detection/cifar10.py: RandomCrop(32, padding=4), RandomHorizontalFlip
  shuffle: true,
  validation: 0.1, // train.py: val_size=0.1
};

/** data/ood_detection/cifar10.py and cifar100.py: the same constants in both. */
const normalization = { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.201] };

export const ddu2021: Preset = {
  name: "ddu-2021",
  source: "Mukhoti et al. 2021, Deep Deterministic Uncertainty; omegafragger/DDU",
  // `-sn -mod --coeff 3.0`, as README.md has it; net/resnet.py: what mod means, one power iteration, temperature 1
  architecture: {
    leakyRelu: true,
    avgPoolShortcut: true,
    spectralNorm: { coefficient: 3, powerIterations: 1 },
    l2Normalize: false,
    temperature: 1,
  },
  training: { 18: training, 50: training },
  normalizations: { "CIFAR-10": normalization, "CIFAR-100": normalization },
  features: "normalized", // what the last layer sees, which without L2 normalisation is what pooling gives
  mixture: { covariance: "full", prior: "none", jitter: "ddu" }, // utils/gmm_utils.py: gmm_fit; evaluate.py: logsumexp over classes, no prior
  // metrics/ood_metrics.py: average_precision_score with in-distribution as 1 for densities. It reports no FPR at a fixed rate: ODIN's direction, the same positive, stands in.
  evaluation: { auprPositive: "in", auprEstimator: "average-precision", fprPositive: "in", tpr: 0.95, groups: {} },
  groups: {},
};
