// Sets up a clone where that is not done: packages, TypeScript, libtorch, the addons. Each step is skipped while its
// inputs are what they were. Uses Node's own modules only, since it runs before any package is installed.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { withLock } from "./lock.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => path.join(root, ...parts);
const stampFile = at("build", "stamps.json");

await withLock(at("build", "bootstrap.lock"), setUp, (holder) => console.log(`Waiting for another set-up (${holder})`));

async function setUp() {
  const [major] = process.versions.node.split(".").map(Number);
  if (major < 20) throw new Error(`Node.js 20 or newer is needed, this is ${process.version}`);

  if (packagesOutdated()) step("Installing packages", "npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"]);

  const compiler = ["build-ts.mjs", "score-index.mjs"].map((name) => at("scripts", name));
  const sources = fingerprint([at("lib"), at("tsconfig.json"), at("package-lock.json"), ...compiler]);
  if (readStamps().typescript !== sources || !fs.existsSync(at("dist", "native", "libtorch", "setup.js"))) {
    step("Compiling TypeScript", process.execPath, [at("scripts", "build-ts.mjs")]);
    writeStamp("typescript", sources);
  }

  const { discover } = await import(pathToFileURL(at("dist", "native", "libtorch", "discover.js")).href);
  const find = () => discover({ headers: true }).chosen;
  if (find() === undefined) step("Fetching libtorch", process.execPath, [at("dist", "cli", "main.js"), "setup"]);

  const torch = find();
  const inputs = [at("native"), at("CMakeLists.txt"), at("scripts", "build-native.mjs"), at("package-lock.json")];
  const native = `${fingerprint(inputs)} ${torch?.version} ${torch?.directory}`;
  const outputs = ["loader.node", "libtorch_ood.node", "build.json"].map((name) => at("build", "Release", name));
  if (readStamps().native !== native || !outputs.every((file) => fs.existsSync(file))) {
    step("Building the native addons", process.execPath, [at("scripts", "build-native.mjs")]);
    writeStamp("native", native);
  }
}

// npm writes the hidden lock file when it has finished.
function packagesOutdated() {
  const installed = fs.statSync(at("node_modules", ".package-lock.json"), { throwIfNoEntry: false });
  return installed === undefined || installed.mtimeMs < fs.statSync(at("package-lock.json")).mtimeMs;
}

function step(what, command, args) {
  console.log(`${what} ...`);
  const start = performance.now();
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: "inherit",
    shell: command === "npm" && process.platform === "win32",
  });
  if (error) console.error(`${command} cannot be run: ${error.message}`);
  // What the step has printed says what is wrong and what fixes it.
  if (status !== 0) process.exit(1);
  console.log(`${what}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

function fingerprint(paths) {
  const hash = createHash("sha256");
  for (const file of paths.flatMap(filesIn))
    hash
      .update(`${path.relative(root, file)}\0`)
      .update(fs.readFileSync(file))
      .update("\0");
  return hash.digest("hex");
}

function filesIn(entry) {
  if (!fs.statSync(entry).isDirectory()) return [entry];
  const names = fs.readdirSync(entry).sort();
  return names.flatMap((name) => filesIn(path.join(entry, name)));
}

function readStamps() {
  try {
    return JSON.parse(fs.readFileSync(stampFile, "utf8"));
  } catch {
    return {};
  }
}

function writeStamp(name, value) {
  const temporary = `${stampFile}.${process.pid}`;
  fs.writeFileSync(temporary, JSON.stringify({ ...readStamps(), [name]: value }, null, 2));
  fs.renameSync(temporary, stampFile);
}
