// Makes the normalised floats of a batch's pixels by a table: what each of the 256 values becomes.

/** Values that a pixel can have. */
export const values = 256;

/**
 * Writes the floats of images [N, C, area].
 *
 * @param table - float32 [C, 256]
 */
export function normalizePixels(pixels: Uint8Array, table: Float32Array, area: number, into: Float32Array): void {
  const channels = table.length / values;
  for (let plane = 0; plane * area < pixels.length; plane++) {
    const first = (plane % channels) * values;
    const end = (plane + 1) * area;
    for (let i = plane * area; i < end; i++) into[i] = table[first + (pixels[i] as number)] as number;
  }
}
