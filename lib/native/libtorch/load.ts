// Loads the addon: finds libtorch, checks its version, opens its libraries by absolute path, and only then the addon.

import { readFileSync, realpathSync } from "node:fs";
import { availableParallelism, constants } from "node:os";
import { basename, dirname, isAbsolute } from "node:path";
import { LibtorchOodError } from "../../core/errors";
import { addonFiles, installAnew, type AddonFiles } from "./addon-files";
import { requireAddressSpace } from "./address-space";
import { archiveProblem } from "./asar";
import { processorQuota } from "./cpu-quota";
import { describeAttempts, discoveryError } from "./diagnosis";
import { discover, type Attempt, type Discovery } from "./discover";
import { librariesOf } from "./libraries";
import { cutShort } from "./shared-library";
import { systemProblem } from "./system";
import { libraryFile, readTorchDirectory, type TorchDirectory } from "./torch-directory";
import { minorOf } from "./versions";

/** What was loaded, for `doctor` and for `device`. */
export interface LoadedAddon {
  readonly exports: unknown;
  readonly files: AddonFiles;
  readonly torch: TorchDirectory & { readonly source: string };
  readonly attempts: readonly Attempt[];
  /** Why there is no CUDA; undefined where its libraries were opened. */
  readonly withoutCuda: string | undefined;
}

/** The exports of loader.node (native/loader/loader.cc). */
interface Loader {
  open(path: string): void;
  loaded(soname: string): string | undefined;
}

let loaded: LoadedAddon | undefined;

/**
 * The exports of the native addon, loaded by the first call in this thread.
 *
 * @throws LibtorchOodError `ERR_LIBTORCH_NOT_FOUND` or `ERR_LIBTORCH_VERSION`, with each place that was tried, the
 *   reason why it does not serve, and the command that fixes it, or where another copy of this package has loaded a different
 *   addon; `ERR_IO` where the addon itself is missing or damaged, or this system or this Node does not take it; `ERR_OUT_OF_MEMORY`
 *   where libtorch does not fit below a limit on the address space.
 */
export function loadAddon(): unknown {
  return load().exports;
}

/** As {@link loadAddon}, with what was found on the way. */
export function load(): LoadedAddon {
  return (loaded ??= loadOnce());
}

function loadOnce(): LoadedAddon {
  const { loader, files } = openLoader(addonFiles());
  const minor = minorOf(files.built.libtorch);
  const discovery = inThisProcess(loader, minor) ?? discover({ minors: minor === undefined ? [] : [minor] });
  const { chosen: torch, attempts } = discovery;
  if (torch === undefined) throw discoveryError(discovery, files.built.libtorch);
  const withoutCuda = withOpenMpSettings(() => openLibraries(loader, torch, attempts));
  try {
    return { exports: openNode(files.addon), files, torch, attempts, withoutCuda };
  } catch (cause) {
    throw loadingFailed(files.addon, cause, attempts, installAnew());
  }
}

function openLoader(own: AddonFiles): { loader: Loader; files: AddonFiles } {
  let loader: Loader;
  try {
    loader = openNode(own.loader) as Loader;
  } catch (cause) {
    const { message } = cause as Error;
    const reason = nodeProblem(cause) ?? systemProblem(message) ?? archiveProblem(own.loader) ?? installAnew();
    throw new LibtorchOodError("ERR_IO", `${own.loader} does not load: ${message.replace(/\.$/, "")}. ${reason}`, { cause });
  }
  return { loader, files: { ...own, addon: addonOfThisProcess(loader, own.addon) } };
}

// Each addon has compute threads, an allocator and an exit guard, of which a process can have one: a second copy of this
// package takes the first one's addon where it is the same, and is refused where it is not.
function addonOfThisProcess(loader: Loader, own: string): string {
  const other = loader.loaded(basename(own));
  if (other === undefined || realpathSync(other) === realpathSync(own) || readFileSync(other).equals(readFileSync(own)))
    return other ?? own;
  const what = "this process has loaded the addon of another version of libtorch-ood already, and can have one only";
  const remedy =
    "npm ls libtorch-ood says who brings which; npm dedupe, or one version for all, fixes it; else use one of them in a child process";
  throw new LibtorchOodError("ERR_LIBTORCH_VERSION", `${what}: ${other}; this one is ${own}. ${remedy}.`);
}

// libgomp reads its variables when it is loaded, so that a user's own settings stand and children do not inherit ours.
// (A worker's process.env is a copy: libtorch loaded by a worker first keeps libgomp's defaults.)
function withOpenMpSettings<T>(open: () => T): T {
  const settings = { ...briefSpinning(), ...threadsOfQuota() };
  Object.assign(process.env, settings);
  try {
    return open();
  } finally {
    for (const name of Object.keys(settings)) delete process.env[name];
  }
}

// OpenMP threads that spin long at a barrier burn the time slices that their team mates need wherever another process shares
// the cores: training ran at half speed for twice the processor time. Threads that do not spin at all are woken for each small
// matrix product: a mixture fit took a tenth longer. So they spin for about a tenth of a millisecond.
function briefSpinning(): Record<string, string> {
  const { OMP_WAIT_POLICY: policy, GOMP_SPINCOUNT: count } = process.env;
  return policy === undefined && count === undefined ? { GOMP_SPINCOUNT: "10000" } : {};
}

// OpenMP itself knows the cores that the process may run on, and no quota.
function threadsOfQuota(): Record<string, string> {
  const quota = process.env.OMP_NUM_THREADS === undefined ? processorQuota() : undefined;
  return quota !== undefined && quota < availableParallelism() ? { OMP_NUM_THREADS: String(quota) } : {};
}

// Two copies of libtorch in one process would share symbols at random, so one that is loaded, by us in another thread or
// by somebody else's addon, is the only candidate.
function inThisProcess(loader: Loader, minor: string | undefined): Discovery | undefined {
  const library = loader.loaded(libraryFile("torch_cpu"));
  if (library === undefined) return undefined;
  const source = "this process";
  const path = dirname(dirname(library));
  const torch = readTorchDirectory(path);
  if ("problem" in torch) return { attempts: [{ source, path, problem: `it has loaded this libtorch, but: ${torch.problem}` }] };
  if (minorOf(torch.version) !== minor) {
    return { attempts: [{ source, path, torch, problem: `it has loaded this libtorch ${torch.version} already; ${minor} is needed` }] };
  }
  return { chosen: { ...torch, source }, attempts: [{ source, path, torch }] };
}

/** Returns why CUDA is not usable, undefined if its libraries are open. */
function openLibraries(loader: Loader, torch: TorchDirectory, attempts: readonly Attempt[]): string | undefined {
  const { required, nvidia, cuda } = librariesOf(torch);
  requireAddressSpace(required);
  for (const path of required) {
    const cause = failure(loader, path);
    if (cause !== undefined) throw loadingFailed(path, cause, attempts, "To fetch libtorch anew, run: npx libtorch-ood setup --force");
  }
  if (torch.cuda === null) return "this libtorch is a CPU build";
  if (cuda.length === 0)
    return "of this CUDA build only the part for the CPU was fetched; for all of it run: npx libtorch-ood setup --cuda";
  const driver = failure(loader, "libcuda.so.1");
  if (driver !== undefined) return `there is no NVIDIA driver: ${driver.message}`;
  openInAnyOrder(loader, nvidia);
  // One CUDA query without these turns CUDA off for the whole process, so they come before the addon.
  for (const path of cuda) {
    const cause = failure(loader, path);
    if (cause !== undefined) return cause.message;
  }
  return undefined;
}

// Those that need another one of them open in a later round; those that never do are missed only if libtorch_cuda needs them.
function openInAnyOrder(loader: Loader, paths: readonly string[]): void {
  let closed = paths;
  for (let before = Infinity; closed.length < before;) {
    before = closed.length;
    closed = closed.filter((path) => failure(loader, path) !== undefined);
  }
}

function failure(loader: Loader, path: string): Error | undefined {
  try {
    requireWhole(path);
    loader.open(path);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function openNode(file: string): unknown {
  requireWhole(file);
  const holder = { exports: {} };
  process.dlopen(holder, file, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_LOCAL);
  return holder.exports;
}

function requireWhole(path: string): void {
  const problem = isAbsolute(path) ? cutShort(path) : undefined; // not of a name that the linker looks for
  if (problem !== undefined) throw new Error(problem);
}

/** The reason why Node itself refuses every addon, with the option that allows it; undefined for another problem. */
function nodeProblem(cause: unknown): string | undefined {
  if ((cause as { code?: unknown }).code !== "ERR_DLOPEN_DISABLED") return undefined;
  return "This Node was told to load no addons: run it without --no-addons, and where it has --permission, with --allow-addons.";
}

function loadingFailed(path: string, cause: unknown, attempts: readonly Attempt[], fix: string): LibtorchOodError {
  const { message: said } = cause as Error;
  const reason = systemProblem(said) ?? archiveProblem(path);
  const what = `libtorch was found but ${path} does not load: ${said}${reason === undefined ? "" : `\n${reason}`}`;
  const remedy = reason === undefined ? ` ${fix}` : ""; // another copy would not load either
  const message = `${what}\nTried, in order:\n${describeAttempts(attempts)}\nTo see more, run: npx libtorch-ood doctor.${remedy}`;
  return new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", message, { cause });
}
