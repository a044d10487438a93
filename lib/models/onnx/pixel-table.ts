// What each of the 256 values of a pixel is after normalisation, so that a model's process gets bytes and makes the floats itself.

import type { Normalization } from "../../data/normalization";
import { callNative, runNative } from "../../native/call";
import { native } from "../../native/surface";
import { values } from "./pixels";

/** float32 [C, 256]: (value − mean) / std of each channel, by the arithmetic of every other network. */
export async function pixelTable({ mean, std }: Normalization, signal?: AbortSignal): Promise<Float32Array> {
  const channels = mean.length;
  const every = Uint8Array.from({ length: values * channels }, (_, i) => Math.floor(i / channels));
  const images = callNative(() => new (native().Tensor)(every, [values, channels, 1, 1], "uint8"));
  try {
    const found = await runNative(signal, (control) => native().normalizeImages(control, images, { start: 0, end: values, mean, std }));
    const rows = found.toTypedArray() as Float32Array;
    found.dispose();
    return Float32Array.from({ length: rows.length }, (_, i) => rows[(i % values) * channels + Math.floor(i / values)] as number);
  } finally {
    images.dispose();
  }
}
