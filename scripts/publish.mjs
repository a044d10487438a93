// Publishes the tarballs below a directory, a folder packages-<platform> for each as the workflow packages.yml leaves them:
//   node scripts/publish.mjs DIR [--dry-run]
// What is published already in that version is left out, so that a run which broke off can be repeated; libtorch and the
// addons come first and the library last, so that nobody installs a library without its addon.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const platforms = JSON.parse(fs.readFileSync(path.join(root, "packages", "platforms.json"), "utf8")).map(({ name }) => name);
const { values: options, positionals } = parseArgs({ options: { "dry-run": { type: "boolean" } }, allowPositionals: true });
if (positionals.length !== 1) stop("expected one directory");

const tarballs = collect(positionals[0]);
requirePlatforms(tarballs);
if (!options["dry-run"]) requireRepository(tarballs);
for (const { name, version, file } of tarballs) {
  if (isPublished(name, version)) {
    console.log(`${name}@${version} is published already`);
    continue;
  }
  const args = ["publish", file, "--access", "public", ...(options["dry-run"] ? ["--dry-run"] : ["--provenance"])];
  const { status } = spawnSync("npm", args, { stdio: "inherit" });
  if (status !== 0) stop(`npm publish ${file} failed; what is missing is published when this is run again`);
}

// The library is packed on every platform, from the same sources: one of them serves. From each folder only what that platform
// is to bring: the job for one platform cannot slip in the packages of another.
function collect(directory) {
  const found = new Map();
  for (const platform of platforms) {
    const list = path.join(directory, `packages-${platform}`, "packages.json");
    if (!fs.existsSync(list)) continue;
    const own = ["libtorch-ood", `@libtorch-ood/addon-${platform}`, `@libtorch-ood/libtorch-${platform}`];
    for (const { name, version, file, integrity, repository } of JSON.parse(fs.readFileSync(list, "utf8"))) {
      if (!own.includes(name)) stop(`${list}: expected some of ${own.join(", ")}, found ${name}`);
      const place = path.join(path.dirname(list), file);
      const actual = `sha512-${createHash("sha512").update(fs.readFileSync(place)).digest("base64")}`;
      if (actual !== integrity) stop(`${place}: expected ${integrity} as packages.json says, found ${actual}`);
      if (!found.has(name)) found.set(name, { name, version, file: path.resolve(place), repository });
    }
  }
  const rank = ({ name }) =>
    ["@libtorch-ood/libtorch-", "@libtorch-ood/addon-", "libtorch-ood"].findIndex((start) => name.startsWith(start));
  return [...found.values()].sort((a, b) => rank(a) - rank(b));
}

// The library names the addons of these: a missing one would leave its users without.
function requirePlatforms(tarballs) {
  const wanted = ["libtorch-ood", ...platforms.map((name) => `@libtorch-ood/addon-${name}`)];
  const missing = wanted.filter((name) => !tarballs.some((tarball) => tarball.name === name));
  if (missing.length > 0) stop(`no tarball of ${missing.join(", ")}; a platform that is not ready is taken out of packages/platforms.json`);
}

// Without it npm refuses provenance, and would do so after the first tarballs have been published; OWNER is the placeholder of package.json.
function requireRepository(tarballs) {
  const without = tarballs.filter(({ repository = "OWNER" }) => repository.includes("OWNER")).map(({ name }) => name);
  if (without.length > 0)
    stop(`no repository in the package.json of ${without.join(", ")}; pack them in the release workflow, or set it in package.json`);
}

function isPublished(name, version) {
  const { status, stdout } = spawnSync("npm", ["view", `${name}@${version}`, "version"], { encoding: "utf8" });
  return status === 0 && stdout.trim() === version;
}

function stop(message) {
  console.error(`publish: ${message}`);
  process.exit(1);
}
