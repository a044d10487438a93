// The common part of every long command: an AbortSignal that Ctrl-C fires, progress and notes on stderr, results on stdout, and an exit code.

import type { Command } from "commander";
import { isLibtorchOodError } from "../core/errors";
import type { Truncated } from "../images/failure";
import { abortError } from "../native/call";
import { receiveWarnings } from "../core/warnings";
import { Output } from "./output";
import { Progress } from "./progress";
import { Skipped } from "./skipped";
import { visible } from "./visible";

/** Exit codes of the process; `outOfDistribution` only with `score --fail-on-ood`. */
export const exitCodes = { ok: 0, error: 1, usage: 2, outOfDistribution: 3, interrupted: 130, terminated: 143 } as const;

export const exitCodesHelp = `Exit codes: 0 done, 1 error (its code and reason on stderr), 2 wrong usage, 130 interrupted by Ctrl-C.`;

export interface SessionOptions {
  /** Whether to show progress; undefined for yes on a terminal. */
  progress?: boolean;
  json?: boolean;
  /** The option --skip-errors of commands that have it. */
  skipErrors?: boolean;
  /** The option --max-pixels of commands that have it. */
  maxPixels?: number;
  /** The option --accept-truncated of commands that have it. */
  acceptTruncated?: boolean;
}

export interface Session {
  readonly signal: AbortSignal;
  readonly progress: Progress;
  readonly output: Output;
  /** A line for people, on stderr, with whatever is hidden in it made visible. */
  readonly note: (text: string) => void;
  /** Collects the images that cannot be read; undefined without --skip-errors. */
  readonly skipped: Skipped | undefined;
  /** Largest number of pixels of an image file; undefined for the library's default. */
  readonly maxPixels: number | undefined;
  /** What becomes of an image file whose end is missing. */
  readonly truncated: Truncated;
  /** Ends work that takes no signal. @throws ERR_ABORTED after an abort */
  readonly throwIfAborted: () => void;
}

export interface SessionRules {
  /** Message after an interruption: what has been written, and how to continue. */
  interrupted?: () => string;
  /** Whether the command ends, successfully, when nobody reads stdout any more. Default false, for a command whose result is a file. */
  endsWithOutput?: boolean;
}

/** The options that {@link runSession} serves. */
export function addSessionOptions(command: Command): Command {
  return command
    .optionsGroup("Output:")
    .option("--json", "print the result as JSON")
    .option("--progress", "show progress even if stderr is no terminal")
    .option("--no-progress", "show no progress");
}

/**
 * Runs the work of a command. SIGINT and SIGTERM abort its signal; a second one ends the process at once. The caller prints what the work throws, except
 * for the abort itself.
 */
export async function runSession(
  options: SessionOptions,
  work: (session: Session) => Promise<void>,
  { interrupted, endsWithOutput = false }: SessionRules = {},
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const progress = new Progress(options.progress ?? Boolean(process.stderr.isTTY));
  const output = new Output(progress);
  let exitCode: number | undefined;
  const stop = (name: NodeJS.Signals): void => {
    const code = name === "SIGTERM" ? exitCodes.terminated : exitCodes.interrupted;
    if (exitCode !== undefined) process.exit(code);
    exitCode = code;
    controller.abort(new Error(name));
  };
  if (endsWithOutput) output.onClosed(() => controller.abort(new Error("stdout was closed")));
  const handled: NodeJS.Signals[] = ["SIGINT", "SIGTERM"];
  for (const name of handled) process.on(name, stop);
  const note = (text: string): void => {
    progress.clear();
    process.stderr.write(`${visible(text)}\n`);
  };
  const skipped = options.skipErrors ? new Skipped(note) : undefined;
  const throwIfAborted = (): void => {
    if (signal.aborted) throw abortError(signal);
  };
  const restoreWarnings = receiveWarnings((message) => note(`warning: ${message}`));
  try {
    await work({
      signal,
      progress,
      output,
      note,
      skipped,
      maxPixels: options.maxPixels,
      truncated: options.acceptTruncated ? "accept" : "refuse",
      throwIfAborted,
    });
  } catch (error) {
    if (!signal.aborted || !isLibtorchOodError(error) || error.code !== "ERR_ABORTED") throw error;
    if (exitCode === undefined) return; // nobody reads on
    progress.stop(); // its last line comes before the note
    note(`interrupted${interrupted === undefined ? "" : `; ${interrupted()}`}`);
    process.exitCode = exitCode;
  } finally {
    progress.stop();
    restoreWarnings();
    for (const name of handled) process.off(name, stop);
  }
}
