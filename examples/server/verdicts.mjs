// A detector's answers to a batch of images of which some may be no images at all: those get an error of their own, and the others their verdict.

import { isLibtorchOodError } from "libtorch-ood";
import sharp from "sharp";

/** Errors that are about one image and that its sender can fix. */
export const imageErrors = ["ERR_CORRUPT_FILE", "ERR_SHAPE", "ERR_RANGE"];

/** One `{ value }` or `{ error }` per image. All images that can be read go through the network in one pass, or where one cannot, in a few. */
export async function verdicts(detector, images, signal) {
  try {
    // A single one by itself, so that the message does not speak of a list.
    const answers = await detector.predict(images.length === 1 ? images[0] : images, { batchSize: images.length, signal });
    return answers.map((value) => ({ value }));
  } catch (error) {
    if (!isLibtorchOodError(error) || !imageErrors.includes(error.code)) throw error;
    if (images.length === 1) return [{ error }];
    // Images are decoded before anything is computed, so that a bad one costs its batch little. Halves find it.
    const middle = images.length >> 1;
    const first = await verdicts(detector, images.slice(0, middle), signal);
    return [...first, ...(await verdicts(detector, images.slice(middle), signal))];
  }
}

/** PNG, JPEG, WebP, GIF, TIFF, AVIF; sharp knows more formats, of which the header is not to be read either. */
const signatures = [/^\x89PNG/, /^\xff\xd8\xff/, /^RIFF.{4}WEBP/s, /^GIF8[79]a/, /^(II[*+]\0|MM\0[*+])/, /^.{4}ftypavi[fs]/s];

/** Width times height as the header states them; 0 for what is no image, which the detector refuses by itself. */
export async function statedPixels(image) {
  const start = image.toString("latin1", 0, 12);
  if (!signatures.some((signature) => signature.test(start))) return 0;
  try {
    const { width, height } = await sharp(image).metadata();
    return width * height;
  } catch {
    return 0;
  }
}
