// Writes results to stdout at the reader's pace, and stops quietly when the reader has gone. Handles errors of stdout and stderr themselves.

import { once } from "node:events";
import type { Progress } from "./progress";
import { visible, visibleJson, visibleLines } from "./visible";

let stdoutOver = false;
const whenOver: (() => void)[] = [];

/**
 * Handles errors of stdout and stderr for the whole process. Call it before anything is written. Without this a reader that leaves (`libtorch-ood doctor | head -1`) and a full disk behind stdout
 * or stderr end the process with a stack trace. The work goes on in both cases, since its result may be a file.
 *
 * @param failed - called for a full disk and its like, not for a reader that leaves; one line on stderr says why, where stderr itself is sound
 */
export function watchStandardStreams(failed: () => void): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    const first = !stdoutOver;
    stdoutOver = true;
    if (!first) return;
    if (error.code !== "EPIPE") {
      failed();
      process.stderr.write(`ERR_IO: cannot write to stdout: ${visible(error.message)}\n`);
    }
    for (const callback of whenOver) callback();
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") failed();
  });
}

export class Output {
  constructor(private readonly progress: Progress) {}

  /** Calls back when nothing can be written to stdout any more: its reader has gone, as `head` does, or its disk is full. */
  onClosed(callback: () => void): void {
    whenOver.push(callback);
    if (stdoutOver) callback();
  }

  /** Prints lines, of which each has been made {@link visible}; resolves when the reader has room for more. */
  async print(text: string): Promise<void> {
    await this.#write(visibleLines(text));
  }

  /** One value as one line of JSON. */
  async json(value: unknown): Promise<void> {
    await this.#write(visibleJson(value));
  }

  async #write(text: string): Promise<void> {
    if (stdoutOver) return;
    if (process.stdout.isTTY) this.progress.clear(); // the bar would stay in the line
    if (!process.stdout.write(`${text}\n`) && !stdoutOver) {
      await Promise.race([once(process.stdout, "drain"), once(process.stdout, "close")]).catch(() => undefined); // errors come to the listener
    }
  }
}
