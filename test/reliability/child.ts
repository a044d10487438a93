// Runs the programs of this folder's programs/ as processes of their own and tells how they ended.

import { spawn, type ChildProcess } from "node:child_process";
import { join } from "node:path";

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** From when `ending` was printed, or the signal sent, to the end; NaN where neither was. */
  millisecondsToEnd: number;
}

export interface RunOptions {
  nodeOptions?: string[];
  /** Beside that of this process. */
  environment?: NodeJS.ProcessEnv;
  /** Called once when the program has printed the line `ready`. */
  whenReady?: (child: ChildProcess) => unknown;
  /** The program is ended by force, and the test fails, after this. Default 100,000. */
  limit?: number;
  /** Bytes of memory that the program may have of its own (RLIMIT_DATA), where `prlimit` sets it. Default: as this process. */
  dataLimit?: number;
}

export function run(program: string, args: readonly (string | number)[], options: RunOptions = {}): Promise<Ending> {
  const file = join(__dirname, "programs", program);
  const limited = options.dataLimit === undefined ? [] : ["prlimit", `--data=${options.dataLimit}`];
  const [command, ...line] = [...limited, process.execPath, ...(options.nodeOptions ?? []), file, ...args.map(String)] as [
    string,
    ...string[],
  ];
  const child = spawn(command, line, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.environment },
  });
  let stdout = "";
  let stderr = "";
  let endingSince = NaN;
  let ready = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (Number.isNaN(endingSince) && /^ending$/m.test(stdout)) endingSince = performance.now();
    if (!ready && /^ready$/m.test(stdout)) {
      ready = true;
      void options.whenReady?.(child);
    }
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const kill = child.kill.bind(child);
  child.kill = (signal) => {
    endingSince = performance.now();
    return kill(signal);
  };
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => {
      kill("SIGKILL");
      reject(new Error(`${program} ${args.join(" ")}: not finished in time\n${stdout}\n${stderr}`));
    }, options.limit ?? 100_000);
    let endedAt = NaN;
    child.on("exit", () => (endedAt = performance.now()));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(limit);
      resolve({ code, signal, stdout, stderr, millisecondsToEnd: endedAt - endingSince });
    });
  });
}

/** What a program printed as JSON on its last line, after a good end. */
export async function answerOf<T>(program: string, args: readonly (string | number)[], options?: RunOptions): Promise<T> {
  const ending = await run(program, args, options);
  const { code, signal, stderr, stdout } = ending;
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: exit code ${code}, signal ${signal}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) as string) as T;
}
