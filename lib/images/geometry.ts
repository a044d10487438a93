// How a picture of any size becomes the pixels that a model reads: resize, centre crop, kernel, colour or grey.

import { boolean, integer, oneOf } from "../core/checks";

/**
 * How an image of another size than the model's becomes that size.
 * - `"center-crop"` scales the shorter side to `resizeTo` and the longer side in proportion, rounded down, and keeps the middle, as torchvision's
 *   `Resize(resizeTo)` and `CenterCrop(size)` do.
 * - `"squash"` scales both sides to the size and does not keep the proportions.
 * - `"none"` refuses the image with ERR_SHAPE.
 */
export type ImageResize = "center-crop" | "squash" | "none";

export const imageResizes = ["center-crop", "squash", "none"] as const;

/** Kernel of a resize: a triangle, or Catmull and Rom's cubic (a = −0.5). */
export type ResizeKernel = "bilinear" | "bicubic";

export const resizeKernels = ["bilinear", "bicubic"] as const;

/** The geometry and colours of the pixels that a model reads. */
export interface ImageGeometry {
  /** Number of channels. Files and RGBA pixels serve 1 (grey) and 3 (RGB). */
  readonly channels: number;
  /** Height and width in pixels, after the crop. */
  readonly size: number;
  /** How an image of another size becomes that size. */
  readonly resize: ImageResize;
  /** Shorter side in pixels before the centre crop, at least `size`; meaningless for the other ways to resize. */
  readonly resizeTo: number;
  /** Kernel of the resize. */
  readonly kernel: ResizeKernel;
  /** Whether the kernel is as wide as the reduction, as Pillow's always is. */
  readonly antialias: boolean;
}

/** Largest side of the pixels that a model reads. */
export const maxModelSide = 4096;

/**
 * Checks a geometry and fills in the defaults: RGB, center-crop, `resizeTo` of the size, bilinear, antialiased.
 *
 * @throws ERR_OPTION for a value of another type, ERR_RANGE for a number outside its range
 */
export function checkGeometry(given: Partial<ImageGeometry>, name: string): ImageGeometry {
  const size = integer(given.size, `${name}.size`, 1, maxModelSide);
  return {
    channels: integer(given.channels ?? 3, `${name}.channels`, 1, maxModelSide),
    size,
    resize: oneOf(given.resize ?? "center-crop", `${name}.resize`, imageResizes),
    resizeTo: integer(given.resizeTo ?? size, `${name}.resizeTo`, size, 4 * maxModelSide),
    kernel: oneOf(given.kernel ?? "bilinear", `${name}.kernel`, resizeKernels),
    antialias: boolean(given.antialias ?? true, `${name}.antialias`),
  };
}

/** How the images of a set that had another size were resized, and by which kernel. */
export interface ResizeRecord {
  /** The mode of resizing. */
  readonly mode: ImageResize;
  /** The kernel of resizing: "antialiased-bilinear" for images that this library resized without being told another. */
  readonly kernel: string;
  /** Shorter side in pixels before a centre crop that cut off more than the longer side's ends; absent where the images kept all of it. */
  readonly resizeTo?: number;
}

/** Name of a kernel in records and files: "antialiased-bilinear", "bicubic", … */
export function kernelName({ kernel, antialias }: Pick<ImageGeometry, "kernel" | "antialias">): string {
  return antialias ? `antialiased-${kernel}` : kernel;
}

/** Name of the kernel that resizes where nothing else is said: Pillow's `BILINEAR`. */
export const resizeKernel = kernelName({ kernel: "bilinear", antialias: true });

/** What a data set says of its resize. */
export function resizeRecord(geometry: ImageGeometry): ResizeRecord {
  const { resize: mode, resizeTo, size } = geometry;
  return { mode, kernel: kernelName(geometry), ...(mode === "center-crop" && resizeTo !== size ? { resizeTo } : {}) };
}

/** A resize in words: "center-crop, antialiased-bilinear", "center-crop from 256, antialiased-bicubic". */
export function resizeWords({ mode, kernel, resizeTo }: ResizeRecord): string {
  return `${mode}${resizeTo === undefined ? "" : ` from ${resizeTo}`}, ${kernel}`;
}

/** Whether an image of that size stays as it is but for its colours. */
export function isForm({ size, resize, resizeTo }: ImageGeometry, width: number, height: number): boolean {
  return width === size && height === size && (resize !== "center-crop" || resizeTo === size);
}

/** The part of a preprocessing that is no normalisation. */
export function geometryOf({ channels, size, resize, resizeTo, kernel, antialias }: ImageGeometry): ImageGeometry {
  return { channels, size, resize, resizeTo, kernel, antialias };
}
