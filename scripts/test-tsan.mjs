// `npm run test:tsan` runs the executor, through which all threads of the library meet, under ThreadSanitizer. It compiles the executor into a small
// program (test/sanitizers/executor_threads.cc) in which every access to memory is watched. The whole addon cannot be watched, since neither Node nor
// libtorch is built for that. `--runs N` sets the runs of each kind; default 20. `--document` writes the figures into docs/results/reliability.md.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { documentFigures } from "./reliability-figures.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values: options } = parseArgs({ options: { runs: { type: "string", default: "20" }, document: { type: "boolean" } } });
const runs = Math.max(1, Number(options.runs));

const directory = path.join(root, "build", "tsan");
const program = path.join(directory, "executor_threads");
fs.mkdirSync(directory, { recursive: true });
compile();

// The sanitizer's map of addresses fails under the address randomization of newer kernels, so it is switched off where setarch can do that.
const fixed = ["setarch", os.machine(), "-R"];
const prefix = spawnSync(fixed[0], [...fixed.slice(1), "true"], { stdio: "ignore" }).status === 0 ? fixed : [];

const race = run("race", 1);
if (!race.output.includes("WARNING: ThreadSanitizer: data race")) {
  console.error(race.output);
  throw new Error(`a race on purpose was not reported (exit code ${race.status}): ThreadSanitizer does not work here`);
}
const figures = [];
let failures = 0;
for (const [kind, count] of [
  ["settle", runs],
  ["drain", Math.ceil(runs / 4)],
  ["exit", 5 * runs],
  ["idle", 1],
]) {
  const start = performance.now();
  const totals = {};
  let clean = 0;
  for (let seed = 1; seed <= count; seed++) {
    const { status, output } = run(kind, seed);
    if (status === 0 && !output.includes("ThreadSanitizer")) clean++;
    else console.error(`${kind}, seed ${seed}: exit code ${status}\n${output}`);
    for (const [name, value] of Object.entries(figuresIn(output))) totals[name] = (totals[name] ?? 0) + value;
  }
  failures += count - clean;
  figures.push({ what: `executor under ThreadSanitizer, ${kind}`, found: { runs: count, clean, ...totals } });
  const jobs = Object.keys(totals).length > 0 ? `, ${JSON.stringify(totals)}` : "";
  console.log(
    `executor under ThreadSanitizer, ${kind}: ${clean} of ${count} clean${jobs}, ${((performance.now() - start) / 1000).toFixed(0)} s`,
  );
}
if (options.document) documentFigures(figures);
process.exitCode = failures === 0 ? 0 : 1;

function compile() {
  const sources = [path.join(root, "native", "runtime", "executor.cc"), path.join(root, "test", "sanitizers", "executor_threads.cc")];
  const includes = [path.join(root, "test", "sanitizers", "libtorch"), path.join(root, "native")].map((folder) => `-I${folder}`);
  const flags = ["-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-fsanitize=thread", "-fno-omit-frame-pointer", "-pthread"];
  const { status } = spawnSync(process.env.CXX || "c++", [...flags, ...includes, ...sources, "-o", program], { stdio: "inherit" });
  if (status !== 0)
    throw new Error(
      "the program for ThreadSanitizer does not compile; GCC and Clang bring the sanitizer, in a package of its own on some systems",
    );
}

function run(kind, seed) {
  const env = { ...process.env, TSAN_OPTIONS: `atexit_sleep_ms=100:${process.env.TSAN_OPTIONS ?? ""}` };
  const [command, ...args] = [...prefix, program, kind, String(seed)];
  const { status, signal, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: 120_000, env });
  return { status: signal ?? status, output: stdout + stderr };
}

function figuresIn(output) {
  const line = output.split("\n").find((text) => text.startsWith("{"));
  return line === undefined ? {} : JSON.parse(line);
}
