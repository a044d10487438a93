// Where the two addons are: in build/Release where they were built here, else in the package that carries them for this
// platform. node-gyp-build knows the directories of a build (also prebuilds/<platform>-<arch> and that beside the executable)
// but thinks of one .node in each; we take the directory of what it finds, with loader.node, libtorch_ood.node and build.json.
// Of a program in an archive, each file is taken from beside it where it is there.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import nodeGypBuild from "node-gyp-build";
import { LibtorchOodError } from "../../core/errors";
import { packageRoot, packageVersion } from "../../core/package-root";
import { unpacked } from "./asar";
import { relativePathProblem } from "./environment";
import { cameFromRelativePath } from "./own-packages";
import { systemProblem } from "./system";
import "./traced-names";

export interface AddonFiles {
  readonly loader: string;
  readonly addon: string;
  readonly built: BuildFacts;
}

/** What scripts/build-native.mjs writes beside the addons, to be known before the addon can be loaded. */
export interface BuildFacts {
  /** The libtorch that the addon was compiled against: "2.13.0+cpu". */
  readonly libtorch: string;
  readonly cuda: string | null;
  /** The Node-API version that the addons ask for. */
  readonly napi: number;
}

/** The package that carries the addons for a platform; an optional dependency of the published library. */
export const addonPackage = `@libtorch-ood/addon-${process.platform}-${process.arch}`;

/**
 * @throws LibtorchOodError `ERR_IO` where the addons are not there for this platform, are not complete or belong to another version of
 *   the library.
 */
export function addonFiles(root: string = packageRoot): AddonFiles {
  const directory = builtHere(root) ?? installed(root);
  if (directory === undefined) {
    const named = process.env.LIBTORCH_OOD_PREBUILD;
    const searched = named || root;
    const both = `${join(searched, "build", "Release")} and ${join(searched, "prebuilds", `${process.platform}-${process.arch}`)}`;
    const places = named ? `${both} (LIBTORCH_OOD_PREBUILD=${named})` : both;
    throw missing(`no native addon for ${process.platform}-${process.arch} in ${places}, nor the package ${addonPackage}`, root);
  }
  const [loader, addon, facts] = ["loader.node", "libtorch_ood.node", "build.json"].map((name) => unpacked(join(directory, name))) as [
    string,
    string,
    string,
  ];
  for (const file of [loader, addon, facts]) {
    if (!existsSync(file)) throw missing(`the native addon is not complete: ${file} is missing`, root);
  }
  return { loader, addon, built: readFacts(facts, root) };
}

// In a bundle the root is that of the program, which may have built an addon of its own: it has no file of our name.
function builtHere(root: string): string | undefined {
  const named = process.env.LIBTORCH_OOD_PREBUILD; // read by node-gyp-build
  const problem = named ? relativePathProblem(named) : undefined;
  if (problem !== undefined) throw new LibtorchOodError("ERR_IO", `LIBTORCH_OOD_PREBUILD=${named}: ${problem}`);
  try {
    const directory = dirname(nodeGypBuild.path(root));
    const ours = ["loader.node", "libtorch_ood.node"].some((name) => existsSync(join(directory, name)));
    return ours ? directory : undefined;
  } catch {
    return undefined;
  }
}

// JavaScript and addon are one release: another version of the package may have been hoisted to where ours is missing.
function installed(root: string): string | undefined {
  const require = createRequire(join(root, "package.json"));
  let manifest: string;
  try {
    manifest = require.resolve(`${addonPackage}/package.json`);
  } catch {
    return undefined;
  }
  if (cameFromRelativePath(manifest, addonPackage, require.resolve.paths(addonPackage) ?? [])) return undefined;
  const { version } = require(manifest) as { version?: unknown };
  if (version !== packageVersion()) {
    throw missing(`${dirname(manifest)} is of version ${printable(version)}, and this is libtorch-ood ${packageVersion()}`, root);
  }
  return dirname(manifest);
}

function readFacts(file: string, root: string): BuildFacts {
  let facts: Partial<BuildFacts> | null;
  try {
    facts = JSON.parse(readFileSync(file, "utf8")) as Partial<BuildFacts> | null;
  } catch (cause) {
    throw missing(`${file} cannot be read`, root, cause);
  }
  const { libtorch, cuda = null, napi } = facts ?? {};
  // It goes into messages, and into commands that they recommend.
  if (typeof libtorch !== "string" || !/^\d+\.\d+\.\d+[\w.+-]{0,40}$/.test(libtorch)) {
    throw missing(`${file} does not say which libtorch the addon was built for: found ${printable(libtorch)}`, root);
  }
  if (typeof napi !== "number" || !(cuda === null || /^[\d.]{1,10}$/.test(String(cuda)))) {
    throw missing(`${file} is damaged: expected napi and cuda, found ${printable(napi)} and ${printable(cuda)}`, root);
  }
  return { libtorch, cuda, napi };
}

function printable(value: unknown): string {
  return (JSON.stringify(value) ?? "none").slice(0, 100);
}

function missing(what: string, root: string, cause?: unknown): LibtorchOodError {
  const install = `Where there is a prebuilt one, install it: npm install ${addonPackage}@${packageVersion()}`;
  const why = "(npm leaves it out with --omit=optional, and with a lock file that was made for other platforms)";
  const reason = systemProblem("") ?? `${install} ${why}. ${buildCommand(root) ?? leftOut}`;
  return new LibtorchOodError("ERR_IO", `${what}. ${reason}`, { cause });
}

const leftOut =
  "In a bundle, or in the standalone output of Next.js, keep libtorch-ood external and copy its packages: " +
  'serverExternalPackages: ["libtorch-ood"] and outputFileTracingIncludes: { "/*": ["node_modules/@libtorch-ood/**/*"] }, ' +
  "see docs/guide/bundlers.md of libtorch-ood.";

/** What to run to have the addons built here; undefined where the sources have been left behind, as by a bundler. */
function buildCommand(root: string): string | undefined {
  const script = join(root, "scripts", "build-native.mjs");
  return existsSync(script) ? `To build it, run: node ${script}` : undefined;
}

/** What to do about addons that are there and do not load. */
export function installAnew(root: string = packageRoot): string {
  return buildCommand(root) ?? `Install it anew: npm install --force ${addonPackage}@${packageVersion()}`;
}
