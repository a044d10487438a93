// Checks whether libtorch fits into the address space that a limit (ulimit -v) leaves. Where it does not, a library fails to map with a message about
// segments, or one of its constructors throws, which ends the process.

import { readFileSync, statSync } from "node:fs";
import { LibtorchOodError } from "../../core/errors";

const mebibyte = 2 ** 20;
/** What libtorch allocates while it is opened: its operators, about 50 MiB, and what malloc keeps beside them. */
const allocated = 96 * mebibyte;

/**
 * @param read The text of a file of /proc, for tests.
 * @throws LibtorchOodError `ERR_OUT_OF_MEMORY` where there is such a limit, and the libraries do not fit below it.
 */
export function requireAddressSpace(libraries: readonly string[], read: (path: string) => string | undefined = readText): void {
  const limit = Number(/^Max address space +(\d+)/m.exec(read("/proc/self/limits") ?? "")?.[1] ?? Infinity);
  if (limit === Infinity) return;
  const used = Number(/^VmSize:\s+(\d+) kB/m.exec(read("/proc/self/status") ?? "")?.[1] ?? 0) * 1024;
  const needed = allocated + libraries.reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0);
  if (limit - used >= needed) return;
  const [allowed, taken, wanted] = [limit, used, needed].map((bytes) => `${Math.ceil(bytes / mebibyte)} MiB`);
  throw new LibtorchOodError(
    "ERR_OUT_OF_MEMORY",
    `libtorch does not fit into the address space of this process: expected room for ${wanted}; found a limit of ${allowed}, of which ${taken} are in use. Raise it (ulimit -v)`,
  );
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // not Linux, or not to be read
  }
}
