// The fingerprint of data sets, by which a resumed run recognises its data.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { requireArrays, requireDataset, type Dataset } from "./dataset";

const pieceBytes = 8 << 20; // about 2 ms of hashing: the event loop turns between pieces

/** SHA-256 over the shapes, labels and images of data sets, in hexadecimal. */
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
 * The SHA-256 of a data set's shape, labels and images. Names do not count.
 *
 * @param dataset - the data set
 * @returns 64 hexadecimal digits
 * @throws ERR_OPTION for anything but a Dataset; ERR_SHAPE where the data set's arrays are gone
 * @example
 * import { Dataset, datasets } from "libtorch-ood";
 *
 * const data = Dataset.fromArrays({ images: new Uint8Array([0, 255]), labels: [0, 1], shape: [1, 1, 1] });
 * await datasets.hash(data); // the same on every machine
 */
export async function hash(dataset: Dataset): Promise<string> {
  return dataHash([requireDataset(dataset, "dataset")]);
}
