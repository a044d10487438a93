// Decides which entries of the environment may name code that is loaded or run: absolute paths only. An empty or relative path stands for the current
// directory, which whoever unpacked an archive there may have filled.

import { userInfo } from "node:os";
import { delimiter, dirname, isAbsolute, resolve } from "node:path";

/** The folder that programs are started from. Whoever may write there can replace Node itself. */
export const trustedDirectory = dirname(process.execPath);

/** Why a path that the environment names is ignored; undefined for an absolute one. */
export function relativePathProblem(value: string): string | undefined {
  return isAbsolute(value) ? undefined : `expected an absolute path, such as ${resolve(value)}; found a relative one`;
}

/** The user's home: that of the environment where it is absolute, else the system's own record; undefined where there is none. */
export function homeDirectory(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const named = process.platform === "win32" ? environment.USERPROFILE : environment.HOME;
  if (named && isAbsolute(named)) return named;
  try {
    const { homedir } = userInfo();
    return isAbsolute(homedir) ? homedir : undefined;
  } catch {
    return undefined; // a user of whom the system knows a number only, as in containers
  }
}

/**
 * The environment for a Python that is started in {@link trustedDirectory}: in lists of directories the absolute ones are left, and
 * from 3.11 on Python does not search the directory that it starts in.
 */
export function pythonEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const result: NodeJS.ProcessEnv = { ...environment, PYTHONSAFEPATH: "1" };
  for (const name of Object.keys(result)) {
    // On Windows the one variable may be written Path.
    if (["PATH", "PYTHONPATH"].includes(name.toUpperCase())) result[name] = absoluteEntries(result[name] ?? "");
  }
  return result;
}

function absoluteEntries(list: string): string {
  return list
    .split(delimiter)
    .filter((entry) => isAbsolute(entry))
    .join(delimiter);
}
