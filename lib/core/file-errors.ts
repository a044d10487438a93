// The two ways in which a file fails: it cannot be read or written (ERR_IO), or its content is wrong (ERR_CORRUPT_FILE).

import { LibtorchOodError } from "./errors";

/** ERR_CORRUPT_FILE that names the file, what was expected and what was found. */
export function corruptFile(file: string, expected: string, found: string, cause?: unknown): LibtorchOodError {
  return new LibtorchOodError(
    "ERR_CORRUPT_FILE",
    `${file}: expected ${expected}, found ${found}`,
    cause === undefined ? undefined : { cause },
  );
}

/**
 * ERR_IO that names the file and what was being done to it.
 *
 * @param cause - the operating system's error, kept as the cause, or a reason in words
 */
export function ioError(action: string, file: string, cause: unknown): LibtorchOodError {
  if (typeof cause === "string") return new LibtorchOodError("ERR_IO", `cannot ${action} ${file}: ${cause}`);
  const message = (cause as { message?: unknown } | null | undefined)?.message;
  return new LibtorchOodError("ERR_IO", `cannot ${action} ${file}: ${typeof message === "string" ? message : String(cause)}`, { cause });
}

/** Awaits a call of the file system and turns its failure into ERR_IO. */
export async function io<T>(action: string, file: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw ioError(action, file, error);
  }
}

/** The operating system's error code ("ENOENT", ...) of a failed call. */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}
