// Checks that training, calibration and later images are resized in one way; otherwise the resize itself tells them apart.

import type { Dataset } from "../data/dataset";
import type { Preprocessing } from "../data/preprocessing";
import { resizeKernel, resizeRecord, resizeWords, type ImageResize, type ResizeRecord } from "../images/geometry";

/** The resize of the training images. "none" says nothing about images of another size and counts as "center-crop". */
export function usualResize({ resize }: Dataset): ImageResize {
  return resize === undefined || resize.mode === "none" ? "center-crop" : resize.mode;
}

/** How a model will have later images resized. */
export function laterResize(input: Preprocessing | undefined, mode: ImageResize): ResizeRecord {
  return input === undefined ? { mode, kernel: resizeKernel } : resizeRecord({ ...input, resize: mode });
}

/** Warnings about the sets that were resized in another way than later images will be. */
export function resizeWarnings(train: Dataset, calibration: Dataset, later: ResizeRecord): string[] {
  const differing = ([name, record]: readonly [string, ResizeRecord | undefined]): string[] =>
    record === undefined || record.mode === "none" || resizeWords(record) === resizeWords(later)
      ? []
      : [`${name}: its images were resized by ${resizeWords(record)}, later ones will be by ${resizeWords(later)}`];
  return [["train", train.resize] as const, ["calibration", calibration.resize] as const].flatMap(differing);
}
