// The experiments of the seed paper (Haas, Yolland and Rabus, TMLR 12/2022), each as a configuration of the paper's own size.

import { LibtorchOodError } from "../core/errors";
import type { CellGroup, Configuration } from "./configuration";

/** Sections 3 and 4: CIFAR-10 against three sets, batch 1024, 15 seeds, a tenth of the training images held out. */
const common = {
  inDistribution: "cifar10",
  outOfDistribution: ["svhn", "cifar100", "tiny-imagenet"],
  seeds: 15,
} as const;

/** The baseline's schedule, DDU's. */
const long = { epochs: 350, milestones: [150, 250] } as const;
const schedules = { 18: { epochs: 60, milestones: [40, 50] }, 50: { epochs: 100, milestones: [75, 90] } } as const;

/** Columns of Table 1 for one architecture: no L2 on the long and the short schedule, and L2 on the short one. */
const table1Of = (depth: 18 | 50): CellGroup[] => [
  { depth, l2Normalize: false, ...long },
  { depth, l2Normalize: false, ...schedules[depth] },
  { depth, l2Normalize: true, ...schedules[depth] },
];
const table1Cells = [...table1Of(18), ...table1Of(50)];
const ablations: CellGroup = {
  depth: 18,
  spectralNorm: [false, true],
  avgPoolShortcut: [false, true],
  l2Normalize: [false, true],
  ...schedules[18],
};
const overtrained: CellGroup = { depth: [18, 50], l2Normalize: true, ...long };
const bothOf18: CellGroup = { depth: 18, l2Normalize: [true, false], ...schedules[18] };

const presets = {
  table1: {
    ...common,
    name: "Table 1: OoD detection and accuracy, ResNet18 and ResNet50, with and without L2 normalisation",
    cells: table1Cells,
  },
  table2: { ...common, name: "Table 2: ablation of spectral norm, leaky ReLU with average pooling, and L2", cells: [ablations] },
  table3: {
    ...common,
    name: "Table 3: neural collapse of the ablations and of the baseline",
    cells: [ablations, { depth: 18, l2Normalize: false, ...long }],
  },
  table4: {
    ...common,
    name: "Table 4: softmax score beside the mixture over features",
    cells: [...table1Cells, overtrained],
  },
  table5: { ...common, name: "Table 5: mixture over logits", cells: table1Cells },
  table6: { ...common, name: "Table 6: L2 normalisation on the baseline's 350 epochs", cells: [...table1Cells, overtrained] },
  figure3: {
    ...common,
    name: "Figure 3: equiangularity of class means against AUROC, every tenth epoch of 350 without L2",
    measurements: { every: 10 },
    cells: [{ depth: 18, l2Normalize: false, ...long }],
  },
  figure4: {
    ...common,
    name: "Figure 4: the neural-collapse loss from epoch 50 of 350 without L2, and the control group",
    measurements: { every: 1 },
    cells: [
      {
        depth: 18,
        l2Normalize: false,
        ...long,
        intervention: { epoch: 50, epochs: 20, learningRate: 0.01, milestones: [10], batchSize: 2048 },
      },
    ],
  },
  figure5: {
    ...common,
    name: "Figure 5: false positives by epoch, training on beyond the schedule: L2 from 60 to 150, no L2 from 350 to 500",
    measurements: { every: 10 },
    cells: [
      { depth: 18, l2Normalize: true, ...schedules[18], epochs: 150 },
      { depth: 18, l2Normalize: false, ...long, epochs: 500 },
    ],
  },
  figure6: { ...common, name: "Figure 6: singular values of the features of each set", seeds: 1, cells: table1Of(18) },
  figure7: {
    ...common,
    name: "Figure 7: neural collapse by epoch, with and without L2 normalisation",
    measurements: { every: 5 },
    cells: [bothOf18, { depth: 18, l2Normalize: false, ...long }],
  },
  figure8: {
    ...common,
    name: "Figure 8: two-dimensional feature spaces, with and without L2 normalisation",
    seeds: 1,
    cells: [{ ...bothOf18, featureDim: 2 }],
  },
} as const satisfies Record<string, Configuration>;

/** Names of the presets: the tables and figures of the seed paper. */
export type ExperimentPresetName = keyof typeof presets;

/** A configuration that has a name. */
export interface PresetConfiguration extends Configuration {
  /** Table or figure of the paper that the preset repeats. */
  readonly name: string;
}

/** Presets for the tables and figures of the seed paper, by name. Cells that several have in common are equal and run once. */
export const experimentPresets: Readonly<Record<ExperimentPresetName, PresetConfiguration>> = presets;

/** Value of `scale.epochs.of` for a preset that is made smaller: the number of epochs of the paper's L2-normalised ResNet18. */
export const presetReferenceEpochs = 60;

/** The preset of this name. @throws ERR_OPTION that lists the presets, for another name */
export function experimentPreset(name: string): Configuration {
  if (Object.hasOwn(experimentPresets, name)) return experimentPresets[name as ExperimentPresetName];
  const known = Object.keys(experimentPresets).join(", ");
  throw new LibtorchOodError("ERR_OPTION", `preset: expected one of ${known}, or a file, found ${JSON.stringify(name)}`);
}
