// Finds libtorch. It searches the places in their order, and reports for each what is there or why it does not serve.

import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, isAbsolute, join } from "node:path";
import { isLibtorchOodError } from "../../core/errors";
import { packageRoot } from "../../core/package-root";
import { unpacked } from "./asar";
import { cacheDirectory, cacheEntries } from "./cache";
import { relativePathProblem } from "./environment";
import { cameFromRelativePath } from "./own-packages";
import { runPython } from "./python";
import { readTorchDirectory, type TorchDirectory } from "./torch-directory";
import { minorOf, supportedMinors } from "./versions";

/** One place that was looked at. */
export interface Attempt {
  /** What named the place: "LIBTORCH", "VIRTUAL_ENV", "cache", ... */
  readonly source: string;
  /** The path looked at, where the source names one. */
  readonly path?: string;
  /** What is there, where it is a libtorch (of any version). */
  readonly torch?: TorchDirectory;
  /** Why it does not serve; absent in the one that was chosen. */
  readonly problem?: string;
}

export interface Discovery {
  /** The first that fits. */
  readonly chosen?: TorchDirectory & { readonly source: string };
  /** Every place up to and including the chosen one. */
  readonly attempts: readonly Attempt[];
}

export interface DiscoveryOptions {
  /** The minors that fit; all supported ones if not given. */
  readonly minors?: readonly string[];
  /** Whether the headers must be there, for compiling. */
  readonly headers?: boolean;
  readonly environment?: NodeJS.ProcessEnv;
  /** The directory from which the runtime package is resolved. */
  readonly root?: string;
}

/** The package that carries libtorch for a platform, where it is installed. */
export const runtimePackage = `@libtorch-ood/libtorch-${process.platform}-${process.arch}`;

/**
 * Looks for libtorch at `LIBTORCH_OOD_HOME`, `LIBTORCH`, the runtime package, the site-packages of `VIRTUAL_ENV` and of
 * `CONDA_PREFIX`, with `LIBTORCH_USE_PYTORCH=1` the python on the PATH, and the cache of `setup`, in this order. System
 * directories and the current directory are never searched: a variable that holds a relative path is reported and ignored. A copy
 * of the wrong minor is skipped and reported. For a path in Electron's `app.asar` the one beside it in `app.asar.unpacked` is taken.
 */
export function discover(options: DiscoveryOptions = {}): Discovery {
  const { minors = supportedMinors, headers = false, environment = process.env, root = packageRoot } = options;
  const attempts: Attempt[] = [];
  for (const candidate of places(environment, root)) {
    if (candidate.path === undefined) {
      attempts.push(candidate);
      continue;
    }
    const place = { ...candidate, path: unpacked(candidate.path) };
    const found = readTorchDirectory(place.path);
    if ("problem" in found) {
      attempts.push({ ...place, problem: found.problem });
      continue;
    }
    const problem = misfit(found, minors, headers);
    attempts.push({ ...place, torch: found, ...(problem === undefined ? {} : { problem }) });
    if (problem === undefined) return { chosen: { ...found, source: place.source }, attempts };
  }
  return { attempts };
}

function misfit(torch: TorchDirectory, minors: readonly string[], headers: boolean): string | undefined {
  const minor = minorOf(torch.version);
  if (minor === undefined || !minors.includes(minor)) return `it is version ${torch.version}; ${minors.join(", ")} is needed`;
  if (headers && !torch.headers) return "it has no headers (include/ATen/ATen.h) to compile against";
  return undefined;
}

function* places(environment: NodeJS.ProcessEnv, root: string): Generator<Attempt> {
  for (const name of ["LIBTORCH_OOD_HOME", "LIBTORCH"]) yield named(name, environment[name]);
  yield fromRuntimePackage(root);
  for (const name of ["VIRTUAL_ENV", "CONDA_PREFIX"]) yield* fromSitePackages(name, environment[name]);
  yield fromPython(environment);
  yield* fromCache(environment);
}

function named(source: string, value: string | undefined): Attempt {
  if (!value) return { source, problem: "not set" };
  const problem = relativePathProblem(value);
  // Without a path, so that nobody looks there.
  return problem === undefined ? { source, path: value } : { source, problem: `${value}: ${problem}` };
}

function fromRuntimePackage(root: string): Attempt {
  try {
    const { resolve } = createRequire(join(root, "package.json"));
    const manifest = resolve(`${runtimePackage}/package.json`);
    if (cameFromRelativePath(manifest, runtimePackage, resolve.paths(runtimePackage) ?? [])) {
      return { source: runtimePackage, problem: "only by a relative path of NODE_PATH or HOME, which is ignored" };
    }
    return { source: runtimePackage, path: dirname(manifest) };
  } catch {
    return { source: runtimePackage, problem: "not installed" };
  }
}

function* fromSitePackages(source: string, prefix: string | undefined): Generator<Attempt> {
  const attempt = named(source, prefix);
  if (prefix === undefined || attempt.problem !== undefined) {
    yield attempt;
    return;
  }
  const torches = sitePackages(prefix)
    .map((directory) => join(directory, "torch"))
    .filter((path) => existsSync(path));
  if (torches.length === 0) yield { source, problem: `no torch in the site-packages of ${prefix}` };
  for (const path of torches) yield { source, path };
}

function sitePackages(prefix: string): string[] {
  if (process.platform === "win32") return [join(prefix, "Lib", "site-packages")];
  try {
    return readdirSync(join(prefix, "lib"))
      .filter((name) => /^python3(\.\d+)?t?$/.test(name))
      .map((name) => join(prefix, "lib", name, "site-packages"));
  } catch {
    return [];
  }
}

function fromPython(environment: NodeJS.ProcessEnv): Attempt {
  const source = "LIBTORCH_USE_PYTORCH";
  if (environment.LIBTORCH_USE_PYTORCH !== "1") return { source, problem: "not set to 1" };
  // The first entry of sys.path is the current directory where Python is older than 3.11.
  const program = [
    "import sys",
    "sys.path = [place for place in sys.path if place]",
    "import importlib.util",
    "torch = importlib.util.find_spec('torch')",
    "print(torch.submodule_search_locations[0] if torch else '')",
  ];
  for (const python of ["python3", "python"]) {
    const answer = runPython([python], ["-c", program.join("\n")], environment);
    if (answer === undefined) continue;
    const path = answer.trim();
    return isAbsolute(path) ? { source, path } : { source, problem: `${python} has no torch` };
  }
  return { source, problem: "no python3 or python that works is on the PATH" };
}

function* fromCache(environment: NodeJS.ProcessEnv): Generator<Attempt> {
  const source = "cache";
  let cache: string;
  let entries: string[];
  try {
    cache = cacheDirectory(environment);
    entries = cacheEntries(cache);
  } catch (error) {
    if (!isLibtorchOodError(error)) throw error;
    yield { source, problem: error.message };
    return;
  }
  if (entries.length === 0) yield { source, problem: `nothing in ${cache}` };
  for (const path of entries) yield { source, path };
}
