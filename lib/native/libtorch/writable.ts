// Finds who else may change what is loaded. Libtorch and the addon have the rights of the process, so that another user who may write them has those
// rights too.

import { chmodSync, lstatSync, readdirSync, statSync, type Stats } from "node:fs";
import { dirname, join } from "node:path";

const [ofGroup, ofOthers, sticky] = [0o020, 0o002, 0o1000];

/** Each file or directory, of `paths` and of those above them, that a user other than this one and root may change, with the reason. */
export function writableByOthers(paths: readonly string[]): string[] {
  if (process.platform === "win32") return [];
  const places = new Set(paths.flatMap(withParents));
  return [...places].flatMap((path) => {
    const facts = statSync(path, { throwIfNoEntry: false });
    const reason = facts === undefined ? undefined : whoMayWrite(facts);
    return reason === undefined ? [] : [`${path}: ${reason}`];
  });
}

function withParents(path: string): string[] {
  return dirname(path) === path ? [path] : [path, ...withParents(dirname(path))];
}

function whoMayWrite({ mode, uid, gid }: Stats): string | undefined {
  if ((mode & sticky) !== 0) return undefined; // as /tmp: what is in it belongs to who made it
  const octal = (mode & 0o7777).toString(8).padStart(4, "0");
  if ((mode & ofOthers) !== 0) return `everybody may write there (mode ${octal})`;
  // A group of the user's own, as many systems have it, holds nobody else.
  if ((mode & ofGroup) !== 0 && gid !== 0 && gid !== process.getgid?.()) return `group ${gid} may write there (mode ${octal})`;
  if (uid !== 0 && uid !== process.getuid?.()) return `it belongs to user ${uid}`;
  return undefined;
}

/** Takes from everybody but the owner the right to write, which an umask of 000 gives. */
export function keepFromOthers(path: string): void {
  const { mode } = lstatSync(path);
  if ((mode & (ofGroup | ofOthers)) !== 0) chmodSync(path, mode & 0o755);
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const inside = join(path, entry.name);
    if (entry.isDirectory()) keepFromOthers(inside);
    else if (entry.isFile() && (lstatSync(inside).mode & (ofGroup | ofOthers)) !== 0) chmodSync(inside, lstatSync(inside).mode & 0o755);
  }
}
