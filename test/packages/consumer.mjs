// A user's project in an empty folder: on its PATH are Node and the few programs that package managers start, no compiler and no
// Python; no libtorch is to be found but in packages, and of networks there is the loopback interface only.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.dirname(path.dirname(here));
export const platform = `${process.platform}-${process.arch}`;
export const runtime = `@libtorch-ood/libtorch-${platform}`;
export const addon = `@libtorch-ood/addon-${platform}`;
const version = JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")).version;
/** The library in the version that was packed; tests have the registry serve later ones too. */
export const library = `libtorch-ood@${version}`;
/** The directory whose tarballs the registry serves. */
export const served = process.env.PACKAGES_SERVED;
const registry = process.env.PACKAGES_REGISTRY;
const work = process.env.PACKAGES_WORK;
assert(served && registry && work, "run this by `npm run test:packages`");

const tool = (...parts) => path.join(here, "node_modules", ...parts);

/** How each package manager installs, and how it runs a program; `{ scripts: false }` is the default of them all here. */
export const managers = {
  npm: { add: ["npm", "install"], install: ["npm", "ci"], node: ["node"] },
  pnpm: { add: ["node", tool("pnpm", "bin", "pnpm.cjs"), "add"], node: ["node"] },
  yarn: { add: ["node", tool("yarn", "bin", "yarn.js"), "add"], node: ["node"] },
  "yarn-pnp": {
    add: ["node", tool("@yarnpkg", "cli-dist", "bin", "yarn.js"), "add"],
    node: ["node", tool("@yarnpkg", "cli-dist", "bin", "yarn.js"), "node"],
  },
};

/** Makes an empty project; what `package.json` holds besides its name may be given. */
export function createProject(name, manifest = {}) {
  const directory = fs.mkdtempSync(path.join(work, `${name}-`));
  write(directory, "package.json", JSON.stringify({ name: "consumer", version: "1.0.0", private: true, ...manifest }, null, 2));
  write(directory, ".npmrc", `registry=${registry}\nignore-scripts=true\naudit=false\nfund=false\nupdate-notifier=false\n`);
  write(directory, ".yarnrc", `registry "${registry}"\nignore-scripts true\ndisable-self-update-check true\n`);
  const yarn = [
    `npmRegistryServer: "${registry.slice(0, -1)}"`,
    "unsafeHttpWhitelist: [127.0.0.1]",
    "enableScripts: false",
    "enableTelemetry: false",
  ];
  write(
    directory,
    ".yarnrc.yml",
    [...yarn, "enableGlobalCache: false", "nodeLinker: pnp", "pnpEnableEsmLoader: true", "npmMinimalAgeGate: 0", ""].join("\n"),
  );
  write(directory, "yarn.lock", "");
  return directory;
}

export function write(directory, name, text) {
  fs.writeFileSync(path.join(directory, name), text);
  return path.join(directory, name);
}

/** Runs a command in a project and returns its streams and exit code. */
export function run(directory, [command, ...args], environment = {}) {
  const program = command === "node" ? process.execPath : path.join(programs(), command);
  return spawnSync(program, args, { cwd: directory, encoding: "utf8", env: { ...cleanEnvironment(directory), ...environment } });
}

/** As {@link run}, for a command that must succeed; returns what it printed. */
export function succeed(directory, command, environment) {
  const { status, stdout, stderr, error } = run(directory, command, environment);
  assert.equal(status, 0, `${command.join(" ")}: ${error ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}

/** The project, made once, in which npm has installed the library and its libtorch. */
export function installedProject() {
  const marker = path.join(work, "installed.json");
  if (fs.existsSync(marker)) return JSON.parse(fs.readFileSync(marker, "utf8"));
  const directory = createProject("npm");
  const start = performance.now();
  succeed(directory, [...managers.npm.add, library, runtime]);
  const installed = performance.now();
  const answer = JSON.parse(succeed(directory, [...managers.npm.node, copyProgram(directory, "verdict.cjs")]));
  const seconds = { installation: (installed - start) / 1000, verdict: (performance.now() - installed) / 1000 };
  const result = { directory, answer, seconds };
  fs.writeFileSync(marker, JSON.stringify(result));
  return result;
}

/** Puts a program of test/packages/programs into a project. */
export function copyProgram(directory, name) {
  fs.copyFileSync(path.join(here, "programs", name), path.join(directory, name));
  return name;
}

/** Has the registry serve a later release, whose addon for this platform is changed by `change(directory)`. */
export function serveRelease(version, change) {
  const platforms = JSON.parse(fs.readFileSync(path.join(root, "packages", "platforms.json"), "utf8"));
  serveChanged("libtorch-ood", version);
  for (const { name } of platforms) serveChanged(`@libtorch-ood/addon-${name}`, version, name === platform ? change : undefined);
}

function serveChanged(name, version, change = () => {}) {
  const file = fs.readdirSync(served).find((file) => file.startsWith(name.replace("@", "").replace("/", "-") + "-0"));
  const directory = fs.mkdtempSync(path.join(work, "changed-"));
  assert.equal(spawnSync("tar", ["-xzf", path.join(served, file), "-C", directory]).status, 0);
  const content = path.join(directory, "package");
  const manifest = JSON.parse(fs.readFileSync(path.join(content, "package.json"), "utf8"));
  const optional = manifest.optionalDependencies;
  if (optional) for (const key of Object.keys(optional)) optional[key] = version;
  write(content, "package.json", JSON.stringify({ ...manifest, version }));
  change(content);
  const packed = spawnSync("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", served], {
    cwd: content,
    encoding: "utf8",
  });
  assert.equal(packed.status, 0, packed.stderr);
}

function cleanEnvironment(directory) {
  const home = path.join(directory, ".home");
  fs.mkdirSync(home, { recursive: true });
  const nowhere = {
    http_proxy: "http://127.0.0.1:9",
    https_proxy: "http://127.0.0.1:9",
    no_proxy: "127.0.0.1",
    COREPACK_ENABLE_NETWORK: "0",
  };
  return { PATH: programs(), HOME: home, LANG: "C.UTF-8", CI: "1", TMPDIR: work, NPM_CONFIG_CACHE: path.join(home, "npm"), ...nowhere };
}

// npm comes with Node; the shells of package managers use the rest.
function programs() {
  const directory = path.join(work, "bin");
  if (fs.existsSync(directory)) return directory;
  fs.mkdirSync(directory);
  for (const name of ["npm", "sh", "env", "uname", "dirname", "basename", "sed", "tar"]) {
    const found = process.env.PATH.split(path.delimiter).find((place) => fs.existsSync(path.join(place, name)));
    if (found) fs.symlinkSync(fs.realpathSync(path.join(found, name)), path.join(directory, name));
  }
  fs.symlinkSync(process.execPath, path.join(directory, "node"));
  return directory;
}
