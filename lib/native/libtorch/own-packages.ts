// Checks whether a package of ours that Node resolved came from where programs are installed. Node also looks into the directories of NODE_PATH and
// into .node_modules of HOME, relative ones too. Those stand for the current directory, which whoever unpacked an archive there may have filled.

import { existsSync, realpathSync } from "node:fs";
import { basename, delimiter, isAbsolute, join } from "node:path";

/**
 * @param manifest - what Node resolved for the package's package.json
 * @param searched - the directories that it looked into, in its order (`require.resolve.paths`)
 */
export function cameFromRelativePath(manifest: string, name: string, searched: readonly string[], environment = process.env): boolean {
  const named = (environment.NODE_PATH ?? "").split(delimiter);
  const home = process.platform === "win32" ? environment.USERPROFILE : environment.HOME;
  const relativeHome = home ? !isAbsolute(home) : false;
  const isRelative = (directory: string): boolean =>
    !isAbsolute(directory) ||
    (relativeHome && [".node_modules", ".node_libraries"].includes(basename(directory)) && !named.includes(directory));
  const first = searched.find((directory) => existsSync(join(directory, name, "package.json")));
  // Elsewhere in a layout without such directories, as Yarn's Plug'n'Play.
  return first !== undefined && isRelative(first) && realpathSync(join(first, name, "package.json")) === realpathSync(manifest);
}
