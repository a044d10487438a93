// What a network costs before it is made: weights that must fit into memory, and images that are large for its stem.

import { constrainedMemory } from "node:process";
import os from "node:os";
import { LibtorchOodError } from "../../core/errors";
import { warn } from "../../core/warnings";
import type { Architecture } from "./architecture";

/** A network is made in float32 and then laid out for the device, so that for a moment it is there twice. */
const bytesPerElement = { float32: 8, float64: 12 } as const;

/** @throws ERR_OUT_OF_MEMORY for a network that this machine, or its container, has no room for */
export function requireMemory(architecture: Architecture, dtype: "float32" | "float64"): void {
  const elements = countElements(architecture);
  const needed = elements * bytesPerElement[dtype];
  const there = availableMemory();
  if (needed <= there) return;
  const { depth, width } = architecture;
  throw new LibtorchOodError(
    "ERR_OUT_OF_MEMORY",
    `width: expected a network that fits into ${gibibytes(there)} of free memory, found a ResNet${depth} of width ${width} with ` +
      `${(elements / 1e6).toFixed(0)} million weights, which takes ${gibibytes(needed)} while it is made; ` +
      "width is a factor of the planes (1 is 64 planes in the first layer)",
  );
}

/**
 * Elements of all parameters and buffers. Exported for tests, which compare it with a network.
 *
 * @internal
 */
export function countElements(architecture: Architecture): number {
  const { depth, inChannels, imageSize, width, featureDim, numClasses, spectralNorm, avgPoolShortcut } = architecture;
  const grow = depth === 18 ? 1 : 4;
  const planes = (unscaled: number): number => Math.max(1, Math.round(unscaled * width));
  const convolution = (from: number, to: number, kernel: number, stride: number, size: number): number => {
    const out = Math.ceil(size / stride);
    const vectors = kernel === 1 ? from + to : from * size ** 2 + to * out ** 2;
    return from * to * kernel ** 2 + (spectralNorm ? vectors + 1 : 0) + 4 * to + 1; // with its batch norm
  };
  let channels = planes(64);
  let size = imageSize;
  let elements = convolution(inChannels, channels, 3, 1, size);
  const blocks = depth === 18 ? [2, 2, 2, 2] : [3, 4, 6, 3];
  for (const [layer, count] of blocks.entries()) {
    const inner = layer === 3 ? featureDim / grow : planes(64 << layer);
    for (let index = 0; index < count; index++) {
      const stride = layer > 0 && index === 0 ? 2 : 1;
      const out = Math.ceil(size / stride);
      if (depth === 18) elements += convolution(channels, inner, 3, stride, size) + convolution(inner, inner, 3, 1, out);
      else {
        elements += convolution(channels, inner, 1, 1, size) + convolution(inner, inner, 3, stride, size);
        elements += convolution(inner, inner * grow, 1, 1, out);
      }
      const identity = stride === 1 && channels === inner * grow;
      if (!identity && !avgPoolShortcut) elements += convolution(channels, inner * grow, 1, stride, size);
      channels = inner * grow;
      size = out;
    }
  }
  return elements + numClasses * (channels + 1);
}

/** Of the container where that is less. Node.js from 20.13 on knows what is available in it; before, its limit. */
function availableMemory(): number {
  const { availableMemory: available } = process as { availableMemory?: () => number };
  if (available !== undefined) return available.call(process);
  const limit = constrainedMemory();
  return limit > 0 ? Math.min(os.freemem(), limit) : os.freemem();
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/** Measured at 224 pixels and width 1 on two cores; everything in a ResNet grows with the number of pixels. */
const at224 = { 18: { milliseconds: 772, mebibytes: 932 }, 50: { milliseconds: 2151, mebibytes: 1700 } } as const;
const largeImage = 112;

/** Warns once of images whose cost a user of an ImageNet network does not expect. */
export function warnIfLarge({ depth, imageSize, width }: Architecture): void {
  if (imageSize < largeImage) return;
  const { milliseconds, mebibytes } = at224[depth];
  const factor = (imageSize / 224) ** 2;
  const unscaled = width === 1 ? "" : " of width 1";
  warn(
    "LIBTORCH_OOD_LARGE_IMAGES",
    `imageSize: ${imageSize} pixels go through the CIFAR stem at full size: a ResNet${depth}${unscaled} takes about ` +
      `${Math.round(milliseconds * factor)} ms and ${Math.round(mebibytes * factor)} MiB per image on two cores, ` +
      `${Math.round((imageSize / 32) ** 2)} times what 32 pixels take; smaller images train sooner`,
  );
}
