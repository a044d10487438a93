// Adds to errors about model outputs which set they are of: the same check serves training, calibration and inputs, and sees pieces of them.

import { isLibtorchOodError, LibtorchOodError } from "./errors";

/**
 * Awaits the call. The message of an error about features or logits then begins with `prefix` and counts rows from the first row of all.
 *
 * @param prefix - "calibration." or "file.npy: "
 * @param before - number of rows before those of the call
 */
export async function located<T>(prefix: string, call: Promise<T>, before = 0): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!isLibtorchOodError(error) || !/^(?:input\.)?(?:features|rawFeatures|logits)\b/.test(error.message)) throw error;
    const message = error.message.replace(/\brow (\d+)/, (_, row: string) => `row ${Number(row) + before}`);
    throw new LibtorchOodError(error.code, `${prefix}${message}`, { cause: error });
  }
}
