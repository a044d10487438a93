// Turns interleaved pixels into the planes that a network reads: flattens alpha, converts colour and grey as Pillow does, and enlarges small images.

import { setImmediate as turn } from "node:timers/promises";
import { allocateBytes } from "../formats/regular-file";
import { abortError } from "../native/call";

/**
 * Turns bytes H×W×`found` into bytes `wanted`×H×W.
 *
 * Alpha is flattened onto black, as a canvas does when it writes a JPEG. Colour becomes grey by Pillow's `convert("L")`, which is ITU-R 601-2 luma in
 * 16-bit fixed point. Grey is repeated to become colour.
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

/** Number of pixels that are converted before the event loop turns: about a millisecond. */
const pixelsPerTurn = 1 << 17;

/** Converts C, M, Y, K to R, G, B as Pillow does: (255 − C)(255 − K) / 255 in 16-bit fixed point. */
export async function inksToRgb(inks: Uint8Array, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const area = inks.length / 4;
  const pixels = allocateBytes(3 * area, "an image of CMYK");
  for (let start = 0; start < area; start += pixelsPerTurn) {
    if (start > 0) await turn();
    if (signal?.aborted) throw abortError(signal);
    for (let i = start; i < Math.min(area, start + pixelsPerTurn); i++) {
      const light = 255 - (inks[4 * i + 3] as number);
      for (let channel = 0; channel < 3; channel++) {
        const product = (inks[4 * i + channel] as number) * light + 128;
        pixels[3 * i + channel] = Math.max(0, light - (((product >> 8) + product) >> 8));
      }
    }
  }
  return pixels;
}

/** One axis of an image that is resampled. */
export interface SampledAxis {
  /** Number of pixels of the source. */
  readonly kept: number;
  /** Position of the new pixel `i` in source pixels, counted from the centre of the first: 0 to kept − 1. */
  readonly at: (i: number) => number;
}

/** Interpolates planes of y.kept × x.kept bytes bilinearly to planes of size × size. */
export function interpolate(planes: Uint8Array, x: SampledAxis, y: SampledAxis, size: number): Uint8Array {
  const area = x.kept * y.kept;
  const channels = planes.length / area;
  const result = new Uint8Array(channels * size * size);
  const value = (plane: number, row: number, column: number): number => planes[plane * area + row * x.kept + column] as number;
  let next = 0;
  for (let plane = 0; plane < channels; plane++) {
    for (let i = 0; i < size; i++) {
      const v = y.at(i);
      const [top, bottom] = [Math.floor(v), Math.min(y.kept - 1, Math.floor(v) + 1)];
      for (let j = 0; j < size; j++) {
        const u = x.at(j);
        const [left, right] = [Math.floor(u), Math.min(x.kept - 1, Math.floor(u) + 1)];
        const upper = value(plane, top, left) + (u - left) * (value(plane, top, right) - value(plane, top, left));
        const lower = value(plane, bottom, left) + (u - left) * (value(plane, bottom, right) - value(plane, bottom, left));
        result[next++] = Math.round(upper + (v - top) * (lower - upper));
      }
    }
  }
  return result;
}

/** Whether EXIF's orientation means that the columns (x) or rows (y) that are stored first are shown last. */
export function storedBackwards(orientation: number): { x: boolean; y: boolean } {
  return { x: [2, 3, 7, 8].includes(orientation), y: [3, 4, 6, 7].includes(orientation) };
}

/** Turns planes of size × size upright, by EXIF's orientation. */
export function orient(planes: Uint8Array, size: number, orientation: number): Uint8Array {
  if (orientation === 1) return planes;
  const { x, y } = storedBackwards(orientation);
  const result = new Uint8Array(planes.length);
  for (let next = 0; next < planes.length; next++) {
    const [row, column] = [Math.floor(next / size) % size, next % size];
    const [storedRow, storedColumn] = orientation > 4 ? [column, row] : [row, column];
    const from = (y ? size - 1 - storedRow : storedRow) * size + (x ? size - 1 - storedColumn : storedColumn);
    result[next] = planes[next - (next % (size * size)) + from] as number;
  }
  return result;
}
