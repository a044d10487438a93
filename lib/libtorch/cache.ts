// The cache that `setup` fills and discovery reads: one directory per version, `<version>` or `<version>-cuda`.

import { readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { pinnedVersion } from "./versions";

/** `$LIBTORCH_OOD_CACHE`, else `libtorch-ood` in the user's cache directory of the platform. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.LIBTORCH_OOD_CACHE) return resolve(environment.LIBTORCH_OOD_CACHE);
  return join(userCache(environment), "libtorch-ood");
}

function userCache(environment: NodeJS.ProcessEnv): string {
  if (process.platform === "win32") return environment.LOCALAPPDATA || join(homedir(), "AppData", "Local");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches");
  return environment.XDG_CACHE_HOME || join(homedir(), ".cache");
}

/** The entry that `setup` fills for a version. */
export function cacheEntry(cache: string, version: string, cuda: boolean): string {
  return join(cache, cuda ? `${version}-cuda` : version);
}

/** The entries there are: the pinned version first, then newer before older; one with all of CUDA before one without. */
export function cacheEntries(cache: string): string[] {
  let names: string[];
  try {
    names = readdirSync(cache).filter((name) => /^\d+\.\d+\.\d+(-cuda)?$/.test(name));
  } catch {
    return [];
  }
  const isPinned = (name: string) => Number(name.replace("-cuda", "") === pinnedVersion);
  names.sort((a, b) => isPinned(b) - isPinned(a) || b.localeCompare(a, "en", { numeric: true }));
  return names.map((name) => join(cache, name));
}
