// Errors in words for who uses the program: what happened, and what to do about it.

/** @type {Record<string, string>} */
const words = {
  ERR_CORRUPT_FILE: "This file cannot be read as an image. PNG, JPEG, WebP, GIF, TIFF and AVIF images work.",
  ERR_RANGE: "This image has too many pixels. Try a smaller copy of it.",
  TOO_LARGE: "This file is too large. Files of up to 20 MB work.",
  EMPTY: "This file is empty.",
  NOT_BYTES: "This is no file. Drop an image file here.",
  BUSY: "There are several images to be checked already. Wait for their answers, then try again.",
  TIMEOUT: "This image took too long. Try it again, or another one.",
  ENDED: "The check stopped in the middle. Try the image again; if it happens each time, the image may be too large for this computer.",
  ERR_OUT_OF_MEMORY: "There is not enough memory for this. Close other programs, or try a smaller image.",
  ERR_IO:
    "The file that the answers come from (detector.safetensors) is missing. README.md says how to make one; an installed program has to be installed again.",
  ERR_LIBTORCH_NOT_FOUND: "A part of this program is missing (libtorch). Installing the program again should bring it back.",
  ERR_LIBTORCH_VERSION: "A part of this program is of another version (libtorch). Installing the program again should put it right.",
  ERR_SHARP_NOT_FOUND: "A part of this program is missing (the image reader). Installing the program again should bring it back.",
};

/**
 * @param {unknown} error
 * @returns {string}
 */
export function inPlainWords(error) {
  const code = String(/** @type {{ code?: unknown } | null} */ (error)?.code);
  return words[code] ?? `Something went wrong that this program did not expect (${code}). Try again; if it stays, report it.`;
}
