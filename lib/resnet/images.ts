// From what a caller holds (a Dataset, a Tensor, an array with its shape, files, pixels) to a native tensor of images.

import { createHash } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import { describe } from "../checks";
import { Dataset } from "../datasets/dataset";
import { LibtorchOodError } from "../errors";
import { decodeImages, type ImageTarget } from "../images/decode";
import { isImage, takeImages, type Image } from "../images/image";
import { native, type NativeTensor } from "../native";
import { callNative } from "../native-call";
import { Tensor, toTensor, type ArrayWithShape } from "../tensor";

/**
 * Images as programs hold them: a Dataset; a Tensor or array [N, C, H, W], uint8 (0 … 255), or float32/float64 in 0 … 1; or one image or
 * several as encoded bytes, paths or RGBA pixels.
 */
export type Images = Dataset | Tensor | ArrayWithShape | Image | readonly Image[];

const pieceBytes = 8 << 20; // about 2 ms of copying or hashing: the event loop turns between pieces

/**
 * A native handle of the images that belongs to the call: an array is copied, and a caller's tensor held, before this
 * returns its promise, so that nothing the caller does to them afterwards shows. To be disposed.
 *
 * @throws ERR_OPTION, ERR_DTYPE, ERR_SHAPE, ERR_DISPOSED, and for images that have to be decoded what {@link decodeImages} throws
 */
export async function imagesTensor(images: Images, name: string, target: ImageTarget): Promise<NativeTensor> {
  if (images instanceof Dataset) return datasetTensor(images);
  if (!isImage(images) && !Array.isArray(images)) return ownHandle(images as Tensor | ArrayWithShape, name);
  const taken = takeImages(images, name);
  const { channels, size } = target;
  const tensor = callNative(() => new (native().Tensor)(null, [taken.length, channels, size, size], "uint8"));
  try {
    await decodeImages(taken, target, (index, bytes) => tensor.write(index * bytes.length, bytes));
    return tensor;
  } catch (error) {
    tensor.dispose();
    throw error;
  }
}

export async function datasetTensor(images: Dataset): Promise<NativeTensor> {
  const { length, shape } = images;
  const tensor = callNative(() => new (native().Tensor)(null, [length, ...shape], "uint8"));
  for (let offset = 0; offset < images.images.length; offset += pieceBytes) {
    if (offset > 0) await turn();
    tensor.write(offset, images.images.subarray(offset, offset + pieceBytes));
  }
  return tensor;
}

function ownHandle(images: Tensor | ArrayWithShape, name: string): NativeTensor {
  const tensor = toTensor(images, name);
  if (tensor.disposed) throw new LibtorchOodError("ERR_DISPOSED", `${name}: the tensor has been disposed`);
  const { shape } = tensor;
  const handle = Tensor.handle(tensor, name);
  if (tensor !== images) return handle;
  if (shape.length !== 4) {
    throw new LibtorchOodError("ERR_SHAPE", `${name}: expected 4 dimensions, found ${shape.length} (shape [${shape.join(", ")}])`);
  }
  return callNative(() => handle.slice(0, shape[0] as number));
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
