// Turns a configuration into a plan: one scaled training per cell and seed, with the epochs after which it is measured.

import { createHash } from "node:crypto";
import { LibtorchOodError } from "../core/errors";
import type { CellGroup, Intervention, ResolvedConfiguration, Scale } from "./configuration";
import type { Cell, Phase } from "./rows";

/** A cell with its training and measurements, all after scaling. */
export interface PlannedCell {
  /** The network. */
  readonly cell: Cell;
  /** Numbers of epochs after which the network is measured, ascending; training ends at the last. */
  readonly measuredAt: readonly number[];
  /** Intervention after the training; undefined without one. */
  readonly intervention: PlannedIntervention | undefined;
  /** What is smaller than in the configuration, in words. */
  readonly scaled: readonly string[];
}

/** The intervention after the training of a network, after scaling. */
export interface PlannedIntervention {
  /** Number of epochs of each of the two phases. */
  readonly epochs: number;
  /** Learning rate of both phases. */
  readonly learningRate: number;
  /** Numbers of the phase's epochs done when the learning rate drops. */
  readonly milestones: readonly number[];
  /** Number of images per step with the neural-collapse loss; the control keeps the cell's. */
  readonly batchSize: number;
  /** Numbers of epochs of a phase, from its start, after which the network is measured. */
  readonly measuredAt: readonly number[];
}

/** One training with its intervention: the unit for which a process takes a lease. */
export interface PlannedRun {
  /** The cell that is trained. */
  readonly planned: PlannedCell;
  /** The seed of weights, order and augmentation. */
  readonly seed: number;
  /** Identifier for file names: readable, and different for different cells and seeds. */
  readonly id: string;
}

/** All runs of an experiment. */
export interface Plan {
  /** The configuration that it follows. */
  readonly configuration: ResolvedConfiguration;
  /** The networks, each once. */
  readonly cells: readonly PlannedCell[];
  /** The seeds that each is trained with. */
  readonly seeds: readonly number[];
  /** The runs, cell after cell and seed after seed. */
  readonly runs: readonly PlannedRun[];
}

/**
 * Plans the runs of a configuration.
 *
 * @param configuration - the result of {@link resolveConfiguration}
 * @param only - patterns of cell names. A pattern with `*` for any text must match the whole name; one without must be part of the name. Default: all
 *   cells
 * @throws ERR_OPTION if two different cells have the same name, or if a pattern matches no cell
 * @example
 * const configuration = experiments.resolveConfiguration(experiments.experimentPreset("table1"), "table1");
 * for (const { id } of experiments.planOf(configuration, ["resnet18*"]).runs) console.log(id);
 */
export function planOf(configuration: ResolvedConfiguration, only: readonly string[] = []): Plan {
  const cells = configuration.cells.flatMap((group) => combinations(group).map((chosen) => plannedCell(configuration, group, chosen)));
  const byName = new Map<string, PlannedCell>();
  for (const planned of cells) {
    const { name } = planned.cell;
    const other = byName.get(name);
    if (other && runKey(other) !== runKey(planned)) {
      const message = `cells: expected different names for different cells, found ${JSON.stringify(name)} twice; they differ in what no name says`;
      throw new LibtorchOodError("ERR_OPTION", message);
    }
    byName.set(name, planned);
  }
  const chosen = select([...byName.values()], only);
  const { seeds: given } = configuration;
  const seeds = typeof given === "number" ? Array.from({ length: given }, (_, i) => i + 1) : given;
  const runs = chosen.flatMap((planned) => seeds.map((seed) => ({ planned, seed, id: runId(planned, seed) })));
  return { configuration, cells: chosen, seeds, runs };
}

/** Text that is equal for equal cells, whatever order their fields came in or whether they were read from a file. */
export function cellKey(cell: Cell): string {
  const { name, depth, spectralNorm, avgPoolShortcut, l2Normalize, paperEpochs, epochs, milestones, batchSize, width, featureDim } = cell;
  return JSON.stringify([
    name,
    depth,
    spectralNorm,
    avgPoolShortcut,
    l2Normalize,
    paperEpochs,
    epochs,
    milestones,
    batchSize,
    width,
    featureDim ?? null,
  ]);
}

/** Text that is equal for rows of the same measurement. */
export function rowKey(row: { cell: Cell; seed: number; phase: Phase; epoch: number }): string {
  return `${cellKey(row.cell)} ${row.seed} ${row.phase} ${row.epoch}`;
}

interface Chosen {
  readonly depth: 18 | 50;
  readonly spectralNorm: boolean;
  readonly avgPoolShortcut: boolean;
  readonly l2Normalize: boolean;
}

function combinations({ depth, spectralNorm = true, avgPoolShortcut = true, l2Normalize = true }: CellGroup): Chosen[] {
  const list = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? (value as readonly T[]) : [value as T]);
  const all: Chosen[] = [];
  for (const d of list(depth)) {
    for (const s of list(spectralNorm)) {
      for (const g of list(avgPoolShortcut))
        for (const l of list(l2Normalize)) all.push({ depth: d, spectralNorm: s, avgPoolShortcut: g, l2Normalize: l });
    }
  }
  return all;
}

function plannedCell(configuration: ResolvedConfiguration, group: CellGroup, chosen: Chosen): PlannedCell {
  const { scale, subset, training, measurements } = configuration;
  const { batchSize: paperBatchSize = 1024, width: paperWidth = 1, featureDim, milestones = [], intervention } = group;
  const epochs = scaledEpochs(group.epochs, scale);
  const batchSize = scale.batchSize ?? paperBatchSize;
  const width = paperWidth * (scale.width ?? 1);
  const cell: Cell = {
    name: cellName(chosen, { ...group, batchSize: paperBatchSize, width: paperWidth }),
    ...chosen,
    paperEpochs: group.epochs,
    epochs,
    milestones: scaledMilestones(milestones, epochs, scale),
    batchSize,
    width,
    featureDim,
  };
  const every = measurements.every && scaledEpochs(measurements.every, scale);
  const scaled = [
    epochs !== group.epochs && `epochs ${epochs} of ${group.epochs}`,
    batchSize !== paperBatchSize && `batch size ${batchSize} in place of ${paperBatchSize}`,
    scale.width !== undefined && scale.width !== 1 && `width ${width} in place of ${paperWidth}`,
    subset.train !== undefined && `${subset.train} training images`,
    subset.test !== undefined && `${subset.test} images of each test set`,
    training.precision === "auto" && "bfloat16 convolutions where there are units for them",
    training.precision === "bfloat16" && "bfloat16 convolutions",
  ];
  return {
    cell,
    measuredAt: measuredEpochs(intervention ? interventionEpoch(intervention, epochs, scale) : epochs, every),
    intervention: intervention && plannedIntervention(intervention, paperBatchSize, scale, every),
    scaled: scaled.filter((text) => text !== false),
  };
}

function interventionEpoch({ epoch }: Intervention, epochs: number, scale: Scale): number {
  return Math.min(scaledEpochs(epoch, scale), epochs);
}

function plannedIntervention(given: Intervention, paperBatchSize: number, scale: Scale, every: number | undefined): PlannedIntervention {
  const epochs = scaledEpochs(given.epochs, scale);
  const batchSize = given.batchSize ?? 2048;
  return {
    epochs,
    learningRate: given.learningRate ?? 0.01,
    milestones: scaledMilestones(given.milestones ?? [], epochs, scale),
    batchSize: scale.batchSize === undefined ? batchSize : Math.max(1, Math.round((batchSize * scale.batchSize) / paperBatchSize)),
    measuredAt: measuredEpochs(epochs, every),
  };
}

function scaledEpochs(epochs: number, { epochs: factor }: Scale): number {
  return factor ? Math.max(1, Math.round((epochs * factor.run) / factor.of)) : epochs;
}

/**
 * The scaled milestones. Those that fall together, or on the end of a short schedule, are dropped: a schedule whose rate falls twice at once has not the
 * paper's shape.
 */
function scaledMilestones(milestones: readonly number[], epochs: number, scale: Scale): number[] {
  return [...new Set(milestones.map((milestone) => scaledEpochs(milestone, scale)))].filter((milestone) => milestone < epochs);
}

function measuredEpochs(last: number, every: number | undefined): number[] {
  const epochs = every === undefined ? [] : Array.from({ length: Math.floor(last / every) }, (_, i) => (i + 1) * every);
  return epochs.at(-1) === last ? epochs : [...epochs, last];
}

/** Name of a cell, which says all that differs from the paper's usual: "resnet18 sn+leaky L2 60", "resnet50 plain noL2 100 batch 128". */
function cellName(chosen: Chosen, group: CellGroup): string {
  const { depth, spectralNorm, avgPoolShortcut, l2Normalize } = chosen;
  const { epochs, batchSize, width, featureDim } = group;
  const switches = [spectralNorm && "sn", avgPoolShortcut && "leaky"].filter((text) => text !== false).join("+") || "plain";
  return [
    `resnet${depth} ${switches} ${l2Normalize ? "L2" : "noL2"} ${epochs}`,
    featureDim !== undefined && `${featureDim}-D`,
    batchSize !== 1024 && `batch ${batchSize}`,
    width !== 1 && `width ${width}`,
  ]
    .filter((text) => text !== false)
    .join(" ");
}

function select(cells: PlannedCell[], only: readonly string[]): PlannedCell[] {
  if (only.length === 0) return cells;
  const matchers = only.map((pattern) => {
    const parts = pattern.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    const matcher = parts.length > 1 ? new RegExp(`^${parts.join(".*")}$`) : new RegExp(parts[0] as string);
    if (cells.some(({ cell }) => matcher.test(cell.name))) return matcher;
    const names = cells.map(({ cell }) => cell.name).join("; ");
    throw new LibtorchOodError("ERR_OPTION", `cells: expected a pattern of ${names}, found ${JSON.stringify(pattern)}`);
  });
  return cells.filter(({ cell }) => matchers.some((matcher) => matcher.test(cell.name)));
}

/** Text that differs for cells that train alike but are measured or continued differently, since they do not share checkpoints. */
function runKey({ cell, intervention, measuredAt }: PlannedCell): string {
  return `${cellKey(cell)} ${intervention ? JSON.stringify([intervention, measuredAt.at(-1)]) : ""}`;
}

function runId(planned: PlannedCell, seed: number): string {
  const readable = planned.cell.name.replace(/[^A-Za-z0-9.]+/g, "-");
  const hash = createHash("sha256").update(runKey(planned)).digest("hex").slice(0, 10);
  return `${readable}-seed${seed}-${hash}`;
}
