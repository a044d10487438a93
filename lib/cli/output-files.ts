// Checks, before the work of a command begins, that the files it writes at the end can be written.

import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { requireWritable } from "../formats/writable";

/**
 * The output of an option must be writable, and no file that the command reads or writes besides.
 *
 * @param others - what each of the other files is, by its path; undefined where an option was not given
 * @throws ERR_IO, ERR_OPTION
 */
export async function requireOutput(
  option: string,
  path: string,
  others: Readonly<Record<string, string | undefined>> = {},
): Promise<void> {
  await requireWritable(path);
  const own = await identity(path);
  for (const [what, other] of Object.entries(others)) {
    if (other === undefined || (await identity(other)) !== own) continue;
    throw new LibtorchOodError("ERR_OPTION", `${option}: expected another file than ${what}, found ${path} for both`);
  }
}

/** The same for two paths of one file, also where it does not exist yet. */
export async function identity(path: string): Promise<string> {
  const whole = await realpath(path).catch(() => undefined);
  if (whole !== undefined) return whole;
  const folder = await realpath(dirname(path)).catch(() => resolve(dirname(path)));
  return join(folder, basename(path));
}
