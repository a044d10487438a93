// `npm run test:packages [-- [--packed] NAME...]`: packs what is published and tests the tarballs as their users meet them, in empty
// folders, against a registry on the loopback interface, with no compiler on the PATH. NAME chooses among test/packages/NAME.test.mjs;
// with --packed the tarballs are those that `npm run pack:all` has written.
// Needs the public registry once, for the package managers and checkers in test/packages/package.json.

import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startRegistry } from "../test/packages/registry.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const tests = path.join(root, "test", "packages");
const packages = path.join(root, "build", "packages");

const { values: options, positionals: chosen } = parseArgs({ options: { packed: { type: "boolean" } }, allowPositionals: true });

if (!options.packed) packAll();
if (isOlder(path.join(tests, "node_modules", ".package-lock.json"), path.join(tests, "package-lock.json"))) {
  run("npm", ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], tests);
}

const work = fs.mkdtempSync(path.join(os.tmpdir(), "packages-"));
const served = path.join(work, "registry");
try {
  fs.mkdirSync(served);
  for (const { file } of packed()) fs.copyFileSync(path.join(packages, file), path.join(served, file));
  packDependencies();
  packOtherPlatforms();
  const registry = await startRegistry(served);
  process.exitCode = await runTests(registry.address);
  registry.close();
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}

// Packing libtorch takes a minute; what was packed of the pinned version stays right.
function packAll() {
  run(process.execPath, ["scripts/bootstrap.mjs"]);
  run(process.execPath, ["scripts/prebuild.mjs"]);
  run(process.execPath, ["scripts/pack-all.mjs", "--only", "library,addon"]);
  if (!packed().some(({ name }) => name.startsWith("@libtorch-ood/libtorch-")))
    run(process.execPath, ["scripts/pack-all.mjs", "--only", "libtorch"]);
}

function packed() {
  return JSON.parse(fs.readFileSync(path.join(packages, "packages.json"), "utf8"));
}

function runTests(address) {
  const files = fs.readdirSync(tests).filter((file) => file.endsWith(".test.mjs"));
  const wanted = files.filter((file) => chosen.length === 0 || chosen.includes(file.replace(".test.mjs", "")));
  const args = ["--test", "--test-concurrency=1", "--test-reporter=spec", ...wanted.map((file) => path.join(tests, file))];
  const environment = { ...process.env, PACKAGES_REGISTRY: address, PACKAGES_SERVED: served, PACKAGES_WORK: work };
  const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit", env: environment });
  return new Promise((resolve) => child.once("close", (status) => resolve(status ?? 1)));
}

// The run-time dependencies, and theirs, as they lie in node_modules.
function packDependencies() {
  const lock = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8")).packages;
  const found = new Set();
  const visit = (names, from) => {
    for (const name of Object.keys(names ?? {})) {
      const nested = `${from}/node_modules/${name}`.replace(/^\//, "");
      const place = lock[nested] ? nested : `node_modules/${name}`;
      if (!found.has(place)) visit(lock[found.add(place) && place].dependencies, place);
    }
  };
  visit(lock[""].dependencies, "");
  for (const place of found) pack(path.join(root, place));
}

// What is published for other platforms, as far as a package manager looks at it before it leaves it out.
function packOtherPlatforms() {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8"));
  for (const { name, os, cpu, libc } of JSON.parse(fs.readFileSync(path.join(root, "packages", "platforms.json"), "utf8"))) {
    if (name === `${process.platform}-${process.arch}`) continue;
    packManifest({ name: `@libtorch-ood/addon-${name}`, version, os: [os], cpu: [cpu], ...(libc && { libc: [libc] }) });
  }
  // Yarn 4 adds it to every package whose own scripts name it, as those of node-addon-api do; nothing runs it here.
  packManifest({ name: "node-gyp", version: "12.0.0" });
}

function packManifest(manifest) {
  const directory = path.join(work, "manifests", manifest.name);
  fs.mkdirSync(directory, { recursive: true });
  fs.writeFileSync(path.join(directory, "package.json"), JSON.stringify(manifest));
  pack(directory);
}

function pack(directory) {
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", served], directory, "ignore");
}

function isOlder(file, than) {
  return (fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < fs.statSync(than).mtimeMs;
}

function run(command, args, cwd = root, stdout = "inherit") {
  const shell = command === "npm" && process.platform === "win32";
  const { status } = spawnSync(command, args, { cwd, stdio: ["ignore", stdout, "inherit"], shell });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed`);
}
