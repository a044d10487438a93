// From what a caller holds (a Dataset, a Tensor, an array with its shape) to a native tensor of images.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { describe } from "../checks";
import { Dataset } from "../datasets/dataset";
import { LibtorchOodError } from "../errors";
import { native, type NativeTensor } from "../native";
import { callNative } from "../native-call";
import { Tensor, toTensor, type ArrayWithShape } from "../tensor";

/** Images [N, C, H, W]: uint8 (0 … 255), or float32/float64 in 0 … 1. */
export type Images = Dataset | Tensor | ArrayWithShape;

const pieceBytes = 8 << 20; // about 2 ms of copying or hashing: the event loop turns between pieces

/** A native copy of a data set's images; or the caller's own tensor. `owned` says which: an owned one is to be disposed. */
export async function imagesTensor(images: Images, name: string): Promise<{ tensor: NativeTensor; owned: boolean }> {
  if (!(images instanceof Dataset)) {
    const tensor = toTensor(images, name);
    return { tensor: Tensor.handle(tensor, name), owned: tensor !== images };
  }
  const { length, shape } = images;
  const tensor = callNative(() => new (native().Tensor)(null, [length, ...shape], "uint8"));
  for (let offset = 0; offset < images.images.length; offset += pieceBytes) {
    if (offset > 0) await turn();
    tensor.write(offset, images.images.subarray(offset, offset + pieceBytes));
  }
  return { tensor, owned: true };
}

export function labelsTensor(dataset: Dataset): NativeTensor {
  return callNative(() => new (native().Tensor)(dataset.labels, [dataset.length], "int32"));
}

export function requireDataset(value: unknown, name: string): Dataset {
  if (value instanceof Dataset) return value;
  throw new LibtorchOodError("ERR_OPTION", `${name}: expected a Dataset (Dataset.fromArrays makes one), found ${describe(value)}`);
}

/** SHA-256 over shapes, labels and images of data sets, in hexadecimal. */
export async function dataHash(datasets: readonly (Dataset | undefined)[]): Promise<string> {
  const hash = createHash("sha256");
  for (const dataset of datasets) {
    if (dataset === undefined) {
      hash.update("none;");
      continue;
    }
    hash.update(`${dataset.length}x${dataset.shape.join("x")};`);
    const { labels, images } = dataset;
    hash.update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
    for (let offset = 0; offset < images.length; offset += pieceBytes) {
      await turn();
      hash.update(images.subarray(offset, offset + pieceBytes));
    }
  }
  return hash.digest("hex");
}
