// Runs one cell with one seed: training from measurement to measurement, and then the two phases of an intervention.
//
// Training ends at each epoch that is to be measured, with its checkpoint on the disk. Then the row is written and flushed. Only then training continues,
// from that checkpoint. Whenever the process is killed, the checkpoint is therefore never past a measurement that has no row. What is lost is lost from
// the checkpoint on, and on the CPU it is computed again bit for bit.

import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { io, systemCode } from "../core/file-errors";
import { requireDirectory } from "../core/make-directory";
import { ResNet, type BatchReport, type Dataset, type EpochReport, type FitOptions } from "../index";
import type { ResolvedConfiguration } from "./configuration";
import type { ExperimentData } from "./data";
import { measure, type Measured } from "./measurement";
import { rowKey, type PlannedIntervention, type PlannedRun } from "./plan";
import type { MeasurementRow, Phase } from "./rows";

/** Folder of the checkpoints of runs that are not finished. */
export const checkpointsFolder = "checkpoints";
/** Folder of the checkpoints of finished runs, if they are kept. */
export const networksFolder = "networks";

/** The part of an experiment that a run needs. */
export interface RunContext {
  readonly configuration: ResolvedConfiguration;
  readonly data: ExperimentData;
  /** Folder of the runs. */
  readonly directory: string;
  readonly device: string;
  readonly keepCheckpoints: boolean;
  readonly signal: AbortSignal | undefined;
  /** The row of a {@link rowKey}, if it is written already. */
  readonly written: (key: string) => MeasurementRow | undefined;
  /** Resolves when the row is on the disk. */
  readonly write: (row: MeasurementRow) => Promise<void>;
  readonly onBatch?: (phase: Phase, report: BatchReport) => void;
  readonly onMeasuring?: (phase: Phase, epoch: number) => void;
}

/** A part of the training of one network, with one loss. */
interface TrainingPhase {
  readonly name: Phase;
  /** Number of epochs of the network before this part. */
  readonly before: number;
  readonly measuredAt: readonly number[];
  readonly checkpoint: string;
  readonly fit: FitOptions;
  /** The network that the part begins with if there is no checkpoint yet. */
  readonly start: () => Promise<ResNet>;
}

/** The keys of all rows that a run writes. */
export function keysOf({ planned, seed }: PlannedRun): string[] {
  const { cell, measuredAt, intervention } = planned;
  const end = measuredAt.at(-1) as number;
  const keys = (phase: Phase, epochs: readonly number[]): string[] => epochs.map((epoch) => rowKey({ cell, seed, phase, epoch }));
  const after = intervention ? intervention.measuredAt.map((epoch) => end + epoch) : [];
  return [...keys("training", measuredAt), ...keys("nc-loss", after), ...keys("control", after)];
}

/**
 * Trains and measures the part of a run that has no rows yet.
 *
 * @throws ERR_NON_FINITE if training diverges; ERR_IO if a file cannot be read or written; ERR_ABORTED after an abort; ERR_OUT_OF_MEMORY; and what
 *   {@link measure} throws
 */
export async function completeRun(run: PlannedRun, context: RunContext): Promise<void> {
  const { planned, seed } = run;
  const { cell, intervention, measuredAt } = planned;
  const { data, device } = context;
  const directory = join(context.directory, checkpointsFolder, run.id);
  requireDirectory(directory);
  const checkpoint = (phase: Phase): string => join(directory, `${phase}.safetensors`);
  const phases: TrainingPhase[] = [
    {
      name: "training",
      before: 0,
      measuredAt,
      checkpoint: checkpoint("training"),
      fit: { ...fitOptions(context, seed), epochs: cell.epochs, milestones: cell.milestones, batchSize: cell.batchSize },
      start: () =>
        ResNet.create({
          ...{ depth: cell.depth, width: cell.width, featureDim: cell.featureDim },
          ...{ spectralNorm: cell.spectralNorm ? {} : false, leakyRelu: cell.avgPoolShortcut, avgPoolShortcut: cell.avgPoolShortcut },
          l2Normalize: cell.l2Normalize,
          numClasses: data.train.classNames.length,
          inChannels: data.train.shape[0],
          imageSize: data.train.shape[1],
          ...{ seed, device },
        }),
    },
  ];
  if (intervention) {
    const end = measuredAt.at(-1) as number;
    const begin = () => ResNet.load(checkpoint("training"), { device });
    const after = (name: "nc-loss" | "control", extra: Pick<FitOptions, "batchSize" | "loss">): TrainingPhase => ({
      name,
      before: end,
      measuredAt: intervention.measuredAt,
      checkpoint: checkpoint(name),
      fit: { ...fitOptions(context, seed), ...interventionOptions(intervention), ...extra },
      start: begin,
    });
    phases.push(after("nc-loss", { batchSize: intervention.batchSize, loss: "neural-collapse" }));
    phases.push(after("control", { batchSize: cell.batchSize }));
  }
  for (const [index, phase] of phases.entries()) {
    const needed = index === 0 && phases.slice(1).some((later) => !isWritten(run, later, context));
    await complete(run, phase, context, needed);
  }
  await putAway(run.id, context);
}

/**
 * Puts away the checkpoints of a run whose rows are all written. It removes their whole folder, since a killed writer may have left a file beside them, or
 * moves them to the folder of finished networks. The next run puts away those of a run that was killed between its last row and this.
 *
 * @throws ERR_IO if a file cannot be moved or removed
 */
export async function putAway(
  id: string,
  { directory, keepCheckpoints }: Pick<RunContext, "directory" | "keepCheckpoints">,
): Promise<void> {
  const checkpoints = join(directory, checkpointsFolder, id);
  if (!keepCheckpoints) return io("remove", checkpoints, rm(checkpoints, { recursive: true, force: true }));
  if (!existsSync(checkpoints)) return;
  const kept = join(directory, networksFolder, id);
  requireDirectory(join(directory, networksFolder));
  await io("remove", kept, rm(kept, { recursive: true, force: true }));
  await io("move", checkpoints, rename(checkpoints, kept));
}

/** Trains and measures one part. @param needed - whether its last checkpoint is needed even if all rows are written, since other parts begin with it */
async function complete(run: PlannedRun, phase: TrainingPhase, context: RunContext, needed: boolean): Promise<void> {
  const { checkpoint, measuredAt } = phase;
  const end = measuredAt.at(-1) as number;
  const missing = measuredAt.filter((epoch) => !context.written(keyOf(run, phase, epoch)));
  const targets = needed && !missing.includes(end) ? [...missing, end] : missing;
  const first = targets[0];
  if (first === undefined) return;
  // Rows of earlier epochs were asked for later, or this file has lost its rows: the way there has to be gone again.
  if ((await epochsIn(checkpoint)) > first) await io("remove", checkpoint, rm(checkpoint, { force: true }));
  const model = await phase.start();
  try {
    for (const epoch of targets) {
      const history = await model.fit(context.data.train, {
        ...phase.fit,
        epochs: epoch,
        ...{ checkpoint, resume: true },
        onBatch: (report) => context.onBatch?.(phase.name, report),
      });
      if (missing.includes(epoch)) await measureAndWrite(run, phase, context, model, history.slice(0, epoch));
    }
  } finally {
    model.dispose();
  }
}

async function measureAndWrite(
  run: PlannedRun,
  phase: TrainingPhase,
  context: RunContext,
  model: ResNet,
  history: EpochReport[],
): Promise<void> {
  const { planned, seed } = run;
  const { configuration, data, signal } = context;
  const { scores, singularValues, samples } = configuration.measurements;
  const epoch = history.length;
  const last = epoch === (phase.name === "training" ? planned.cell.epochs : phase.measuredAt.at(-1));
  context.onMeasuring?.(phase.name, phase.before + epoch);
  const started = performance.now();
  const { notes, ...measured }: Measured = await measure(model, data, {
    ...{ scores, mixture: configuration.mixture, precision: configuration.training.precision },
    ...{ singularValues: last ? singularValues : 0, samples: last ? samples : 0, signal },
  });
  const report = history.at(-1) as EpochReport;
  await context.write({
    kind: "measurement",
    ...{ cell: planned.cell, seed, phase: phase.name, epoch: phase.before + epoch, final: last },
    inDistribution: data.name,
    ...{ loss: report.loss, validationAccuracy: report.validationAccuracy, learningRate: report.learningRate },
    ...measured,
    scaled: [...planned.scaled, ...notes],
    seconds: {
      training: history.reduce((sum, { seconds }) => sum + seconds, 0),
      measurement: (performance.now() - started) / 1000,
    },
    at: new Date().toISOString(),
  });
}

function fitOptions({ configuration, data, signal }: RunContext, seed: number): Omit<FitOptions, "epochs"> & { validation: Dataset } {
  const { learningRate, momentum, weightDecay, gamma, augmentation, precision } = configuration.training;
  return { learningRate, momentum, weightDecay, gamma, augmentation, precision, seed, validation: data.validation, signal };
}

function interventionOptions({ epochs, learningRate, milestones }: PlannedIntervention) {
  return { epochs, learningRate, milestones };
}

function keyOf({ planned, seed }: PlannedRun, { name, before }: TrainingPhase, epoch: number): string {
  return rowKey({ cell: planned.cell, seed, phase: name, epoch: before + epoch });
}

function isWritten(run: PlannedRun, phase: TrainingPhase, context: RunContext): boolean {
  return phase.measuredAt.every((epoch) => context.written(keyOf(run, phase, epoch)));
}

/** Number of epochs that a checkpoint has done; 0 without a checkpoint. */
async function epochsIn(path: string): Promise<number> {
  try {
    return (await ResNet.describe(path)).epochsDone ?? 0;
  } catch (error) {
    if (systemCode((error as { cause?: unknown }).cause) === "ENOENT") return 0;
    throw error;
  }
}
