// Turns what a caller holds (a Dataset, a Tensor, an array with its shape, files, pixels) into a native tensor of images.

import { setImmediate as turn } from "node:timers/promises";
import { fail } from "../core/checks";
import { labelsFor } from "../data/class-labels";
import { Dataset, requireArrays } from "../data/dataset";
import { LibtorchOodError } from "../core/errors";
import type { ImageTarget } from "../images/decode";
import { decodeRows, newTensor } from "../images/decoded-rows";
import { reportFaults, type ImageFailure, type OnError } from "../images/failure";
import { isImage, takeImages, type Image, type TakenImage } from "../images/image";
import { native, type NativeTensor } from "../native/surface";
import { callNative } from "../native/call";
import { Tensor, toTensor, type ArrayWithShape } from "../native/tensor";
import { warn } from "../core/warnings";
import { Scope } from "../core/scope";

/**
 * Images as programs hold them. They are a Dataset; a Tensor or array [N, C, H, W] of uint8 (0 … 255), or of float32 or float64 (0 … 1); or one image
 * or several as encoded bytes (PNG, JPEG, WebP, GIF, TIFF, AVIF), paths, `file:` URLs, Blobs or RGBA pixels.
 */
export type Images = Dataset | Tensor | ArrayWithShape | Image | readonly Image[];

const imageForms =
  "a Dataset, a Tensor, { data: typed array, shape }, or one image or a list of them as encoded bytes (Uint8Array), a path, a file: URL, a Blob or " +
  "{ data, width, height }";

const pieceBytes = 8 << 20; // about 2 ms of copying or hashing: the event loop turns between pieces

/** Images as a native tensor, which the caller disposes of, and the images that are not in it. */
export interface NativeImages {
  readonly tensor: NativeTensor;
  /** Images that were left out, in their order; `index` counts all images of the call. */
  readonly skipped: readonly ImageFailure[];
}

/**
 * A native handle of the images that belongs to the call; the caller disposes of it. An array is copied, and a caller's tensor held, before this
 * returns its promise: what the caller does to them afterwards has no effect.
 *
 * @param onError - what happens with images that cannot be decoded
 * @param folder - what relative paths begin at; default: the working folder
 * @throws ERR_OPTION for a value that is no images, ERR_DTYPE for an array of another dtype, ERR_SHAPE for one of other than 4 dimensions,
 *   ERR_DISPOSED for a tensor that has been disposed, and for images that have to be decoded what {@link decodeRows} throws
 */
export async function imagesTensor(
  images: Images,
  name: string,
  target: ImageTarget,
  onError: OnError = "throw",
  folder?: string,
): Promise<NativeImages> {
  if (images instanceof Dataset) return { tensor: await datasetTensor(images), skipped: [] };
  if (!isImage(images) && !Array.isArray(images)) {
    const array = typeof images === "object" && images !== null && "data" in images;
    if (!array && !Tensor.is(images)) fail("ERR_OPTION", name, imageForms, images);
    return { tensor: ownHandle(images, name), skipped: [] };
  }
  const taken = takeImages(images, name, folder);
  let skipped: ImageFailure[] = [];
  const { tensor } = await decodeRows(taken, target, onError !== "throw", async (faults) => {
    skipped = await reportFaults(faults, (index) => (taken[index] as TakenImage).name, onError, target.signal);
  });
  return { tensor, skipped };
}

export async function datasetTensor(images: Dataset): Promise<NativeTensor> {
  const { length, shape } = images;
  const bytes = length * requireArrays(images);
  return Scope.run(async (scope) => {
    const tensor = scope.own(newTensor([length, ...shape]));
    for (let offset = 0; offset < bytes; offset += pieceBytes) {
      if (offset > 0) await turn();
      requireArrays(images); // again: others have had their turn
      tensor.write(offset, images.images.subarray(offset, offset + pieceBytes));
    }
    return scope.release(tensor);
  });
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

export function labelsTensor(dataset: Dataset, classNames: readonly string[] = dataset.classNames): NativeTensor {
  requireArrays(dataset);
  const { labels, warnings } = labelsFor(dataset, classNames, dataset.name);
  for (const warning of warnings) warn("LIBTORCH_OOD_OTHER_CLASSES", warning);
  return callNative(() => new (native().Tensor)(labels, [dataset.length], "int32"));
}
