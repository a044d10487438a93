// Opens .npy files for reading: a header that fits the file, and where the elements begin.

import type { FileHandle } from "node:fs/promises";
import { bytesPerElement } from "../core/dtype";
import { corruptFile } from "../core/file-errors";
import { maxNpyHeaderBytes, parseNpyHeader } from "./npy-header";
import type { ArrayLayout } from "./plain-values";
import { openRegularFile, readExactly } from "./regular-file";

/** A .npy file whose header has been read. */
export interface OpenNpy {
  /** The caller closes it. */
  readonly handle: FileHandle;
  readonly layout: ArrayLayout;
  readonly dataOffset: number;
  /** Of the elements, which are all that follows the header. */
  readonly byteLength: number;
}

/** Opens a .npy file and checks its header against its size. @throws as `readNpy` */
export async function openNpy(path: string): Promise<OpenNpy> {
  const { handle, size } = await openRegularFile(path);
  try {
    const start = new Uint8Array(Math.min(maxNpyHeaderBytes, size));
    await readExactly(handle, path, 0, start);
    const { dataOffset, ...layout } = parseNpyHeader(start, path);
    const { stored, shape } = layout;
    const byteLength = shape.reduce((product, length) => product * length, 1) * bytesPerElement(stored);
    if (!Number.isSafeInteger(byteLength) || byteLength !== size - dataOffset) {
      const expected = `${byteLength} bytes of ${stored} [${shape.join(", ")}] behind the header`;
      throw corruptFile(path, expected, `${size - dataOffset}`);
    }
    return { handle, layout, dataOffset, byteLength };
  } catch (error) {
    await handle.close();
    throw error;
  }
}
