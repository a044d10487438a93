// From interleaved pixels to the planes that a network reads: alpha flattened, colour and grey converted as Pillow does it.

/**
 * Bytes H×W×`found` to `wanted`×H×W.
 *
 * Alpha is flattened onto black, as a canvas does when it writes a JPEG. Colour becomes grey by Pillow's `convert("L")`, ITU-R 601-2 luma in
 * 16-bit fixed point; grey becomes colour by being repeated.
 *
 * @param found - 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA
 * @param wanted - 1 or 3
 */
export function toPlanes(pixels: Uint8Array, found: number, wanted: number): Uint8Array {
  const area = pixels.length / found;
  const planes = new Uint8Array(wanted * area);
  const hasAlpha = found === 2 || found === 4;
  const [green, blue] = found >= 3 ? [1, 2] : [0, 0];
  for (let i = 0, at = 0; i < area; i++, at += found) {
    let r = pixels[at] as number;
    let g = pixels[at + green] as number;
    let b = pixels[at + blue] as number;
    const alpha = hasAlpha ? (pixels[at + found - 1] as number) : 255;
    if (alpha !== 255) [r, g, b] = [flatten(r, alpha), flatten(g, alpha), flatten(b, alpha)];
    if (wanted === 1) {
      planes[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
      continue;
    }
    planes[i] = r;
    planes[area + i] = g;
    planes[2 * area + i] = b;
  }
  return planes;
}

function flatten(value: number, alpha: number): number {
  return Math.round((value * alpha) / 255);
}
