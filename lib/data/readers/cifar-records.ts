// The binary version of CIFAR-10 and CIFAR-100: records of label bytes and 3·32·32 pixels (red, green and blue planes, row by row).

import { corruptFile } from "../../core/file-errors";
import { allocateBytes, openRegularFile, readExactly } from "../../formats/regular-file";
import { readTextFile } from "../../formats/text-file";

const pixels = 3 * 32 * 32;
/** 1,024 records: about 3 MB per read. */
const recordsPerRead = 1024;

/** A label byte, which stands before the pixels of each record. */
export interface LabelByte {
  /** "label", "coarse label", ... for messages. */
  readonly name: string;
  readonly classes: number;
}

export interface CifarRecords {
  /** NCHW */
  readonly images: Uint8Array;
  /** One array per label byte. */
  readonly labels: readonly Int32Array[];
}

/**
 * Reads files of `recordsPerFile` records each, in the order given.
 *
 * @throws ERR_CORRUPT_FILE where a file has another size or a label that is no class; ERR_IO; ERR_OUT_OF_MEMORY
 */
export async function readCifarRecords(
  paths: readonly string[],
  recordsPerFile: number,
  labelBytes: readonly LabelByte[],
): Promise<CifarRecords> {
  const count = paths.length * recordsPerFile;
  const images = allocateBytes(count * pixels, `${paths[0]} and its like`);
  const labels = labelBytes.map(() => new Int32Array(count));
  const recordBytes = labelBytes.length + pixels;
  const buffer = new Uint8Array(recordsPerRead * recordBytes);
  for (const [fileIndex, path] of paths.entries()) {
    const { handle, size } = await openRegularFile(path);
    try {
      if (size !== recordsPerFile * recordBytes) {
        const expected = `${recordsPerFile} records of ${recordBytes} bytes (${recordsPerFile * recordBytes} bytes, the binary version)`;
        throw corruptFile(path, expected, `${size} bytes`);
      }
      for (let first = 0; first < recordsPerFile; first += recordsPerRead) {
        const records = buffer.subarray(0, Math.min(recordsPerRead, recordsPerFile - first) * recordBytes);
        await readExactly(handle, path, first * recordBytes, records);
        for (let start = 0, record = first; start < records.length; start += recordBytes, record++) {
          const index = fileIndex * recordsPerFile + record;
          labelBytes.forEach(({ name, classes }, position) => {
            const label = records[start + position] as number;
            if (label >= classes) throw corruptFile(path, `a ${name} from 0 to ${classes - 1}`, `${label} in record ${record}`);
            (labels[position] as Int32Array)[index] = label;
          });
          images.set(records.subarray(start + labelBytes.length, start + recordBytes), index * pixels);
        }
      }
    } finally {
      await handle.close();
    }
  }
  return { images, labels };
}

/**
 * The class names in a text file, one a line.
 *
 * @throws ERR_CORRUPT_FILE where there are not `count` different names; ERR_IO
 */
export async function readClassNames(path: string, count: number): Promise<string[]> {
  const text = await readTextFile(path, `a list of ${count} class names`, 65_536);
  const names = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (names.length !== count) throw corruptFile(path, `${count} class names, one a line`, `${names.length}`);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw corruptFile(path, `${count} different class names`, `${JSON.stringify(twice)} twice`);
  return names;
}
