// Where the two addons are: in build/Release where they were built here, else in the package that carries them for this
// platform. node-gyp-build knows the directories of a build (also prebuilds/<platform>-<arch> and that beside the executable)
// but thinks of one .node in each; we take the directory of what it finds, with loader.node, libtorch_ood.node and build.json.
// Of a program in an archive, each file is taken from beside it where it is there.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import nodeGypBuild from "node-gyp-build";
import { LibtorchOodError } from "../errors";
import { packageRoot } from "../package-root";
import { unpacked } from "./asar";
import { relativePathProblem } from "./environment";

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

/** @throws LibtorchOodError `ERR_IO` where the addons are not there for this platform or are not complete. */
export function addonFiles(root: string = packageRoot): AddonFiles {
  const directory = builtHere(root) ?? installed(root);
  if (directory === undefined) {
    const places = `${join(root, "build", "Release")} and ${join(root, "prebuilds", `${process.platform}-${process.arch}`)}`;
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

function installed(root: string): string | undefined {
  try {
    return dirname(createRequire(join(root, "package.json")).resolve(`${addonPackage}/package.json`));
  } catch {
    return undefined;
  }
}

function readFacts(file: string, root: string): BuildFacts {
  try {
    const facts = JSON.parse(readFileSync(file, "utf8")) as BuildFacts;
    if (typeof facts.libtorch === "string") return facts;
  } catch (cause) {
    throw missing(`${file} cannot be read`, root, cause);
  }
  throw missing(`${file} does not say which libtorch the addon was built for`, root);
}

function missing(what: string, root: string, cause?: unknown): LibtorchOodError {
  const install = `Where there is a prebuilt one, install it: npm install ${addonPackage}@${versionOf(root)}`;
  const why = "(npm leaves it out with --omit=optional, and with a lock file that was made for other platforms)";
  return new LibtorchOodError("ERR_IO", `${what}. ${install} ${why}. ${buildAnew(root)}`, { cause });
}

function versionOf(root: string): string {
  try {
    return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;
  } catch {
    return "latest";
  }
}

/** What to run to have the addons built here. */
export function buildAnew(root: string = packageRoot): string {
  return `To build it, run: node ${join(root, "scripts", "build-native.mjs")}`;
}
