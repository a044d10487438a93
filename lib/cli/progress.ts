// A progress bar on stderr, for one stage after the other; it prints nothing if progress is off.

import cliProgress from "cli-progress";
import { visible } from "./visible";

/** Where stderr is no terminal, a line at this interval. */
const lineEveryMs = 2000;

export class Progress {
  #bar: cliProgress.SingleBar | undefined;

  constructor(private readonly on: boolean) {}

  /** Begins a stage of `total` steps, in place of the one before. */
  start(stage: string, total: number): void {
    this.stop();
    if (!this.on || total === 0) return;
    this.#bar = new cliProgress.SingleBar(
      {
        format: "{stage} {bar} {percentage}% | {value}/{total}{note} | {eta_formatted} left",
        stream: process.stderr,
        noTTYOutput: true,
        notTTYSchedule: lineEveryMs,
        etaBuffer: 50,
        hideCursor: false, // a process that is killed could not show it again
        clearOnComplete: true,
        forceRedraw: true,
        gracefulExit: false, // its own handler of SIGINT would end the process
        barsize: 30,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(total, 0, { stage: visible(stage), note: "" });
  }

  update(done: number, note?: string): void {
    this.#bar?.update(done, { note: note === undefined ? "" : ` | ${note}` });
  }

  /** Makes room for a line of text; the next update draws the bar again. */
  clear(): void {
    if (this.#bar !== undefined && process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
