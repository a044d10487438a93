// Remembers by hashes which inputs a network, a score or a calibration was made from. The hashes are few enough for every file, and enough to notice
// an evaluation on the same inputs.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { fail } from "../core/checks";
import type { Overlap } from "../core/overlap";
import type { Tensor } from "../native/tensor";
import { requireDataset, type Dataset } from "./dataset";

/** Rows of equal length, one per input. */
export interface Rows {
  readonly count: number;
  /** The bytes of a row. */
  readonly row: (index: number) => Uint8Array;
}

/** Number of hashes that are kept, the smallest as numbers: 512 KiB. Fewer inputs are all kept. */
const capacity = 65_536;
const bytesPerTurn = 1 << 20; // about a millisecond of hashing

/**
 * A set of inputs by the first 64 bits of their SHA-256. Of more than {@link capacity} inputs it keeps the smallest hashes, which are a fair sample:
 * an input whose hash is at most the largest one kept is known to be in the set or not, and nothing is known of any other.
 */
export class SeenInputs {
  static readonly none = new SeenInputs(new BigUint64Array(0), true);

  private constructor(
    /** Ascending, none twice. */
    private readonly hashes: BigUint64Array,
    /** Whether these are all. */
    private readonly complete: boolean,
  ) {}

  static async of(rows: Rows): Promise<SeenInputs> {
    return SeenInputs.ofDigests(await digests(rows));
  }

  static ofDigests(all: readonly string[]): SeenInputs {
    return SeenInputs.#smallest(BigUint64Array.from(all, hashOf), undefined);
  }

  get isEmpty(): boolean {
    return this.hashes.length === 0;
  }

  join(other: SeenInputs): SeenInputs {
    const bounds = [this, other].flatMap((set) => set.#bound ?? []);
    const both = new BigUint64Array(this.hashes.length + other.hashes.length);
    both.set(this.hashes);
    both.set(other.hashes, this.hashes.length);
    return SeenInputs.#smallest(both, bounds.length === 0 ? undefined : bounds.reduce((a, b) => (a < b ? a : b)));
  }

  /** Which of these rows were seen. */
  async among(rows: Rows): Promise<Overlap> {
    return this.isEmpty ? { indices: [], checked: rows.count } : this.amongDigests(await digests(rows));
  }

  amongDigests(all: readonly string[]): Overlap {
    const bound = this.#bound;
    const known = new Set(this.hashes);
    const indices: number[] = [];
    let checked = 0;
    for (const [i, digest] of all.entries()) {
      const hash = hashOf(digest);
      if (bound !== undefined && hash > bound) continue;
      checked++;
      if (known.has(hash)) indices.push(i);
    }
    return { indices, checked };
  }

  /** The form in a file's header; undefined, and so left out, where the set is empty. */
  toJSON(): { hashes: string; complete: boolean } | undefined {
    if (this.isEmpty) return undefined;
    const { buffer, byteOffset, byteLength } = this.hashes;
    return { hashes: Buffer.from(buffer, byteOffset, byteLength).toString("base64"), complete: this.complete };
  }

  /** The set that {@link toJSON} gave; {@link none} for nothing, undefined for anything else. */
  static parse(value: unknown): SeenInputs | undefined {
    if (value === undefined || value === null) return SeenInputs.none;
    const { hashes: text, complete } = value as { hashes?: unknown; complete?: unknown };
    if (typeof text !== "string" || typeof complete !== "boolean" || text.length > Math.ceil((8 * capacity) / 3) * 4) return undefined;
    const bytes = Buffer.from(text, "base64");
    if (bytes.length === 0 || bytes.length % 8 !== 0 || bytes.toString("base64") !== text) return undefined;
    const hashes = BigUint64Array.from({ length: bytes.length / 8 }, (_, i) => bytes.readBigUInt64LE(8 * i));
    const ascending = hashes.every((hash, i) => i === 0 || hash > (hashes[i - 1] as bigint));
    return ascending ? new SeenInputs(hashes, complete) : undefined;
  }

  /** The largest hash of which anything is known; undefined where all hashes were kept. */
  get #bound(): bigint | undefined {
    return this.complete ? undefined : this.hashes.at(-1);
  }

  /**
   * @param bound - nothing is known of hashes above it
   */
  static #smallest(hashes: BigUint64Array, bound: bigint | undefined): SeenInputs {
    const kept = hashes.sort().filter((hash, i) => hash !== hashes[i - 1] && (bound === undefined || hash <= bound));
    const complete = bound === undefined && kept.length <= capacity;
    return new SeenInputs(kept.slice(0, capacity), complete);
  }
}

/** SHA-256 of every row, in base64. */
export async function digests({ count, row }: Rows): Promise<string[]> {
  const found: string[] = [];
  for (let i = 0, bytes = 0; i < count; i++) {
    const content = row(i);
    found.push(createHash("sha256").update(content).digest("base64"));
    bytes += content.length + 256;
    if (bytes < bytesPerTurn) continue;
    bytes = 0;
    await turn();
  }
  return found;
}

function hashOf(digest: string): bigint {
  return Buffer.from(digest.slice(0, 12), "base64").readBigUInt64LE(); // 12 characters are 9 bytes
}

export function imageRows(data: Dataset): Rows {
  return { count: data.length, row: (index) => data.image(index) };
}

/** The values as float64, so that a row is recognised whatever its dtype was. */
export function tensorRows(tensor: Tensor): Rows {
  return {
    count: tensor.shape[0] as number,
    row: (index) => {
      const slice = tensor.slice(index, index + 1); // one at a time: a copy of all would hold the event loop up
      const values = slice.toArray() as Float32Array | Float64Array;
      slice.dispose();
      return new Uint8Array(Float64Array.from(values).buffer);
    },
  };
}

/**
 * Which images of data sets are also in another one, byte for byte. An evaluation on images that a network was trained on says nothing.
 *
 * @param reference - the data set to look into, such as the training images. If it has more than 65,536 different images, a sample of them is looked
 *   into.
 * @param sets - the data sets whose images are looked up
 * @returns for each of `sets` the indices of its images that are in `reference`, and how many could be checked
 * @throws ERR_OPTION for anything but a Dataset and a list of them; ERR_SHAPE where the arrays of a data set are gone
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { train, test } = await datasets.cifar10("data");
 * const [found] = await datasets.overlap(train, [test]); // found.indices is [] where no test image is among the training images
 */
export async function overlap(reference: Dataset, sets: readonly Dataset[]): Promise<Overlap[]> {
  requireDataset(reference, "reference");
  if (!Array.isArray(sets)) fail("ERR_OPTION", "sets", "a list of Datasets", sets);
  const asked = Array.from(sets, (data: unknown, i) => requireDataset(data, `sets[${i}]`));
  const seen = await SeenInputs.of(imageRows(reference));
  const found: Overlap[] = [];
  for (const data of asked) found.push(await seen.among(imageRows(data)));
  return found;
}
