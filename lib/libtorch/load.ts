// Loads the addon: finds libtorch, checks its version, opens its libraries by absolute path, and only then the addon.

import { constants } from "node:os";
import { dirname } from "node:path";
import { LibtorchOodError } from "../errors";
import { addonFiles, type AddonFiles } from "./addon-files";
import { describeAttempts, discoveryError } from "./diagnosis";
import { discover, type Attempt, type Discovery } from "./discover";
import { librariesOf } from "./libraries";
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

/** The exports of loader.node (native/loader.cc). */
interface Loader {
  open(path: string): void;
  loaded(soname: string): string | undefined;
}

let loaded: LoadedAddon | undefined;

/**
 * The exports of the native addon, loaded by the first call in this thread.
 *
 * @throws LibtorchOodError `ERR_LIBTORCH_NOT_FOUND` or `ERR_LIBTORCH_VERSION`, with each place that was tried, the
 *   reason why it does not serve, and the command that mends it; `ERR_IO` where the addon itself was not built.
 */
export function loadAddon(): unknown {
  return load().exports;
}

/** As {@link loadAddon}, with what was found on the way. */
export function load(): LoadedAddon {
  return (loaded ??= loadOnce());
}

function loadOnce(): LoadedAddon {
  const files = addonFiles();
  const loader = openNode(files.loader) as Loader;
  const minor = minorOf(files.built.libtorch);
  const discovery = inThisProcess(loader, minor) ?? discover({ minors: minor === undefined ? [] : [minor] });
  const { chosen: torch, attempts } = discovery;
  if (torch === undefined) throw discoveryError(discovery, files.built.libtorch);
  const withoutCuda = waitingBriefly(() => openLibraries(loader, torch, attempts));
  try {
    return { exports: openNode(files.addon), files, torch, attempts, withoutCuda };
  } catch (cause) {
    throw loadingFailed(files.addon, cause, attempts, "To build the addon anew, run in its package: npx node-gyp rebuild");
  }
}

// OpenMP threads that spin at a barrier for long burn the time slices that their team mates need wherever another process
// shares the cores: training ran at half speed for twice the processor time, and not measurably faster on an idle machine. Those
// that never spin are too slow for the thousands of short steps of an eigenvalue decomposition, which took twice the time. About
// 1,000 turns (some 50 microseconds) serve both. libgomp reads the variables when it is loaded, so that a user's own setting stands
// and children do not inherit ours. (A worker's process.env is a copy: libtorch loaded by a worker first keeps libgomp's default.)
function waitingBriefly<T>(open: () => T): T {
  if (process.env.OMP_WAIT_POLICY !== undefined || process.env.GOMP_SPINCOUNT !== undefined) return open();
  process.env.OMP_WAIT_POLICY = "passive"; // other OpenMP libraries than libgomp
  process.env.GOMP_SPINCOUNT = "1000";
  try {
    return open();
  } finally {
    delete process.env.OMP_WAIT_POLICY;
    delete process.env.GOMP_SPINCOUNT;
  }
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
    loader.open(path);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

function openNode(file: string): unknown {
  const holder = { exports: {} };
  process.dlopen(holder, file, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_LOCAL);
  return holder.exports;
}

function loadingFailed(path: string, cause: unknown, attempts: readonly Attempt[], mend: string): LibtorchOodError {
  const what = `libtorch was found but ${path} does not load: ${(cause as Error).message}`;
  const message = `${what}\nTried, in order:\n${describeAttempts(attempts)}\nTo see more, run: npx libtorch-ood doctor. ${mend}`;
  return new LibtorchOodError("ERR_LIBTORCH_NOT_FOUND", message, { cause });
}
