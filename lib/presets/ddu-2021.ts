// The preset `ddu-2021`: Mukhoti et al., "Deep Deterministic Uncertainty", as its code has it (omegafragger/DDU).

import type { Preset, PresetTraining } from "./preset";

/** train.py: its defaults, and `--sn --mod` of the README; utils/args.py: batch 128, milestones 150 and 250 of 350 epochs. */
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
  validation: 0.1, // data/ood_detection/cifar10.py: val_size=0.1
};

/** data/ood_detection/cifar10.py and cifar100.py: the same constants in both. */
const normalization = { mean: [0.4914, 0.4822, 0.4465], std: [0.2023, 0.1994, 0.201] };

export const ddu2021: Preset = {
  name: "ddu-2021",
  source: "Mukhoti et al. 2021, Deep Deterministic Uncertainty; omegafragger/DDU",
  // net/resnet.py with mod=True; net/spectral_normalization: coefficient 3, one power iteration
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
  mixture: { covariance: "full", prior: "none", jitter: "ddu" }, // utils/gmm_utils.py: gmm_fit, gmm_evaluate
  // metrics/ood_metrics.py: average_precision_score with in-distribution as 1 for densities. The code reports no FPR: ODIN's direction, the same positive.
  evaluation: { auprPositive: "in", auprEstimator: "average-precision", fprPositive: "in", tpr: 0.95, groups: {} },
};
