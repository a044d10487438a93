// Loading the real addon: in this process, in workers at the same time, and beside another libtorch. Processes and workers
// run dist/, which `npm test` compiles first.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { load, loadAddon } from "../../../lib/native/libtorch/load";
import { glibcVersion } from "../../../lib/native/libtorch/system";
import { packageRoot } from "../../../lib/core/package-root";
import { fakeTorch } from "./fake-torch";

const compiled = JSON.stringify(join(packageRoot, "dist", "native", "libtorch", "load.js"));

function runNode(program: string, environment: NodeJS.ProcessEnv = process.env) {
  return spawnSync(process.execPath, ["-e", program], { encoding: "utf8", env: environment });
}

test("the addon loads, once, for the libtorch that it was built for", () => {
  const { exports, files, torch, withoutCuda } = load();
  expect(loadAddon()).toBe(exports);
  expect(load()).toBe(load());
  const info = (exports as { info(): Record<string, unknown> }).info();
  expect(info).toMatchObject({ builtFor: files.built.libtorch });
  expect(torch.version.startsWith(String(info.libtorch))).toBe(true);
  if (torch.cuda === null) expect(withoutCuda).toBe("this libtorch is a CPU build");
});

// Linux has MADV_POPULATE_WRITE since 5.14.
const [major = 0, minor = 0] = release().split(".").map(Number);
const populates = glibcVersion() !== "" && (major > 5 || (major === 5 && minor >= 14));
(populates ? test : test.skip)("the loader has memory ready for libtorch's operators, about as much as they take", () => {
  const { files, torch } = load();
  const program = `
    const { open } = (() => {
      const holder = { exports: {} };
      process.dlopen(holder, ${JSON.stringify(files.loader)});
      return holder.exports;
    })();
    const used = [process.memoryUsage.rss()];
    for (const name of ["c10", "torch_cpu"]) {
      open(${JSON.stringify(join(torch.directory, "lib", "lib"))} + name + ".so");
      used.push(process.memoryUsage.rss());
    }
    console.log(JSON.stringify(used.map((bytes) => bytes / 2 ** 20)));`;
  const { status, stdout, stderr } = runNode(program);
  expect([status, stderr]).toEqual([0, ""]);
  const [before, ready, after] = JSON.parse(stdout) as [number, number, number];
  expect(ready - before).toBeGreaterThan(50);
  // In MiB: the libraries' own pages; without what was made ready it is 100, and were that not used it would be too.
  expect(after - ready).toBeLessThan(75);
});

test("two workers and the main thread load it at once, and it works in each", () => {
  const program = `
    const { Worker, isMainThread, parentPort, workerData } = require("node:worker_threads");
    const body = \`
      const { parentPort, workerData } = require("node:worker_threads");
      const gate = new Int32Array(workerData);
      Atomics.add(gate, 0, 1); Atomics.notify(gate, 0);
      while (Atomics.load(gate, 0) < 3) Atomics.wait(gate, 0, Atomics.load(gate, 0), 10);
      parentPort.postMessage(require(${compiled.replaceAll("\\", "\\\\")}).loadAddon().info().libtorch);
    \`;
    const shared = new SharedArrayBuffer(4), gate = new Int32Array(shared);
    const answers = [1, 2].map(() => new Promise((resolve, reject) => {
      const worker = new Worker(body, { eval: true, workerData: shared });
      worker.once("message", resolve).once("error", reject);
    }));
    (async () => {
      while (Atomics.load(gate, 0) < 2) await new Promise((resolve) => setTimeout(resolve, 1));
      Atomics.add(gate, 0, 1); Atomics.notify(gate, 0);
      const own = require(${compiled}).loadAddon().info().libtorch;
      console.log(JSON.stringify([own, ...(await Promise.all(answers))]));
    })();`;
  const { status, stdout, stderr } = runNode(program);
  expect(stderr).toBe("");
  expect(status).toBe(0);
  const versions = JSON.parse(stdout) as string[];
  expect(versions).toHaveLength(3);
  expect(new Set(versions).size).toBe(1);
});

test("workers that load it one after the other, each after the last has ended, and then the main thread", () => {
  // Node unmaps an addon with its last worker, libtorch stays.
  const program = `
    const { Worker } = require("node:worker_threads");
    const body = 'require("node:worker_threads").parentPort.postMessage(require(${compiled}).loadAddon().info().libtorch)';
    (async () => {
      const versions = [];
      for (let i = 0; i < 3; i++) {
        const worker = new Worker(body, { eval: true });
        worker.once("message", (version) => versions.push(version));
        await new Promise((resolve, reject) => worker.once("exit", resolve).once("error", reject));
      }
      versions.push(require(${compiled}).loadAddon().info().libtorch);
      console.log(JSON.stringify(versions));
    })();`;
  const { status, stdout, stderr } = runNode(program);
  expect([status, stderr]).toEqual([0, ""]);
  const versions = JSON.parse(stdout) as string[];
  expect(versions).toHaveLength(4);
  expect(new Set(versions).size).toBe(1);
});

test("a worker for which another libtorch is named takes the one that the process has", () => {
  const directory = mkdtempSync(join(tmpdir(), "load-"));
  try {
    const other = fakeTorch(join(directory, "torch"), { version: load().torch.version });
    const program = `
      const { torch } = require(${compiled}).load();
      const { Worker } = require("node:worker_threads");
      const body = 'const { torch } = require(${compiled.replaceAll("\\", "\\\\")}).load(); require("node:worker_threads").parentPort.postMessage(torch);';
      new Worker(body, { eval: true, env: { ...process.env, LIBTORCH_OOD_HOME: ${JSON.stringify(other)} } })
        .once("message", (theirs) => console.log(JSON.stringify([torch, theirs])));`;
    const { stdout, stderr } = runNode(program);
    expect(stderr).toBe("");
    const [ours, theirs] = JSON.parse(stdout) as { directory: string; source: string }[];
    expect(theirs).toMatchObject({ source: "this process" });
    expect(theirs!.directory).toBe(ours!.directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a library that does not load is named, with the reason and the command that fixes it", () => {
  const directory = mkdtempSync(join(tmpdir(), "load-"));
  try {
    const broken = fakeTorch(join(directory, "torch"), { version: load().torch.version });
    const program = `try { require(${compiled}).loadAddon(); } catch ({ code, message }) { console.log(JSON.stringify({ code, message })); }`;
    const { stdout } = runNode(program, { ...process.env, LIBTORCH_OOD_HOME: broken });
    const { code, message } = JSON.parse(stdout) as { code: string; message: string };
    expect(code).toBe("ERR_LIBTORCH_NOT_FOUND");
    expect(message).toContain(join(broken, "lib", "libc10"));
    expect(message).toMatch(/cannot open shared object file|no such file/i);
    expect(message).toContain("npx libtorch-ood doctor");
    expect(message).toContain("npx libtorch-ood setup --force");
    expect(message).toContain("LIBTORCH_OOD_HOME");
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const hasPrlimit = spawnSync("prlimit", ["--version"]).status === 0;

(hasPrlimit ? test : test.skip)("where the compute thread cannot be started, the call rejects and the process ends as it should", () => {
  const program = `
    const { readFileSync } = require("node:fs");
    const { spawnSync } = require("node:child_process");
    const { linalg, Tensor } = require(${JSON.stringify(join(packageRoot, "dist", "index.js"))});
    const matrix = Tensor.from(Float64Array.of(1, 2, 3, 4, 5, 9), [3, 2]);
    const used = 1024 * Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
    spawnSync("prlimit", ["--pid", String(process.pid), "--as=" + (used + 2 ** 22)]); // less than the stack of a thread
    linalg.covariance(matrix).catch(({ code, message }) => console.log(code + ": " + message));`;
  const { status, signal, stdout } = runNode(program);
  expect([status, signal]).toEqual([0, null]);
  expect(stdout).toMatch(/^ERR_OUT_OF_MEMORY: cannot start a thread to compute on/);
});
