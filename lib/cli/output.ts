// Results on stdout: at the reader's pace, and quietly no more once the reader has gone.

import { once } from "node:events";
import type { Progress } from "./progress";

export class Output {
  #closed = false;
  #whenClosed: (() => void) | undefined;

  constructor(private readonly progress: Progress) {
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      this.#closed = true;
      this.#whenClosed?.();
    });
  }

  /** Calls back when the reader of stdout has gone, as `head` does. */
  onClosed(callback: () => void): void {
    this.#whenClosed = callback;
  }

  /** Prints lines; resolves when the reader has room for more. */
  async print(text: string): Promise<void> {
    if (this.#closed) return;
    if (process.stdout.isTTY) this.progress.clear(); // the bar would stay in the line
    if (!process.stdout.write(`${text}\n`) && !this.#closed) {
      await Promise.race([once(process.stdout, "drain"), once(process.stdout, "close")]).catch(() => undefined); // EPIPE comes to the listener
    }
  }

  /** One value as one line of JSON. */
  json(value: unknown): Promise<void> {
    return this.print(JSON.stringify(value));
  }
}

/** Without this, a reader that leaves (`libtorch-ood doctor | head -1`) ends the process with a stack trace. */
export function tolerateClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}
