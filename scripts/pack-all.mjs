// Writes the packages as they are published into build/packages:
//   node scripts/pack-all.mjs [--only library,addon,libtorch] [--version 0.1.1]
// libtorch-ood: JavaScript, declarations and native sources, with the addons of all platforms as optional dependencies;
// @libtorch-ood/addon-<platform>: what `npm run prebuild` made here; @libtorch-ood/libtorch-<platform>: the shared libraries of
// the pinned wheel, stripped. packages.json beside them lists name, version, size and integrity. docs/design/releasing.md has the reasons.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { pagesOf, withPackedLinks } from "./packed-links.mjs";
import { stageLibtorch } from "./stage-libtorch.mjs";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const at = (...parts) => path.join(root, ...parts);
const output = at("build", "packages");
const source = readJson(at("package.json"));
const platforms = readJson(at("packages", "platforms.json"));
const here = platforms.find(({ name }) => name === `${process.platform}-${process.arch}`);
const megabyte = 1e6;

const { values: options } = parseArgs({ options: { only: { type: "string" }, version: { type: "string" } } });
const version = options.version ?? source.version;
// package.json has OWNER in place of the repository's owner, and scripts/publish.mjs refuses that: the release workflow knows the name.
const repository = repositoryOfWorkflow() ?? source.repository;
// The third number counts what was packed of a minor of libtorch; the first two are the library's ABI.
const libtorchVersion = "2.13.0";

const kinds = {
  library: { stage: stageLibrary, limit: 1 * megabyte },
  addon: { stage: stageAddon, limit: 2 * megabyte },
  libtorch: { stage: stageRuntime, limit: 120 * megabyte },
};
const wanted = options.only?.split(",") ?? Object.keys(kinds);
const unknown = wanted.filter((kind) => !(kind in kinds));
if (unknown.length > 0) stop(`--only: expected some of ${Object.keys(kinds).join(", ")}, found ${unknown.join(", ")}`);
if (here === undefined)
  stop(`there are packages for ${platforms.map(({ name }) => name).join(", ")}, and this is ${process.platform}-${process.arch}`);

fs.mkdirSync(output, { recursive: true });
const packed = [];
for (const kind of wanted) packed.push(await pack(kind));
writeList(packed);

async function pack(kind) {
  const { stage, limit } = kinds[kind];
  const directory = path.join(root, "build", `staging-${process.pid}`, kind);
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory, { recursive: true });
  const manifest = await stage(directory);
  fs.writeFileSync(path.join(directory, "package.json"), JSON.stringify(manifest, null, 2) + "\n");
  const [{ filename, size, unpackedSize }] = npmPack(directory);
  const file = path.join(output, filename.replace("@", "").replace("/", "-"));
  const bytes = fs.readFileSync(file);
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  console.log(
    `${manifest.name}@${manifest.version}: ${(size / megabyte).toFixed(2)} MB, ${(unpackedSize / megabyte).toFixed(1)} MB unpacked`,
  );
  if (size > limit) stop(`${file}: expected at most ${limit / megabyte} MB, found ${(size / megabyte).toFixed(2)}`);
  fs.rmSync(path.dirname(directory), { recursive: true });
  const { name, version, repository } = manifest;
  return { name, version, file: path.basename(file), size, unpackedSize, integrity, repository: repository?.url };
}

// Without scripts and binding.gyp: nothing runs at installation, and no package manager takes it for one to be compiled.
async function stageLibrary(directory) {
  run(process.execPath, [at("scripts", "build-ts.mjs")]);
  // What "files" leaves out with a "!" npm pack leaves out here too.
  const names = [...source.files.filter((name) => !name.startsWith("!")), "README.md", "LICENSE"];
  for (const name of names) fs.cpSync(at(name), path.join(directory, name), { recursive: true });
  linkTheRepository(directory);
  const ours = ["scripts", "devDependencies", "tsd"];
  return {
    ...Object.fromEntries(Object.entries(source).filter(([key]) => !ours.includes(key))),
    version,
    repository,
    homepage: `${pagesOf(repository)}#readme`,
    bugs: `${pagesOf(repository)}/issues`,
    optionalDependencies: Object.fromEntries(platforms.map(({ name }) => [`@libtorch-ood/addon-${name}`, version])),
    peerDependencies: { ...source.peerDependencies, ...Object.fromEntries(platforms.map(runtimePeer)) },
    peerDependenciesMeta: { ...source.peerDependenciesMeta, ...Object.fromEntries(platforms.map(optionalPeer)) },
  };
}

// npm pack leaves out below docs what the package's list of files says.
function linkTheRepository(directory) {
  const leftOut = source.files.filter((name) => name.startsWith("!")).map((name) => name.slice(1));
  const isPacked = (file) =>
    fs.existsSync(path.join(directory, file)) && !leftOut.some((name) => file === name || file.startsWith(`${name}/`));
  const pages = fs.readdirSync(directory, { recursive: true }).filter((name) => name.endsWith(".md"));
  for (const page of pages) {
    const file = path.join(directory, page);
    const text = withPackedLinks(fs.readFileSync(file, "utf8"), page, isPacked, `${pagesOf(repository)}/blob/v${version}`);
    fs.writeFileSync(file, text);
  }
}

// Strict package managers show a package only what it names. A peer that is optional is named and not installed.
function runtimePeer({ name }) {
  return [`@libtorch-ood/libtorch-${name}`, `~${libtorchVersion}`];
}

function optionalPeer({ name }) {
  return [`@libtorch-ood/libtorch-${name}`, { optional: true }];
}

async function stageAddon(directory) {
  const prebuilt = at("prebuilds", here.name);
  if (!fs.existsSync(path.join(prebuilt, "build.json"))) run(process.execPath, [at("scripts", "prebuild.mjs")]);
  const { libtorch } = readJson(path.join(prebuilt, "build.json"));
  for (const name of ["loader.node", "libtorch_ood.node", "build.json"])
    fs.copyFileSync(path.join(prebuilt, name), path.join(directory, name));
  fs.copyFileSync(at("packages", "addon", "README.md"), path.join(directory, "README.md"));
  fs.copyFileSync(at("LICENSE"), path.join(directory, "LICENSE"));
  return platformManifest("addon", version, `The native addon of libtorch-ood for ${here.name}, built for libtorch ${libtorch}.`, {
    libtorch,
  });
}

async function stageRuntime(directory) {
  const { pinnedVersion } = await import(pathToFileURL(at("dist", "native", "libtorch", "versions.js")).href);
  const { version: libtorch, wheel } = await stageLibtorch(directory, pinnedVersion);
  fs.copyFileSync(at("packages", "libtorch", "README.md"), path.join(directory, "README.md"));
  fs.cpSync(at("packages", "libtorch", "licences"), path.join(directory, "licenses"), { recursive: true });
  const description = `The shared libraries of libtorch ${libtorch} for ${here.name}, as libtorch-ood loads them.`;
  return { ...platformManifest("libtorch", libtorchVersion, description, { libtorch, wheel }), license: "SEE LICENSE IN licenses" };
}

function platformManifest(kind, version, description, facts) {
  const { name, os, cpu, libc } = here;
  const fits = { os: [os], cpu: [cpu], ...(libc && { libc: [libc] }) };
  const { license, engines } = source;
  // A shared library cannot be opened inside the zip files of Yarn's Plug'n'Play.
  const known = { name: `@libtorch-ood/${kind}-${name}`, version, description, license, repository, engines };
  return { ...known, ...fits, preferUnplugged: true, ...facts };
}

// npm compares it with the repository in which a tarball with provenance was built: where a workflow packs, it is that one.
function repositoryOfWorkflow() {
  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = process.env;
  return server && name ? { type: "git", url: `git+${server}/${name}.git` } : undefined;
}

function npmPack(directory) {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", output];
  const { status, stdout, stderr } = spawnSync("npm", args, { cwd: directory, encoding: "utf8", shell: process.platform === "win32" });
  if (status !== 0) stop(`npm pack failed:\n${stderr}`);
  const listed = JSON.parse(stdout);
  return Array.isArray(listed) ? listed : Object.values(listed);
}

// What another run has packed stays in the list.
function writeList(packed) {
  const file = path.join(output, "packages.json");
  const before = fs.existsSync(file) ? readJson(file) : [];
  const kept = before.filter((old) => !packed.some((now) => now.file === old.file) && fs.existsSync(path.join(output, old.file)));
  fs.writeFileSync(file, JSON.stringify([...kept, ...packed], null, 2) + "\n");
}

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(1);
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(file, "utf8"));
}

function stop(message) {
  console.error(`pack-all: ${message}`);
  process.exit(1);
}
