// What sharp says of an image that it cannot decode, in the decoder's own words.

/** The format of an encoded image; undefined for pixels. */
export type Format = "png" | "jpeg" | "webp" | undefined;

/** How libvips marks the lines of its decoders. */
const marks = { jpeg: /^VipsJpeg: /, png: /^vipspng: /, webp: /^webp\w*: / };
/** What sharp and libvips make of a fault that the decoder has named. */
const remarks = /^(?:$|Warning treated as error|error in tile|read gave)/;

/**
 * Out of sharp's message, which has the same line for every pass, and lines of images that were decoded at the same time: libvips has one list of faults
 * for all of them.
 */
export function decoderWords(message: string, format: Format): string {
  const lines = [...new Set(message.split("\n").map((line) => line.replace(/^Input buffer has corrupt header: ?/, "").trim()))];
  const mark = format && marks[format];
  const own = mark === undefined ? [] : lines.filter((line) => mark.test(line)).map((line) => line.replace(mark, ""));
  const general = lines.filter((line) => !remarks.test(line) && !Object.values(marks).some((other) => other.test(line)));
  const words = own.length > 0 ? own : general;
  return words.length === 0 ? "one that is cut off or damaged" : `one of which its decoder says: ${words.slice(0, 3).join("; ")}`;
}
