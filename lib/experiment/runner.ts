// Runs an experiment: takes each cell and seed that no other process has taken, and writes its rows to results.jsonl.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { isLibtorchOodError, LibtorchOodError, type ErrorCode } from "../core/errors";
import { requireWritableFolder } from "../formats/writable";
import { device as devices, type BatchReport } from "../index";
import { isLease, tryLease, type Lease, type Holder } from "../formats/lease";
import { resolveConfiguration, type Configuration } from "./configuration";
import { datasetReaders, loadData, referencesOf, type DatasetReaders, type ExperimentData } from "./data";
import { headerOf, madeHere } from "./identity";
import { planOf, type Plan, type PlannedRun } from "./plan";
import { withPrecision } from "./precision";
import { leasesFolder, ResultsFile, resultsFileName } from "./results-file";
import type { MeasurementRow, OodName, Phase } from "./rows";
import { checkpointsFolder, completeRun, keysOf, putAway } from "./training-run";

/** Options of {@link run}. */
export interface ExperimentOptions {
  /** Folder with the data sets. */
  readonly data: string;
  /** Folder for results and checkpoints. Several processes may share it. */
  readonly out: string;
  /** Device of the networks: "cpu", "cuda" or "cuda:N". Default "cpu". */
  readonly device?: string;
  /** Patterns of the names of the cells to run; see {@link planOf}. Default: all cells. */
  readonly cells?: readonly string[];
  /** Missing out-of-distribution sets are left out instead of throwing ERR_IO. Default false. */
  readonly skipMissing?: boolean;
  /** The weights of finished runs are kept, in `networks` below `out`. Default false. */
  readonly keepCheckpoints?: boolean;
  /** Command line that repeats the run, for the header. */
  readonly command?: string;
  /** Name of the preset that the configuration is from, for the header. */
  readonly preset?: string;
  /** Name of the configuration in messages. Default: that of the preset, or "configuration". */
  readonly name?: string;
  /** Readers of the data sets, by name. Default: those of the library. */
  readonly readers?: DatasetReaders;
  /** Signal that ends the run with ERR_ABORTED. Starting it again continues it. */
  readonly signal?: AbortSignal;
  /** Function that receives every event of the run. */
  readonly onProgress?: (event: ExperimentEvent) => void;
}

/** An event of a run; `type` says which. */
export type ExperimentEvent =
  | {
      /** The plan is made and the data sets are read. */
      readonly type: "planned";
      /** The plan. */
      readonly plan: Plan;
      /** Out-of-distribution sets that were not there. */
      readonly skipped: readonly OodName[];
      /** Runs that the folder holds already. */
      readonly done: readonly PlannedRun[];
      /** Warnings about the data. */
      readonly warnings: readonly string[];
    }
  | {
      /** A network begins. */
      readonly type: "started";
      /** The run. */
      readonly run: PlannedRun;
    }
  | {
      /** A batch is done; sent about ten times a second. */
      readonly type: "batch";
      /** The run. */
      readonly run: PlannedRun;
      /** The part of the run. */
      readonly phase: Phase;
      /** Progress of the epoch. */
      readonly report: BatchReport;
    }
  | {
      /** A measurement begins. */
      readonly type: "measuring";
      /** The run. */
      readonly run: PlannedRun;
      /** The part of the run. */
      readonly phase: Phase;
      /** Number of epochs done. */
      readonly epoch: number;
    }
  | {
      /** A measurement is done. */
      readonly type: "measured";
      /** The run. */
      readonly run: PlannedRun;
      /** The row that the folder now holds. */
      readonly row: MeasurementRow;
    }
  | {
      /** A network is finished, by this process or by another. */
      readonly type: "finished";
      /** The run. */
      readonly run: PlannedRun;
    }
  | {
      /** A network gave no numbers. */
      readonly type: "failed";
      /** The run. */
      readonly run: PlannedRun;
      /** Why. */
      readonly error: LibtorchOodError;
    }
  | {
      /** Other processes are doing everything that is left. */
      readonly type: "waiting";
      /** One of the runs that are left. */
      readonly run: PlannedRun;
      /** The process that does it. */
      readonly holder: Holder;
    };

/** Result of {@link run}. */
export interface ExperimentSummary {
  /** Runs of the plan whose rows are all written. */
  readonly finished: readonly PlannedRun[];
  /** Runs whose network gave no numbers because training diverged or features had no variance. */
  readonly failed: readonly {
    /** The run. */
    readonly run: PlannedRun;
    /** The error that says why it gave no numbers. */
    readonly error: LibtorchOodError;
  }[];
  /** Out-of-distribution sets that were not there, where `skipMissing` leaves them out. */
  readonly skipped: readonly OodName[];
}

/** Errors that end one run; any other error (a full disk, no memory, an abort) ends the experiment. */
const failures: readonly ErrorCode[] = ["ERR_NON_FINITE", "ERR_NOT_POSITIVE_DEFINITE", "ERR_RANGE"];
const waitMs = 2_000;

/**
 * Runs the part of an experiment that a folder lacks. The run may be stopped at any moment, also by `kill -9`, and started again. On the CPU, with the
 * same number of threads, the rows are then those of an uninterrupted run but for their timings.
 *
 * @param configuration - a preset or a configuration of your own
 * @param options - folders of data and results, device, and which cells to run
 * @returns the runs that are finished and those that failed
 * @throws ERR_OPTION if the configuration is wrong, or if the folder holds results of another configuration; ERR_IO if data sets are missing, naming
 *   them, and if a file cannot be read or written; ERR_CORRUPT_FILE for a damaged data set or results file; ERR_DEVICE if the device is unavailable;
 *   ERR_BUSY if another process has taken over a run of this one, which it took for dead; ERR_ABORTED after an abort; ERR_OUT_OF_MEMORY
 * @example
 * import * as experiments from "libtorch-ood/experiments";
 *
 * const configuration = experiments.experimentPreset("table1");
 * const { finished, failed } = await experiments.run(configuration, { data: "data", out: "runs", device: "cuda" });
 */
export async function run(configuration: Configuration, options: ExperimentOptions): Promise<ExperimentSummary> {
  const { plan, data, header } = await prepare(configuration, options);
  const results = await ResultsFile.open(options.out, header);
  return new Experiment(plan, data, results, options).run(options.signal);
}

/**
 * Tells what {@link run} would do. It makes the plan and checks the device, the data sets and the folder of results as {@link run} does. It trains
 * nothing and leaves nothing in the folder.
 *
 * @param configuration - a preset or a configuration of your own
 * @param options - the options of {@link run}
 * @throws what {@link run} throws before it trains
 * @example
 * const { plan } = await experiments.preview(experiments.experimentPreset("table1"), { data: "data", out: "runs" });
 * console.log(plan.runs.length);
 */
export async function preview(configuration: Configuration, options: ExperimentOptions): Promise<ExperimentPreview> {
  await requireWritableFolder(options.out, resultsFileName);
  const { plan, data, header } = await prepare(configuration, options);
  await ResultsFile.check(options.out, header);
  return { plan, data };
}

/** Result of {@link preview}. */
export interface ExperimentPreview {
  /** The plan that would run. */
  readonly plan: Plan;
  /** The data sets, as they were read. */
  readonly data: ExperimentData;
}

async function prepare(configuration: Configuration, options: ExperimentOptions) {
  const checked = resolveConfiguration(configuration, options.name ?? options.preset ?? "configuration");
  const device = options.device ?? "cpu";
  devices.requireDevice(device); // before data sets are read, which may take minutes
  const resolved = await withPrecision(checked, options.out, device);
  const plan = planOf(resolved, options.cells);
  const data = await loadData(resolved, {
    directory: options.data,
    readers: options.readers ?? datasetReaders,
    skipMissing: options.skipMissing ?? false,
  });
  const { name: inDistribution, hashes, resized, conformed, train } = data;
  const recorded = {
    ...{ ...resolved, inDistribution, outOfDistribution: [...data.ood.keys()] },
    ...{ data: hashes, resized, conformed, classNames: train.classNames, references: referencesOf(resolved) },
  };
  return { plan, data, header: headerOf(recorded, options.preset, madeHere(device, options.command)) };
}

class Experiment {
  readonly #finished = new Set<PlannedRun>();
  readonly #failed = new Map<PlannedRun, LibtorchOodError>();

  constructor(
    private readonly plan: Plan,
    private readonly data: ExperimentData,
    private readonly results: ResultsFile,
    private readonly options: ExperimentOptions,
  ) {}

  async run(signal: AbortSignal | undefined): Promise<ExperimentSummary> {
    const { runs } = this.plan;
    const { skipped, warnings } = this.data;
    for (const run of runs) {
      if (!this.#isComplete(run)) continue;
      this.#finished.add(run);
      await this.#clear(run);
    }
    this.#tell({ type: "planned", plan: this.plan, skipped, done: [...this.#finished], warnings });
    for (;;) {
      const open = runs.filter((run) => !this.#finished.has(run) && !this.#failed.has(run));
      if (open.length === 0) break;
      let elsewhere: { run: PlannedRun; holder: Holder } | undefined;
      let progress = false;
      for (const run of open) {
        const lease = await tryLease(join(this.options.out, leasesFolder), run.id);
        if (isLease(lease)) {
          progress = true;
          await this.#leased(run, lease, signal);
        } else elsewhere ??= { run, holder: lease };
      }
      if (progress || elsewhere === undefined) continue;
      this.#tell({ type: "waiting", ...elsewhere });
      await wait(signal);
      await this.results.refresh();
      for (const run of open) if (this.#isComplete(run)) this.#finish(run);
    }
    return { finished: [...this.#finished], failed: [...this.#failed].map(([run, error]) => ({ run, error })), skipped };
  }

  async #leased(run: PlannedRun, lease: Lease, signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.results.refresh();
      if (this.#isComplete(run)) {
        await putAway(run.id, this.#place);
        return this.#finish(run);
      }
      this.#tell({ type: "started", run });
      await completeRun(run, {
        configuration: this.plan.configuration,
        data: this.data,
        ...this.#place,
        device: this.options.device ?? "cpu",
        signal,
        written: (key) => this.results.get(key),
        write: async (row) => {
          await this.results.append(row, () => lease.held());
          this.#tell({ type: "measured", run, row });
        },
        onBatch: (phase, report) => this.#tell({ type: "batch", run, phase, report }),
        onMeasuring: (phase, epoch) => this.#tell({ type: "measuring", run, phase, epoch }),
      });
      this.#finish(run);
    } catch (error) {
      if (!isLibtorchOodError(error) || !failures.includes(error.code)) throw error;
      const { cell } = run.planned;
      const named = new LibtorchOodError(error.code, `${cell.name}, seed ${run.seed}: ${error.message}`, { cause: error });
      this.#failed.set(run, named);
      this.#tell({ type: "failed", run, error: named });
    } finally {
      await lease.release();
    }
  }

  /** Puts away the checkpoints of a run that was killed after its last row, unless another process is about to. */
  async #clear({ id }: PlannedRun): Promise<void> {
    if (!existsSync(join(this.options.out, checkpointsFolder, id))) return;
    const lease = await tryLease(join(this.options.out, leasesFolder), id);
    if (!isLease(lease)) return;
    try {
      await putAway(id, this.#place);
    } finally {
      await lease.release();
    }
  }

  get #place() {
    return { directory: this.options.out, keepCheckpoints: this.options.keepCheckpoints ?? false };
  }

  #isComplete(run: PlannedRun): boolean {
    return keysOf(run).every((key) => this.results.get(key) !== undefined);
  }

  #finish(run: PlannedRun): void {
    this.#finished.add(run);
    this.#tell({ type: "finished", run });
  }

  #tell(event: ExperimentEvent): void {
    this.options.onProgress?.(event);
  }
}

async function wait(signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(waitMs, undefined, signal && { signal });
  } catch (cause) {
    throw new LibtorchOodError("ERR_ABORTED", "the experiment was stopped while it waited for another process", { cause });
  }
}
