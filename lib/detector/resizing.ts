// Checks that training, calibration and later images are resized in one way; otherwise the resize itself tells them apart.

import type { Dataset } from "../data/dataset";
import { resizeKernel, type ResizeRecord } from "../images/decode";
import type { ImageResize } from "../images/geometry";

/** The resize of the training images. "none" says nothing about images of another size and counts as "center-crop". */
export function usualResize({ resize }: Dataset): ImageResize {
  return resize === undefined || resize.mode === "none" ? "center-crop" : resize.mode;
}

/** Warnings about the sets that were resized in another way than later images will be. */
export function resizeWarnings(train: Dataset, calibration: Dataset, mode: ImageResize): string[] {
  const later: ResizeRecord = { mode, kernel: resizeKernel };
  const differing = ([name, record]: readonly [string, ResizeRecord | undefined]): string[] =>
    record === undefined || record.mode === "none" || (record.mode === mode && record.kernel === later.kernel)
      ? []
      : [`${name}: its images were resized by ${words(record)}, later ones will be by ${words(later)}`];
  return [["train", train.resize] as const, ["calibration", calibration.resize] as const].flatMap(differing);
}

function words({ mode, kernel }: ResizeRecord): string {
  return `${mode}, ${kernel}`;
}
