// The command line as a user runs it: dist/cli/main.js, which `npm test` compiles first, in a process of its own.

import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export const dataDirectory = join(packageRoot, "examples", "data");
export const digits = `mnist:${join(dataDirectory, "mnist-")}`;
export const clothes = `fashion-mnist:${join(dataDirectory, "fashion-")}`;

/** @param onOutput - called with all of stdout so far, whenever there is more */
export function cli(args: readonly string[], onOutput?: (child: ChildProcess, stdout: string) => void): Promise<Ending> {
  return program(join(packageRoot, "dist", "cli", "main.js"), args, onOutput);
}

/** Any program of Node, in the same way. */
export function program(
  file: string,
  args: readonly string[],
  onOutput?: (child: ChildProcess, stdout: string) => void,
  directory: string = packageRoot,
): Promise<Ending> {
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    cwd: directory,
    env: { ...process.env, OMP_NUM_THREADS: "1" }, // on networks so small two threads only wait for each other
  });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    onOutput?.(child, stdout);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`${file} ${args.join(" ")}: not finished in time\n${stdout}\n${stderr}`));
    }, 100_000);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** {@link cli} that must end well; its JSON. */
export async function json<T>(args: readonly string[]): Promise<T> {
  return JSON.parse((await good([...args, "--json"])).stdout) as T;
}

/** {@link cli} that must end well. */
export async function good(args: readonly string[]): Promise<Ending> {
  const ending = await cli(args);
  if (ending.code !== 0) throw new Error(`libtorch-ood ${args.join(" ")}: exit code ${ending.code}\n${ending.stdout}\n${ending.stderr}`);
  return ending;
}

/** A network that learns something of the digits in about two seconds. */
export const smallTraining = ["--width", "0.0625", "--batch-size", "32", "--threads", "1", "--subset", "1500", "--seed", "3"];
