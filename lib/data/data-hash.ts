// The fingerprint of data sets as they are used, by which a resumed run knows its data again.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { requireArrays, requireDataset, type Dataset } from "./dataset";

const pieceBytes = 8 << 20; // about 2 ms of hashing: the event loop turns between pieces

/** SHA-256 over shapes, labels and images of data sets, in hexadecimal. */
export async function dataHash(datasets: readonly (Dataset | undefined)[]): Promise<string> {
  const hash = createHash("sha256");
  for (const dataset of datasets) {
    if (dataset === undefined) {
      hash.update("none;");
      continue;
    }
    requireArrays(dataset);
    hash.update(`${dataset.length}x${dataset.shape.join("x")};`);
    const { labels, images } = dataset;
    hash.update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
    for (let offset = 0; offset < images.length; offset += pieceBytes) {
      await turn();
      requireArrays(dataset);
      hash.update(images.subarray(offset, offset + pieceBytes));
    }
  }
  return hash.digest("hex");
}

/**
 * SHA-256 of a data set as it is: its shape, labels and images, in hexadecimal. Names are not in it.
 *
 * @throws ERR_OPTION for anything but a Dataset, ERR_SHAPE where the arrays are gone
 */
export async function hash(dataset: Dataset): Promise<string> {
  return dataHash([requireDataset(dataset, "dataset")]);
}
