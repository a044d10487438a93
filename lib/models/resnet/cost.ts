// Checks the cost of a network before it is made: the weights must fit into memory, and large images are warned of.

import { constrainedMemory } from "node:process";
import os from "node:os";
import { LibtorchOodError } from "../../core/errors";
import { warn } from "../../core/warnings";
import type { Architecture, ResNetDepth } from "./architecture";
import { countElements } from "./tensor-shapes";

/** A network is made in float32 and then laid out for the device, so that for a moment it is there twice. */
const bytesPerElement = { float32: 8, float64: 12 } as const;

/** Requires memory for a network. @throws ERR_OUT_OF_MEMORY for a network that does not fit into the free memory of this machine or its container */
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

/** Free memory in bytes, of the container where that is less. Node.js from 20.13 on knows what is available in a container; earlier ones know its limit. */
function availableMemory(): number {
  const { availableMemory: available } = process as { availableMemory?: () => number };
  if (available !== undefined) return available.call(process);
  const limit = constrainedMemory();
  return limit > 0 ? Math.min(os.freemem(), limit) : os.freemem();
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}

/**
 * Of an image of 224 pixels through the CIFAR stem at width 1, measured on two cores for depths 18 and 50; the time of the others grows with their
 * multiplications (He et al. 2016, table 1). Everything in a ResNet grows with the number of pixels.
 */
const at224: Readonly<Record<ResNetDepth, { milliseconds: number; mebibytes: number }>> = {
  18: { milliseconds: 772, mebibytes: 932 },
  34: { milliseconds: 1544, mebibytes: 932 },
  50: { milliseconds: 2151, mebibytes: 1700 },
  101: { milliseconds: 4302, mebibytes: 1700 },
  152: { milliseconds: 6396, mebibytes: 1700 },
};
/** The stem of ImageNet makes a quarter of the height and width. */
const reduction = { cifar: 1, imagenet: 4 } as const;
const largeImage = 112;

/** Warns once of images whose cost a user of an ImageNet network does not expect. */
export function warnIfLarge({ depth, stem, imageSize, width }: Architecture): void {
  const side = imageSize / reduction[stem];
  if (side < largeImage) return;
  const { milliseconds, mebibytes } = at224[depth];
  const factor = (side / 224) ** 2;
  const unscaled = width === 1 ? "" : " of width 1";
  const [how, less] =
    stem === "cifar"
      ? ["go through the CIFAR stem at full size", `${Math.round((imageSize / 32) ** 2)} times what 32 pixels take`]
      : ["are many for a network", `${Math.round((imageSize / 224) ** 2)} times what 224 pixels take`];
  warn(
    "LIBTORCH_OOD_LARGE_IMAGES",
    `imageSize: ${imageSize} pixels ${how}: a ResNet${depth}${unscaled} takes about ` +
      `${Math.round(milliseconds * factor)} ms and ${Math.round(mebibytes * factor)} MiB per image on two cores, ` +
      `${less}; smaller images${stem === "cifar" ? ', or stem: "imagenet",' : ""} train sooner`,
  );
}
