// How far decoded pixels are from those of the reference.

/** H×W×3 bytes, as Pillow has them, to three planes. */
export function planesOf(pixels: Uint8Array): Uint8Array {
  const area = pixels.length / 3;
  return Uint8Array.from(pixels, (_, i) => pixels[(i % area) * 3 + Math.floor(i / area)] as number);
}

export function largestGap(found: Uint8Array, wanted: Uint8Array): number {
  return gaps(found, wanted).reduce((a, b) => Math.max(a, b));
}

export function meanGap(found: Uint8Array, wanted: Uint8Array): number {
  return gaps(found, wanted).reduce((a, b) => a + b) / wanted.length;
}

export function countBeyond(limit: number, found: Uint8Array, wanted: Uint8Array): number {
  return gaps(found, wanted).filter((gap) => gap > limit).length;
}

function gaps(found: Uint8Array, wanted: Uint8Array): number[] {
  expect(found).toHaveLength(wanted.length);
  return Array.from(wanted, (value, i) => Math.abs(value - (found[i] as number)));
}
