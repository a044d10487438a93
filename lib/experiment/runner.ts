// Runs an experiment: takes up every cell and seed that no other process has, and leaves the rows in results.jsonl.

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
  /** Where the data sets are. */
  readonly data: string;
  /** Where results and checkpoints go; several processes may share it. */
  readonly out: string;
  /** Default "cpu". */
  readonly device?: string;
  /** Patterns of the names of the cells to run; see {@link planOf}. Default: all. */
  readonly cells?: readonly string[];
  /** Leaves out data sets that are not there instead of throwing. Default false. */
  readonly skipMissing?: boolean;
  /** Keeps the weights of finished runs, in `networks` below `out`. Default false. */
  readonly keepCheckpoints?: boolean;
  /** The command line that does this again, for the header. */
  readonly command?: string;
  /** Name of the preset that the configuration is of, for the header. */
  readonly preset?: string;
  /** Of the configuration, for messages. Default: that of the preset, or "configuration". */
  readonly name?: string;
  /** Default: those of the library. */
  readonly readers?: DatasetReaders;
  /** Aborts the run, which then throws ERR_ABORTED and goes on when it is started again. */
  readonly signal?: AbortSignal;
  /** Receives every event of the run. */
  readonly onProgress?: (event: ExperimentEvent) => void;
}

/** What happens in a run, told apart by its `type`. */
export type ExperimentEvent =
  | {
      /** The plan is made and the data sets are read. */
      readonly type: "planned";
      /** What is run. */
      readonly plan: Plan;
      /** Out-of-distribution sets that were not there. */
      readonly skipped: readonly OodName[];
      /** Runs that the folder holds already. */
      readonly done: readonly PlannedRun[];
      /** About the data. */
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
      /** How far the epoch is. */
      readonly report: BatchReport;
    }
  | {
      /** A measurement begins. */
      readonly type: "measuring";
      /** The run. */
      readonly run: PlannedRun;
      /** The part of the run. */
      readonly phase: Phase;
      /** Epochs done. */
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
      /** Who is doing it. */
      readonly holder: Holder;
    };

/** What a run came to. */
export interface ExperimentSummary {
  /** All of the plan that have their rows. */
  readonly finished: readonly PlannedRun[];
  /** Networks that gave no numbers: training diverged, or features had no variance. */
  readonly failed: readonly {
    /** The run. */
    readonly run: PlannedRun;
    /** Why it gave no numbers. */
    readonly error: LibtorchOodError;
  }[];
  /** Out-of-distribution sets that were not there, where `skipMissing` leaves them out. */
  readonly skipped: readonly OodName[];
}

/** What a network may come to; anything else (a full disk, no memory, an abort) ends the experiment. */
const failures: readonly ErrorCode[] = ["ERR_NON_FINITE", "ERR_NOT_POSITIVE_DEFINITE", "ERR_RANGE"];
const waitMs = 2_000;

/**
 * Runs what a folder lacks of an experiment. It may be stopped at any moment, also by `kill -9`, and started again; on the CPU, with the same
 * number of threads, the rows are those of an uninterrupted run but for their timings.
 *
 * @throws ERR_OPTION where the configuration is wrong or the folder holds results of another; ERR_IO naming data sets that are not there;
 *   ERR_CORRUPT_FILE, ERR_ABORTED, ERR_OUT_OF_MEMORY, ERR_DEVICE; ERR_BUSY where another process took this one for dead
 */
export async function run(configuration: Configuration, options: ExperimentOptions): Promise<ExperimentSummary> {
  const { plan, data, header } = await prepare(configuration, options);
  const results = await ResultsFile.open(options.out, header);
  return new Experiment(plan, data, results, options).run(options.signal);
}

/**
 * What {@link run} would do: the plan, the device, the data sets and the folder of results, checked as it does; nothing is trained, and
 * nothing is left in the folder.
 *
 * @throws as {@link run} before it trains
 */
export async function preview(configuration: Configuration, options: ExperimentOptions): Promise<ExperimentPreview> {
  await requireWritableFolder(options.out, resultsFileName);
  const { plan, data, header } = await prepare(configuration, options);
  await ResultsFile.check(options.out, header);
  return { plan, data };
}

/** What {@link preview} found. */
export interface ExperimentPreview {
  /** What would run. */
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

  /** A run that was killed after its last row has left its checkpoints; one that another process is about to put away is left to it. */
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
