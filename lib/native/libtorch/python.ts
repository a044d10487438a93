// The Python that `setup` uses to run pip, and that discovery may ask where its torch is. It never runs what lies in the current directory: not a
// python3, a pip.py or a torch there.

import { spawn, spawnSync } from "node:child_process";
import { LibtorchOodError } from "../../core/errors";
import { pythonEnvironment, trustedDirectory } from "./environment";

/** A command that starts a Python 3 which has pip. */
export interface Python {
  readonly command: readonly [string, ...string[]];
  /** Pip's options that choose wheels of another Python version, where PyTorch has none for this one. */
  readonly wheelOptions: readonly string[];
}

const candidates: readonly Python["command"][] = [["python3"], ["python"], ["py", "-3"]];

// PyTorch publishes wheels for these; the libraries in them are the same whatever the version.
const oldest = 10;
const newest = 14;

/** @throws LibtorchOodError `ERR_LIBTORCH_NOT_FOUND` naming the command that installs what is missing. */
export function findPython(environment: NodeJS.ProcessEnv): Python {
  let withoutPip: string | undefined;
  for (const command of candidates) {
    const minor = pythonMinor(command, environment);
    if (minor === undefined) continue;
    if (runPython(command, ["-m", "pip", "--version"], environment) === undefined) {
      withoutPip ??= command.join(" ");
      continue;
    }
    const fits = minor >= oldest && minor <= newest;
    return { command, wheelOptions: fits ? [] : ["--python-version", "3.12", "--only-binary=:all:"] };
  }
  throw new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", withoutPip === undefined ? noPython() : noPip(withoutPip));
}

function pythonMinor(command: Python["command"], environment: NodeJS.ProcessEnv): number | undefined {
  const version = runPython(command, ["-c", "import sys; print(*sys.version_info[:2])"], environment);
  const [major, minor] = (version ?? "").trim().split(" ").map(Number);
  return major === 3 ? minor : undefined;
}

/** What it prints; undefined where it cannot be run or fails. */
export function runPython(
  [program, ...first]: Python["command"],
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
): string | undefined {
  try {
    const { status, stdout } = spawnSync(program, [...first, ...args], { ...startOptions(environment), encoding: "utf8" });
    return status === 0 ? stdout : undefined;
  } catch {
    return undefined; // Node's --permission allows no processes
  }
}

function startOptions(environment: NodeJS.ProcessEnv): { cwd: string; env: NodeJS.ProcessEnv } {
  return { cwd: trustedDirectory, env: pythonEnvironment(environment) };
}

const alternative = "Or point LIBTORCH at a libtorch that you have.";

function noPython(): string {
  const install = process.platform === "darwin" ? "brew install python" : "sudo apt install python3 python3-pip";
  return `Python 3 with pip is needed to fetch libtorch, and none of python3, python and py is on the PATH. Install it:\n  ${install}\n${alternative}`;
}

function noPip(python: string): string {
  const install = process.platform === "linux" ? "sudo apt install python3-pip" : `${python} -m ensurepip --upgrade`;
  return `pip is needed to fetch libtorch, and \`${python}\` has none. Install it:\n  ${install}\n${alternative}`;
}

/**
 * Runs pip, showing its progress where the error stream is a terminal.
 *
 * @returns undefined if it succeeded, else the end of what it said.
 * @throws LibtorchOodError `ERR_ABORTED` when the signal fires, or somebody else stops pip.
 */
export function pip(
  python: Python,
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const [program, ...first] = python.command;
  const options = ["-m", "pip", "--disable-pip-version-check", "--no-input", ...args];
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(stopped(signal.reason));
    const child = spawn(program, [...first, ...options], {
      ...startOptions(environment),
      stdio: ["ignore", process.stderr.isTTY ? 2 : "ignore", "pipe"],
    });
    const stop = (): void => void child.kill("SIGTERM");
    signal?.addEventListener("abort", stop, { once: true });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.once("error", (error) => {
      signal?.removeEventListener("abort", stop);
      reject(error);
    });
    // What pip has started has ended too, when its streams are closed: nothing is written into the directory any more.
    child.once("close", (code, killedBy) => {
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) reject(stopped(signal.reason));
      else if (killedBy !== null || code === 130) reject(stopped(undefined));
      else resolve(code === 0 ? undefined : lastLines(said));
    });
  });
}

function stopped(cause: unknown): LibtorchOodError {
  return new LibtorchOodError("ERR_ABORTED", "pip was stopped", { cause });
}

function lastLines(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "" && !/^WARNING: Retrying|^\[notice\]/.test(line));
  return lines.slice(-5).join("\n");
}
