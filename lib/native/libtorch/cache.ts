// The cache that `setup` fills and discovery reads: one directory per version, `<version>` or `<version>-cuda`.

import { readdirSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { LibtorchOodError } from "../../core/errors";
import { homeDirectory, relativePathProblem } from "./environment";
import { pinnedVersion } from "./versions";

/**
 * `$LIBTORCH_OOD_CACHE`, else `libtorch-ood` in the user's cache directory of the platform.
 *
 * @throws LibtorchOodError `ERR_IO` where the variable holds a relative path, or the user has no home.
 */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const named = environment.LIBTORCH_OOD_CACHE;
  if (!named) return join(userCache(environment), "libtorch-ood");
  const problem = relativePathProblem(named);
  if (problem !== undefined) throw new LibtorchOodError("ERR_IO", `LIBTORCH_OOD_CACHE=${named}: ${problem}`);
  return named;
}

// The XDG specification has relative paths ignored.
function userCache(environment: NodeJS.ProcessEnv): string {
  const { LOCALAPPDATA: local, XDG_CACHE_HOME: xdg } = environment;
  if (process.platform === "win32" && local && isAbsolute(local)) return local;
  if (!["win32", "darwin"].includes(process.platform) && xdg && isAbsolute(xdg)) return xdg;
  const home = homeDirectory(environment);
  if (home === undefined) {
    throw new LibtorchOodError("ERR_IO", "there is no cache: this user has no home directory; set LIBTORCH_OOD_CACHE to an absolute path");
  }
  if (process.platform === "win32") return join(home, "AppData", "Local");
  return process.platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache");
}

/** The entry that `setup` fills for a version. */
export function cacheEntry(cache: string, version: string, cuda: boolean): string {
  return join(cache, cuda ? `${version}-cuda` : version);
}

/**
 * The entries there are: the pinned version first, then newer before older; one with all of CUDA before one without.
 *
 * @throws LibtorchOodError `ERR_IO` where the directory is there and cannot be read.
 */
export function cacheEntries(cache: string): string[] {
  let names: string[];
  try {
    names = readdirSync(cache).filter((name) => /^\d+\.\d+\.\d+(-cuda)?$/.test(name));
  } catch (cause) {
    const { code = "unreadable" } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new LibtorchOodError("ERR_IO", `cannot read the cache ${cache}: ${code}; ${otherPlace}`, { cause });
  }
  const isPinned = (name: string) => Number(name.replace("-cuda", "") === pinnedVersion);
  names.sort((a, b) => isPinned(b) - isPinned(a) || b.localeCompare(a, "en", { numeric: true }));
  return names.map((name) => join(cache, name));
}

/** What to do where the cache does not serve. */
export const otherPlace = "LIBTORCH_OOD_CACHE names another place for it, by an absolute path";
