// Builds the two addons with CMake and puts them, with build.json that says what they were built for, into build/Release:
//   node scripts/build-native.mjs [--output DIR] [--debug | --sanitize]
//   node scripts/build-native.mjs --tests    (the tests in C++ alone, for scripts/test-native.mjs; the last line is their program)
// With --debug or --sanitize they go to build/<flavour>/build/Release; LIBTORCH_OOD_PREBUILD=$PWD/build/<flavour> has them loaded.
// libtorch is found as at run time (docs/guide/install.md). CMAKE_BUILD_PARALLEL_LEVEL limits the compilers at work.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { withLock } from "./lock.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const addons = ["loader.node", "libtorch_ood.node"];
const napi = 9;

/** An error that the user can fix: printed without a stack. */
class BuildError extends Error {}

const { values: options } = parseArgs({
  options: { output: { type: "string" }, debug: { type: "boolean" }, sanitize: { type: "boolean" }, tests: { type: "boolean" } },
});

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  console.error(`build-native: ${error.message}`);
  process.exitCode = 1;
}

async function main() {
  const flavour = options.sanitize ? "sanitize" : options.debug ? "debug" : "release";
  const output = path.resolve(options.output ?? path.join(root, "build", flavour === "release" ? "" : `${flavour}/build`, "Release"));
  requirePlatform();
  const torch = await findLibtorch();
  requireTool("cmake", ["--version"], "CMake 3.18 or newer", {
    linux: "sudo apt install cmake   (or: sudo dnf install cmake, pip install cmake)",
    darwin: "brew install cmake",
  });
  const compiler = process.env.CXX || firstTool(["c++", "g++", "clang++"]);
  requireTool(compiler ?? "c++", ["--version"], "a C++20 compiler (GCC 11, Clang 14 or newer)", {
    linux: "sudo apt install g++   (or: sudo dnf install gcc-c++)",
    darwin: "xcode-select --install",
  });
  const generator = firstTool(["ninja"]) ? "Ninja" : "Unix Makefiles";
  if (generator !== "Ninja") {
    requireTool("make", ["--version"], "ninja or make", { linux: "sudo apt install ninja-build", darwin: "brew install ninja" });
  }
  await withLock(
    path.join(root, "build", "native.lock"),
    () => {
      const tree = configure(generator, compiler, torch, flavour);
      if (options.tests) {
        buildTests(tree);
        return;
      }
      cmake(["--build", tree, "--parallel", String(parallelism())]);
      install(tree, output, torch);
    },
    (holder) => console.log(`Waiting for another native build (${holder})`),
  );
}

function requirePlatform() {
  if (process.platform === "win32") {
    throw new BuildError("the native build is for Linux and macOS; on Windows use WSL: wsl --install");
  }
}

async function findLibtorch() {
  const compiled = path.join(root, "dist", "native", "libtorch", "discover.js");
  if (!fs.existsSync(compiled)) run(process.execPath, [path.join(root, "scripts", "build-ts.mjs")], { fatal: false });
  const { discover } = await import(pathToFileURL(compiled).href);
  const { describeAttempts } = await import(pathToFileURL(path.join(root, "dist", "native", "libtorch", "diagnosis.js")).href);
  const { chosen, attempts } = discover({ headers: true });
  if (chosen === undefined) {
    throw new BuildError(
      `no libtorch to build against. Tried, in order:\n${describeAttempts(attempts)}\nFetch one: npx libtorch-ood setup`,
    );
  }
  return chosen;
}

// CMake remembers what it found, so each set of definitions has a tree of its own: to change libtorch and back costs nothing.
function configure(generator, compiler, torch, flavour) {
  const definitions = {
    LIBTORCH: torch.directory,
    LIBTORCH_VERSION: torch.version,
    NODE_API_HEADERS: require("node-api-headers").include_dir,
    NODE_ADDON_API: path.dirname(require.resolve("node-addon-api/package.json")),
    CMAKE_CXX_COMPILER: compiler,
    CMAKE_BUILD_TYPE: flavour === "release" ? "Release" : "RelWithDebInfo",
    SANITIZE: flavour === "sanitize" ? "ON" : "OFF",
  };
  const wanted = JSON.stringify({ generator, definitions }, null, 2);
  const name = createHash("sha256").update(wanted).digest("hex").slice(0, 8);
  const tree = path.join(root, "build", "cmake", `${flavour}-${name}`);
  const stamp = path.join(tree, "configured.json");
  if (!fs.existsSync(stamp)) {
    fs.rmSync(tree, { recursive: true, force: true });
    cmake(["-S", root, "-B", tree, "-G", generator, ...Object.entries(definitions).map(([key, value]) => `-D${key}=${value}`)]);
    fs.writeFileSync(stamp, wanted);
  }
  return tree;
}

function buildTests(tree) {
  cmake([`-DDOCTEST=${process.env.DOCTEST ?? "/usr/include"}`, tree]);
  cmake(["--build", tree, "--target", "ood_tests", "--parallel", String(parallelism())]);
  console.log(path.join(tree, "ood_tests"));
}

// A compiler at work on libtorch's headers takes up to 2 GB.
function parallelism() {
  const limit = Number(process.env.CMAKE_BUILD_PARALLEL_LEVEL);
  if (limit > 0) return Math.floor(limit);
  return Math.max(1, Math.min(os.availableParallelism(), Math.floor(os.totalmem() / 2 ** 31)));
}

// A new file takes the name of the old one, which a running process may have mapped.
function install(tree, output, torch) {
  fs.mkdirSync(output, { recursive: true });
  for (const name of addons) {
    const built = path.join(tree, name);
    const target = path.join(output, name);
    if (isCopy(built, target)) continue;
    const temporary = `${target}.${process.pid}`;
    fs.copyFileSync(built, temporary);
    const { atime, mtime } = fs.statSync(built);
    fs.utimesSync(temporary, atime, mtime);
    fs.renameSync(temporary, target);
  }
  // For clang-tidy and editors, which cannot read the compiler's own precompiled header.
  const commands = fs.readFileSync(path.join(tree, "compile_commands.json"), "utf8");
  fs.writeFileSync(path.join(root, "build", "compile_commands.json"), commands.replace(/ -Winvalid-pch -include \S+cmake_pch\.hxx/g, ""));
  const facts = JSON.stringify({ libtorch: torch.version, cuda: torch.cuda, napi }, null, 2) + "\n";
  fs.writeFileSync(path.join(output, "build.json"), facts);
}

function isCopy(built, target) {
  const [from, to] = [fs.statSync(built), fs.statSync(target, { throwIfNoEntry: false })];
  return to !== undefined && from.size === to.size && Math.abs(from.mtimeMs - to.mtimeMs) < 2;
}

function cmake(args) {
  run("cmake", args, { fatal: true });
}

function run(command, args, { fatal }) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error) throw new BuildError(`${command} cannot be run: ${error.message}`);
  if (status !== 0 && fatal)
    throw new BuildError(`\`${command} ${args.slice(0, 2).join(" ")}\` failed with exit code ${status}; see above`);
}

function requireTool(command, args, what, install) {
  if (works(command, args)) return;
  const remedy = install[process.platform] ?? install.linux;
  throw new BuildError(`${what} is needed, and \`${command}\` is not on the PATH. Install it:\n  ${remedy}`);
}

function firstTool(commands) {
  return commands.find((command) => works(command, ["--version"]));
}

function works(command, args) {
  return spawnSync(command, args, { cwd: root, stdio: "ignore" }).status === 0;
}
