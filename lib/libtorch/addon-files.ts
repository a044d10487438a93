// Where the two addons are. node-gyp-build knows the directories (build/Release, prebuilds/<platform>-<arch>, beside the
// executable) but thinks of one .node in each; we take the directory of what it finds, which holds loader.node,
// libtorch_ood.node and build.json.

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import nodeGypBuild from "node-gyp-build";
import { LibtorchOodError } from "../errors";
import { packageRoot } from "../package-root";

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

/** @throws LibtorchOodError `ERR_IO` where the addons were not built for this platform or are not complete. */
export function addonFiles(root: string = packageRoot): AddonFiles {
  let directory: string;
  try {
    directory = dirname(nodeGypBuild.path(root));
  } catch (cause) {
    const places = `${join(root, "build", "Release")} and ${join(root, "prebuilds", `${process.platform}-${process.arch}`)}`;
    throw missing(`no native addon for ${process.platform}-${process.arch} in ${places}`, root, cause);
  }
  const [loader, addon, facts] = ["loader.node", "libtorch_ood.node", "build.json"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const file of [loader, addon, facts]) {
    if (!existsSync(file)) throw missing(`the native addon is not complete: ${file} is missing`, root);
  }
  return { loader, addon, built: readFacts(facts, root) };
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
  return new LibtorchOodError("ERR_IO", `${what}. To build it, run in ${root}: npx node-gyp rebuild`, { cause });
}
