// A detector's answers to a batch of images of which some may be no images at all: those get an error of their own, and the others their verdict.

import { isLibtorchOodError } from "libtorch-ood";

/** Errors that are about one image and that its sender can mend. */
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
