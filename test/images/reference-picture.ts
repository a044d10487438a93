// The picture of test/reference/preprocessing.py: slopes, waves, a disc and noise.

/** Interleaved pixels. */
export function picture(width: number, height: number, channels: number): Buffer {
  const pixels = Buffer.alloc(width * height * channels);
  let next = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const slope = Math.floor((x * 96) / width) + Math.floor((y * 64) / height);
      const inDisc = (3 * x - width) ** 2 + (3 * y - 2 * height) ** 2 < Math.floor((width + height) ** 2 / 4);
      for (let c = 0; c < channels; c++) {
        let noise = (Math.imul(x, 374761393) + Math.imul(y, 668265263) + Math.imul(c, 974634811)) >>> 0;
        noise = Math.imul(noise ^ (noise >>> 13), 1274126177) >>> 0;
        const phase = (x * (3 + c) + y * (5 - c)) % 64;
        const waves = Math.abs(phase - 32) * 2;
        pixels[next++] = Math.min(255, Math.max(0, slope + waves + (inDisc ? 70 : 0) + (noise >>> 27) - 20 * c));
      }
    }
  }
  return pixels;
}
