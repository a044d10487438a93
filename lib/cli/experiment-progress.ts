// Shows the progress of an experiment on stderr, with an estimate of the time left. On a terminal: bars for its runs, the seeds of a cell and the epochs
// of a network. Elsewhere: a line per measurement.

import { MultiBar, type SingleBar } from "cli-progress";
import type { ExperimentEvent, MeasurementRow, Plan, PlannedRun } from "../experiment";
import { errorText, visible } from "./visible";

export interface Progress {
  show(event: ExperimentEvent): void;
  stop(): void;
}

/**
 * Bars where the stream is a terminal, lines where it is not.
 *
 * @param wanted false: nothing
 */
export function showProgress(stream: NodeJS.WriteStream, wanted = true): Progress {
  if (!wanted) return { show: () => undefined, stop: () => undefined };
  const left = new TimeLeft();
  return stream.isTTY ? new Bars(stream, left) : new Lines(stream, left);
}

/** ResNet50 takes about this many times as long as ResNet18 per image. */
const costOf = { 18: 1, 50: 3 } as const;

/** Estimates the time left from what this process has trained so far: epochs, weighted by what the architecture costs. */
export class TimeLeft {
  #work = new Map<PlannedRun, number>();
  #finished = new Set<PlannedRun>();
  #running: { run: PlannedRun; from: number; done: number } | undefined;
  #measured = 0;
  #seconds = 0;
  #since = 0;

  constructor(private readonly now: () => number = () => performance.now() / 1000) {}

  plan({ runs }: Plan, done: readonly PlannedRun[]): void {
    for (const run of runs) this.#work.set(run, epochsOf(run) * costPerEpoch(run));
    for (const run of done) this.#finished.add(run);
  }

  /** @param epochs of the run that are done, with fractions */
  at(run: PlannedRun, epochs: number): void {
    if (this.#running?.run !== run) {
      this.#running = { run, from: epochs, done: epochs };
      this.#since = this.now();
      return;
    }
    const now = this.now();
    this.#measured += Math.max(0, epochs - this.#running.done) * costPerEpoch(run);
    this.#seconds += now - this.#since;
    this.#since = now;
    this.#running.done = Math.max(this.#running.done, epochs);
  }

  finish(run: PlannedRun): void {
    this.#finished.add(run);
    if (this.#running?.run === run) this.#running = undefined;
  }

  /** Seconds; undefined before there is anything to judge by. */
  get seconds(): number | undefined {
    if (this.#measured === 0) return undefined;
    let left = 0;
    for (const [run, work] of this.#work) {
      if (this.#finished.has(run)) continue;
      const done = this.#running?.run === run ? this.#running.done * costPerEpoch(run) : 0;
      left += Math.max(0, work - done);
    }
    return (left * this.#seconds) / this.#measured;
  }

  get text(): string {
    const { seconds } = this;
    if (seconds === undefined) return "time left: unknown yet";
    const minutes = Math.round(seconds / 60);
    if (minutes < 1) return "less than a minute left";
    return minutes < 60 ? `${minutes} min left` : `${Math.floor(minutes / 60)} h ${minutes % 60} min left`;
  }
}

function epochsOf({ planned }: PlannedRun): number {
  const { measuredAt, intervention } = planned;
  return (measuredAt.at(-1) as number) + 2 * (intervention?.epochs ?? 0);
}

function costPerEpoch({ planned }: PlannedRun): number {
  return costOf[planned.cell.depth] * planned.cell.width ** 2;
}

/** Epochs of a run that are done: the two phases of an intervention come one after the other. */
function position(run: PlannedRun, event: ExperimentEvent): number | undefined {
  const trained = run.planned.measuredAt.at(-1) as number;
  const before = (phase: MeasurementRow["phase"]): number =>
    phase === "training" ? 0 : trained + (phase === "control" ? (run.planned.intervention?.epochs ?? 0) : 0);
  if (event.type === "batch") return before(event.phase) + event.report.epoch - 1 + event.report.batch / (event.report.batches as number);
  if (event.type !== "measured") return undefined;
  const { phase, epoch } = event.row;
  return before(phase) + epoch - (phase === "training" ? 0 : trained);
}

const barOptions = {
  hideCursor: false, // a process that is killed could not show it again
  gracefulExit: false, // its own handler of SIGINT would end the process
  clearOnComplete: false,
  stopOnComplete: false,
  fps: 4,
  barsize: 24,
};

class Bars implements Progress {
  readonly #bars: MultiBar;
  #runs: SingleBar | undefined;
  #seeds: SingleBar | undefined;
  #epochs: SingleBar | undefined;
  #plan: Plan | undefined;
  readonly #finished = new Set<PlannedRun>();

  constructor(
    stream: NodeJS.WriteStream,
    private readonly left: TimeLeft,
  ) {
    const format = "{what} {bar} {value}/{total} {unit} {note}";
    this.#bars = new MultiBar({ stream, format, ...barOptions });
  }

  show(event: ExperimentEvent): void {
    if (event.type === "planned") return this.#begin(event.plan, event.done, notesOf(event));
    const { run } = event;
    const done = position(run, event);
    if (done !== undefined) this.left.at(run, done);
    const text = textOf(event);
    if (text !== undefined) this.#bars.log(`${visible(text)}\n`);
    if (event.type === "started") this.#start(run);
    else if (event.type === "batch") {
      const { loss, imagesPerSecond } = event.report;
      const note = `${event.phase === "training" ? "" : `${event.phase}, `}loss ${loss.toPrecision(3)}, ${Math.round(imagesPerSecond)} images/s`;
      this.#epochs?.update(Math.floor(done as number), { note });
    } else if (event.type === "measuring") this.#epochs?.update({ note: "measuring" });
    else if (event.type === "measured") this.#epochs?.update(done as number, { note: "" });
    else if (event.type === "waiting")
      this.#epochs?.update({ note: visible(`waiting for process ${event.holder.pid} on ${event.holder.host}`) });
    else this.#end(run);
    this.#runs?.update({ note: this.left.text });
  }

  stop(): void {
    this.#bars.stop();
  }

  #begin(plan: Plan, done: readonly PlannedRun[], notes: readonly string[]): void {
    this.#plan = plan;
    this.left.plan(plan, done);
    for (const run of done) this.#finished.add(run);
    for (const note of notes) this.#bars.log(`${visible(note)}\n`);
    const pad = Math.max(...plan.cells.map(({ cell }) => visible(cell.name).length));
    const bar = (what: string, total: number, value: number, unit: string): SingleBar =>
      this.#bars.create(total, value, { what: what.padEnd(pad), unit, note: "" });
    this.#runs = bar("experiment", plan.runs.length, done.length, "runs");
    this.#seeds = bar("", plan.seeds.length, 0, "seeds");
    this.#epochs = bar("", 1, 0, "epochs");
    this.#pad = pad;
  }

  #pad = 0;

  #start(run: PlannedRun): void {
    const total = epochsOf(run);
    const { name } = run.planned.cell;
    this.#seeds?.update(this.#seedsDone(run), { what: visible(name).padEnd(this.#pad) });
    this.#epochs?.setTotal(total);
    this.#epochs?.update(0, { what: `seed ${run.seed}`.padEnd(this.#pad), note: "" });
  }

  #end(run: PlannedRun): void {
    this.left.finish(run);
    this.#finished.add(run);
    this.#runs?.update(this.#finished.size);
    this.#seeds?.update(this.#seedsDone(run));
  }

  #seedsDone({ planned }: PlannedRun): number {
    const { runs } = this.#plan as Plan;
    return runs.filter((other) => other.planned === planned && this.#finished.has(other)).length;
  }
}

function notesOf({ skipped, warnings }: Extract<ExperimentEvent, { type: "planned" }>): string[] {
  const left = skipped.length > 0 ? [`skipped, not there: ${skipped.join(", ")}`] : [];
  return [...left, ...warnings.map((warning) => `warning: ${warning}`)];
}

class Lines implements Progress {
  #finished = 0;
  #total = 0;

  constructor(
    private readonly stream: NodeJS.WriteStream,
    private readonly left: TimeLeft,
  ) {}

  show(event: ExperimentEvent): void {
    if (event.type === "planned") {
      this.left.plan(event.plan, event.done);
      this.#total = event.plan.runs.length;
      this.#finished = event.done.length;
      for (const note of notesOf(event)) this.#write(note);
      return this.#write(`${this.#finished} of ${this.#total} runs are done`);
    }
    const done = position(event.run, event);
    if (done !== undefined) this.left.at(event.run, done);
    const text = textOf(event);
    if (text !== undefined) this.#write(event.type === "measured" ? `${text}; ${this.left.text}` : text);
    if (event.type !== "finished" && event.type !== "failed") return;
    this.left.finish(event.run);
    this.#finished++;
    this.#write(`${this.#finished} of ${this.#total} runs are done`);
  }

  stop(): void {
    // a line is complete when it is written
  }

  #write(line: string): void {
    this.stream.write(`${visible(line)}\n`);
  }
}

function textOf(event: ExperimentEvent): string | undefined {
  if (event.type === "measured") return rowText(event.row);
  if (event.type === "failed") return errorText(event.error);
  return undefined;
}

function rowText({ cell, seed, phase, epoch, accuracy, ood }: MeasurementRow): string {
  const areas = Object.entries(ood).map(
    ([name, scores]) => `${name} ${(scores["gaussian-mixture"] ?? Object.values(scores)[0])?.auroc.toFixed(3)}`,
  );
  const where = `${cell.name}, seed ${seed}, ${phase === "training" ? "" : `${phase}, `}epoch ${epoch}`;
  return `${where}: accuracy ${accuracy.toFixed(3)}, AUROC ${areas.join(", ")}`;
}
