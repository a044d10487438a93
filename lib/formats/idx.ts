// The IDX format of MNIST: magic, big-endian dimensions, unsigned bytes; plain or gzip.

import { contentKind } from "./content-kind";
import { dtypeNamed } from "../core/dtype";
import { corruptFile } from "../core/file-errors";
import { readPlainOrGzip } from "./plain-or-gzip";

export interface IdxArray {
  /** One size per dimension. */
  readonly shape: readonly number[];
  /** Row-major, as many bytes as the sizes multiply to. */
  readonly data: Uint8Array;
}

/**
 * Reads an IDX file of unsigned bytes, plain or gzip by its first bytes.
 *
 * @param path - any name
 * @param rank - number of dimensions that the file must have: 3 for images, 1 for labels
 * @throws ERR_CORRUPT_FILE for a wrong magic, type or rank, and for missing or trailing bytes; ERR_IO
 */
export async function readIdx(path: string, rank: number): Promise<IdxArray> {
  const headerBytes = 4 + 4 * rank;
  let shape: number[] = [];
  const bytes = await readPlainOrGzip(path, headerBytes, (header) => {
    const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
    checkMagic(path, view, rank);
    shape = Array.from({ length: rank }, (_, dimension) => view.getUint32(4 + 4 * dimension));
    const length = shape.reduce((product, size) => product * size, 1) + headerBytes;
    if (!Number.isSafeInteger(length)) throw corruptFile(path, "IDX dimensions that fit in memory", `[${shape.join(", ")}]`);
    return length;
  });
  return { shape, data: bytes.subarray(headerBytes) };
}

function checkMagic(path: string, header: DataView, rank: number): void {
  const magic = header.getUint32(0);
  const [type, foundRank] = [(magic >> 8) & 0xff, magic & 0xff];
  if (magic >>> 16 !== 0 || dtypeNamed("idx", type) === undefined) {
    const first = magic
      .toString(16)
      .padStart(8, "0")
      .replace(/..(?=.)/g, "$& ");
    const kind = contentKind(new Uint8Array(header.buffer, header.byteOffset, header.byteLength));
    throw corruptFile(path, "an IDX file (first bytes 00 00 08)", kind ?? `first bytes ${first}`);
  }
  const dtype = dtypeNamed("idx", type);
  if (dtype !== "uint8") throw corruptFile(path, "an IDX file of unsigned bytes", `one of ${dtype}`);
  if (foundRank !== rank) throw corruptFile(path, `an IDX file with ${describeRank(rank)}`, describeRank(foundRank));
}

function describeRank(rank: number): string {
  if (rank === 1) return "1 dimension (labels)";
  return `${rank} dimensions${rank === 3 ? " (images)" : ""}`;
}
