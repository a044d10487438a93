// The Python version of CIFAR-10 and CIFAR-100, which torchvision unpacks: pickles of N×3072 bytes (red, green and blue planes, row by row) and label
// lists.

import { describe } from "../../core/checks";
import { corruptFile } from "../../core/file-errors";
import { parsePickle, type Pickled } from "../../formats/pickle";
import { integersOf, PickledArray } from "../../formats/pickle-integers";
import { allocateBytes, openRegularFile, readExactly } from "../../formats/regular-file";
import type { CifarRecords, LabelByte } from "./cifar-records";

const pixels = 3 * 32 * 32;
/** The training images of CIFAR-100 have 155 MB. */
const maxFileBytes = 1 << 28;

/** V8 tells long strings apart by comparing them. */
const maxNameLength = 1000;

/** A list of labels in a pickle. */
export interface LabelList extends LabelByte {
  /** "labels", "fine_labels", … */
  readonly key: string;
}

/**
 * Reads files of `recordsPerFile` images each, in the order given.
 *
 * @throws ERR_CORRUPT_FILE where a file has other content, or a label that is no class; ERR_IO; ERR_OUT_OF_MEMORY
 */
export async function readPythonBatches(
  paths: readonly string[],
  recordsPerFile: number,
  lists: readonly LabelList[],
): Promise<CifarRecords> {
  const count = paths.length * recordsPerFile;
  const images = allocateBytes(count * pixels, `${paths[0]} and its like`);
  const labels = lists.map(() => new Int32Array(count));
  for (const [fileIndex, path] of paths.entries()) {
    const batch = await readDictionary(path);
    const data = batch.get("data");
    const shape = data instanceof PickledArray ? data.shape.join(", ") : "none";
    if (!(data instanceof PickledArray) || data.type.dtype !== "uint8" || shape !== `${recordsPerFile}, ${pixels}`) {
      const found = data instanceof PickledArray && data.type.dtype !== "uint8" ? `"${data.type.dtype}" [${shape}]` : shape;
      throw corruptFile(path, `"data" of bytes [${recordsPerFile}, ${pixels}]`, found);
    }
    images.set(data.data, fileIndex * recordsPerFile * pixels);
    lists.forEach(({ key, name, classes }, position) => {
      const list = labelList(batch.get(key));
      if (!Array.isArray(list) || list.length !== recordsPerFile) {
        const other = list instanceof PickledArray ? `"${list.type.dtype}" [${list.shape.join(", ")}]` : "0";
        throw corruptFile(path, `${recordsPerFile} "${key}"`, Array.isArray(list) ? `${list.length}` : other);
      }
      list.forEach((label: Pickled, record) => {
        if (!Number.isInteger(label) || (label as number) < 0 || (label as number) >= classes) {
          throw corruptFile(path, `a ${name} from 0 to ${classes - 1}`, `${describe(label)} in record ${record}`);
        }
        (labels[position] as Int32Array)[fileIndex * recordsPerFile + record] = label as number;
      });
    });
  }
  return { images, labels };
}

/** Labels as a list. A program that wrote the batches anew may have left numpy arrays; a column of them counts as a list. */
function labelList(given: Pickled | undefined): Pickled | undefined {
  if (!(given instanceof PickledArray)) return given;
  const { shape, type } = given;
  const isList = shape.length === 1 || (shape.length === 2 && shape[1] === 1);
  return isList && type.dtype !== "bool" ? integersOf(given) : given;
}

/**
 * The class names in `batches.meta` or `meta`.
 *
 * @throws ERR_CORRUPT_FILE where there are not `count` different names; ERR_IO
 */
export async function readPythonClassNames(path: string, key: string, count: number): Promise<string[]> {
  const names = (await readDictionary(path)).get(key);
  const sound =
    Array.isArray(names) &&
    names.length === count &&
    names.every((name) => typeof name === "string" && name.length <= maxNameLength) &&
    new Set(names).size === count;
  if (!sound) {
    throw corruptFile(path, `${count} different class names in "${key}"`, Array.isArray(names) ? `${names.length} entries` : "none");
  }
  return names as string[];
}

async function readDictionary(path: string): Promise<ReadonlyMap<string, Pickled>> {
  const { handle, size } = await openRegularFile(path);
  try {
    if (size > maxFileBytes) throw corruptFile(path, `a pickle of at most ${maxFileBytes} bytes`, `${size} bytes`);
    const bytes = allocateBytes(size, path);
    await readExactly(handle, path, 0, bytes);
    const content = parsePickle(bytes, path);
    if (!(content instanceof Map)) throw corruptFile(path, "a pickled dictionary", "something else");
    return content as ReadonlyMap<string, Pickled>;
  } finally {
    await handle.close();
  }
}
