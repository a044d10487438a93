// Extracts from sharp's error message what the decoder said of an image.

import type { Format } from "./signature";

/** Mark of libvips before the lines of its decoders. */
const marks: Record<Format, RegExp> = {
  ...{ jpeg: /^VipsJpeg: /, png: /^vipspng: /, webp: /^webp\w*: / },
  ...{ gif: /^gif\w*: /, tiff: /^tiff2vips: /, avif: /^heif\w*: / },
};
/** Phrases of sharp and libvips for a fault that the decoder has named. */
const remarks = /^(?:$|Warning treated as error|error in tile|read gave)/;

/**
 * The decoder's words in sharp's message. The message repeats a line for every pass, and has lines of images that were decoded at the same time, since
 * libvips has one list of faults for all images.
 */
export function decoderWords(message: string, format: Format): string {
  const lines = [...new Set(message.split("\n").map((line) => line.replace(/^Input buffer has corrupt header: ?/, "").trim()))];
  const mark = marks[format];
  const own = lines.filter((line) => mark.test(line)).map((line) => line.replace(mark, ""));
  const general = lines.filter((line) => !remarks.test(line) && !Object.values(marks).some((other) => other.test(line)));
  const words = own.length > 0 ? own : general;
  return words.length === 0 ? "one that is cut off or damaged" : `one of which its decoder says: ${words.slice(0, 3).join("; ")}`;
}
