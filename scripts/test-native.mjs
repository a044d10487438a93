// The tests of native/ in C++, without Node: `node scripts/test-native.mjs` builds and runs them, and ends with "N passed, N failed".
// They need doctest (Debian: doctest-dev; DOCTEST=DIR names another directory that holds doctest/doctest.h). The kernels' own also run as aarch64 code
// where a cross compiler and qemu are installed (Debian: g++-aarch64-linux-gnu, qemu-user). What is left out is said.

import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const counts = { passed: 0, failed: 0 };
const doctest = [process.env.DOCTEST, "/usr/include", "/usr/local/include", "/opt/homebrew/include"].find(
  (directory) => directory && fs.existsSync(path.join(directory, "doctest", "doctest.h")),
);

if (doctest === undefined) {
  console.log("C++ tests: left out, since doctest is not installed (Debian: apt install doctest-dev)");
} else {
  const built = build();
  if (built !== undefined) {
    // libtorch's own variable takes the better kernels away, ours too; the tests of kernels take every one that the processor has in each of these.
    for (const capability of [undefined, "avx2", "default"]) {
      const env = capability === undefined ? process.env : { ...process.env, ATEN_CPU_CAPABILITY: capability };
      run(`C++ tests${capability === undefined ? "" : ` with ATEN_CPU_CAPABILITY=${capability}`}`, built, [], env);
    }
  }
  runAsAarch64();
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed > 0 ? 1 : 0;

function build() {
  const { status, stdout } = spawnSync(process.execPath, [path.join(root, "scripts", "build-native.mjs"), "--tests"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, DOCTEST: doctest },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const built = stdout.trim().split("\n").at(-1);
  if (status === 0 && fs.existsSync(built)) return built;
  console.log(stdout);
  console.log("C++ tests: failed to build");
  counts.failed += 1;
  return undefined;
}

// Prints what failed, or one line.
function run(name, program, args, env) {
  const start = performance.now();
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", env });
  const [, passed, failed] = stdout?.match(/test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed/) ?? [];
  if (status !== 0) console.log([stdout, stderr, error?.message].filter(Boolean).join("\n"));
  for (const line of new Set(stdout?.match(/left out: .*/g))) console.log(`${name}: ${line}`);
  counts.passed += Number(passed ?? 0);
  counts.failed += Math.max(Number(failed ?? 0), status === 0 ? 0 : 1);
  console.log(`${name}: ${passed ?? 0} passed, ${failed ?? "1"} failed in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

// The kernels without libtorch: on aarch64 they must compile, and say that they have no instructions there.
function runAsAarch64() {
  const compiler = "aarch64-linux-gnu-g++";
  const emulator = ["qemu-aarch64", "qemu-aarch64-static"].find(works);
  if (!works(compiler) || emulator === undefined) {
    console.log("C++ tests of the kernels as aarch64 code: left out (Debian: apt install g++-aarch64-linux-gnu qemu-user)");
    return;
  }
  const program = path.join(root, "build", "kernel-tests-aarch64");
  const kernels = ["tile_product", "winograd"];
  const tests = ["main", ...kernels].map((name) => `tests/${name}.cc`);
  const sources = [...tests, ...kernels.map((name) => `kernels/${name}.cc`), "platform/cpu_features.cc"];
  const args = ["-std=c++20", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-Inative", "-idirafter", doctest];
  const { status } = spawnSync(compiler, [...args, ...sources.map((file) => path.join("native", file)), "-o", program], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) {
    counts.failed += 1;
    console.log("C++ tests of the kernels as aarch64 code: failed to build");
    return;
  }
  run("C++ tests of the kernels as aarch64 code", emulator, [program], process.env);
}

function works(command) {
  return spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;
}
