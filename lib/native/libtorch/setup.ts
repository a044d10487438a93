// Fills the cache with a libtorch from PyTorch's wheels: fetched by pip into a directory of its own, checked, pruned,
// and given its place by a rename, so that the cache never holds half a libtorch.

import { existsSync, mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { isLibtorchOodError, LibtorchOodError } from "../../core/errors";
import { makeDirectory } from "../../core/make-directory";
import { cacheDirectory, cacheEntries, cacheEntry, otherPlace } from "./cache";
import { prune } from "./prune";
import { findPython, pip, type Python } from "./python";
import { nvidiaRequirements, torchMetadata } from "./requirements";
import { removeAbandoned, setupDirectory } from "./setup-directory";
import { readTorchDirectory, type TorchDirectory } from "./torch-directory";
import { cpuIndex, minorOf, pinnedVersion, supportedMinors } from "./versions";
import { keepFromOthers } from "./writable";

export interface SetupOptions {
  /** "2.14.1", or "2.14" for the newest of that minor. Default: {@link pinnedVersion}. */
  readonly version?: string;
  /** Fetch a CUDA build with all of NVIDIA's libraries (several GB); the default is a CPU build. */
  readonly cuda?: boolean;
  /** Fetch it although it is in the cache. */
  readonly force?: boolean;
  readonly environment?: NodeJS.ProcessEnv;
  /** Called with one line for each step. */
  readonly report?: (line: string) => void;
  /** Stops pip; the cache is left as it was. */
  readonly signal?: AbortSignal;
}

/**
 * Puts libtorch into the cache, unless it is there, and returns where.
 *
 * A CPU build comes from PyTorch's public index of CPU builds (`LIBTORCH_OOD_INDEX` names another one; empty: none).
 * Where that is out of reach the plain package serves; if it is a CUDA build, the two packages of NVIDIA without which it
 * does not load come with it. Several processes may do this at once.
 *
 * @throws LibtorchOodError `ERR_OPTION` for a version that is not supported, `ERR_LIBTORCH_NOT_FOUND` where Python or pip
 *   is missing or pip cannot get it, `ERR_IO` where the cache cannot be written, `ERR_ABORTED` when interrupted.
 */
export async function setup(options: SetupOptions = {}): Promise<TorchDirectory> {
  const { version = pinnedVersion, cuda = false, force = false, environment = process.env } = options;
  checkVersion(version);
  const cache = cacheDirectory(environment);
  removeAbandoned(cache);
  const present = force ? undefined : findEntry(cache, version, cuda);
  if (present !== undefined) return present;

  const python = findPython(environment);
  try {
    return await fill(cache, python, { ...options, version, cuda, environment });
  } catch (error) {
    if (isLibtorchOodError(error) || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new LibtorchOodError("ERR_IO", `cannot write the cache ${cache}: ${(error as Error).message}; ${otherPlace}`, { cause: error });
  }
}

async function fill(cache: string, python: Python, options: SetupOptions & { version: string; cuda: boolean }): Promise<TorchDirectory> {
  const { version, cuda, environment = process.env, report = () => {}, signal } = options;
  makeDirectory(cache, 0o755);
  const work = setupDirectory(cache);
  try {
    // Pip unpacks in its temporary directory and moves the result: on the same disk that is a rename.
    const temporary = join(work.path, "tmp");
    mkdirSync(temporary);
    const target = join(work.path, "site-packages");
    const job = { python, target, report, signal, environment: { ...environment, TMPDIR: temporary, TEMP: temporary, TMP: temporary } };
    await installTorch(job, version, cuda);
    const fetched = checked(target, version, cuda);
    if (fetched.cuda !== null) await installNvidia(job, cuda ? "all" : "cpu");
    prune(target, cuda);
    keepFromOthers(target);
    return putInPlace(target, cacheEntry(cache, fetched.version.replace(/\+.*/, ""), cuda));
  } finally {
    work.remove();
  }
}

function checkVersion(version: string): void {
  const minor = minorOf(version);
  if (!/^\d+\.\d+(\.\d+)?$/.test(version) || minor === undefined || !supportedMinors.includes(minor)) {
    const expected = `a version of ${supportedMinors.join(", ")} such as ${pinnedVersion}`;
    throw new LibtorchOodError("ERR_OPTION", `version: expected ${expected}, found ${JSON.stringify(version)}`);
  }
}

function findEntry(cache: string, version: string, cuda: boolean): TorchDirectory | undefined {
  for (const entry of cacheEntries(cache)) {
    if (entry.endsWith("-cuda") !== cuda) continue;
    const torch = readTorchDirectory(entry);
    if (!("problem" in torch) && matches(torch, version)) return torch;
  }
  return undefined;
}

function matches(torch: TorchDirectory, version: string): boolean {
  const found = torch.version.replace(/\+.*/, "");
  return found === version || minorOf(found) === version;
}

interface PipJob {
  readonly python: Python;
  readonly target: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal | undefined;
}

async function installTorch(job: PipJob, version: string, cuda: boolean): Promise<void> {
  const { environment, report } = job;
  const requirement = /^\d+\.\d+$/.test(version) ? `torch==${version}.*` : `torch==${version}`;
  const index = environment.LIBTORCH_OOD_INDEX ?? (cuda ? "" : cpuIndex);
  const failures: string[] = [];
  if (index !== "") {
    report(`Fetching ${requirement} from ${index}`);
    // No retries: where the index is out of reach, know it within seconds.
    const failure = await install(job, ["--no-deps", "--index-url", index, "--retries", "0", "--timeout", "10", requirement]);
    if (failure === undefined) return;
    failures.push(`From ${index}:\n${failure}`);
    report(`That index does not serve; fetching the plain package`);
  } else {
    report(`Fetching ${requirement}`);
  }
  const failure = await install(job, ["--no-deps", requirement]);
  if (failure === undefined) return;
  failures.push(`The plain package:\n${failure}`);
  throw pipFailed(requirement, failures);
}

async function installNvidia(job: PipJob, wanted: "all" | "cpu"): Promise<void> {
  const requirements = nvidiaRequirements(torchMetadata(job.target) ?? "", wanted);
  if (requirements.length === 0) return;
  job.report(`Fetching ${wanted === "all" ? "NVIDIA's libraries" : requirements.join(" ")} (it is a CUDA build)`);
  const failure = await install(job, requirements);
  if (failure !== undefined) throw pipFailed(requirements.join(" "), [failure]);
}

function install({ python, target, environment, signal }: PipJob, args: readonly string[]): Promise<string | undefined> {
  const options = ["--target", target, "--upgrade", "--no-compile", ...python.wheelOptions];
  return pip(python, ["install", ...options, ...args], environment, signal);
}

function pipFailed(what: string, failures: readonly string[]): LibtorchOodError {
  const message = `pip could not install ${what}.\n${failures.join("\n")}\nTo fix it, connect to a network (or set pip's index-url to a mirror) and run: npx libtorch-ood setup`;
  return new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", message);
}

function checked(target: string, version: string, cuda: boolean): TorchDirectory {
  const torch = readTorchDirectory(target);
  const found = "problem" in torch ? torch.problem : torch.version;
  if ("problem" in torch || !matches(torch, version) || !torch.headers) {
    throw new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", `pip fetched something else than libtorch ${version} with its headers: ${found}`);
  }
  if (cuda && torch.cuda === null) {
    const remedy = "name an index of CUDA builds: LIBTORCH_OOD_INDEX=https://download.pytorch.org/whl/cu130 npx libtorch-ood setup --cuda";
    throw new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", `pip fetched ${torch.version}, a CPU build; ${remedy}`);
  }
  return torch;
}

// Another process may put the same version in place first, which is as good.
function putInPlace(target: string, entry: string): TorchDirectory {
  for (let attempt = 0; attempt < 10; attempt++) {
    if (existsSync(entry)) {
      // What is in use keeps its files: a process that has mapped them does not notice.
      const aside = `${target}.old-${attempt}`;
      try {
        renameSync(entry, aside);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
    try {
      renameSync(target, entry);
      break;
    } catch (error) {
      if (!["ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  const torch = readTorchDirectory(entry);
  if ("problem" in torch) throw new LibtorchOodError("ERR_IO", `${entry}: ${torch.problem} after it was put in place`);
  return torch;
}
