// The pictures of a ResNet: what becomes of them where nothing else is said, and whether a preprocessing fits the network.

import { fail } from "../../core/checks";
import { checkPreprocessing, type Preprocessing, type PreprocessingName, type PreprocessingOptions } from "../../data/preprocessing";
import { checkGeometry, type ImageGeometry } from "../../images/geometry";
import type { Architecture } from "./architecture";

type Images = Pick<Architecture, "stem" | "inChannels" | "imageSize">;

/** The geometry of a network that nothing is said of: the shorter side becomes that of the network, the middle is kept. */
export function usualGeometry({ inChannels: channels, imageSize: size }: Images): ImageGeometry {
  return checkGeometry({ channels, size }, "input");
}

/** @throws ERR_SHAPE for another number of channels, and for another size where the stem is that of CIFAR */
export function requireFitting({ stem, inChannels, imageSize }: Images, { channels, size }: ImageGeometry): void {
  if (channels !== inChannels) fail("ERR_SHAPE", "input.channels", `${inChannels}, as the network has`, channels);
  if (stem === "cifar" && size !== imageSize) fail("ERR_SHAPE", "input.size", `${imageSize}, as the network has`, size);
}

/** A checked preprocessing for the network. @throws ERR_SHAPE where it does not fit, and what {@link checkPreprocessing} throws */
export function checkInput(value: PreprocessingOptions | PreprocessingName, images: Images): Preprocessing {
  const input = checkPreprocessing(value);
  requireFitting(images, input);
  return input;
}
