// A source over a list that is known from the beginning: a folder's files, or paths that the caller has.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { decodedBatches, checkBatchOptions } from "./batches";
import { identity } from "./identity";
import { permuted, type SourceItem } from "./items";
import type { BatchOptions, ImageSource, SourceBatch } from "./source";

const itemsPerTurn = 4096; // about a millisecond of hashing

/** Images whose places in the list are known, so that every order of them is a permutation. */
export class ListedSource implements ImageSource {
  /** Number of images. */
  readonly length: number;

  /** @internal */
  constructor(
    private readonly itemAt: (index: number) => SourceItem,
    length: number,
    /** Name of each class, in label order; undefined where the images have none. */
    readonly classNames: readonly string[] | undefined,
  ) {
    this.length = length;
  }

  /** Decodes the images batch by batch: see {@link ImageSource.batches}. @throws ERR_OPTION, ERR_RANGE; and what decoding throws, see {@link ResNet.extract} */
  batches(options: BatchOptions): AsyncIterable<SourceBatch> {
    const checked = checkBatchOptions(options);
    return decodedBatches(permuted(this.length, checked.order, this.itemAt), checked);
  }

  /** @internal SHA-256 over the names and labels of the images, which tells a resumed run that they are the same. */
  async [identity](): Promise<string> {
    const hash = createHash("sha256");
    for (let index = 0; index < this.length; index++) {
      if (index % itemsPerTurn === itemsPerTurn - 1) await turn();
      const { image, label } = this.itemAt(index);
      hash.update(`${image.name}\0${label}\n`);
    }
    return hash.digest("hex");
  }
}
