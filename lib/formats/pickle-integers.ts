// numpy's integers in a pickle: their kinds, arrays of them, and the numbers that their bytes are.

/** numpy's names of integers, with the bytes that each takes. */
export const integerBytes = { b1: 1, i1: 1, u1: 1, i2: 2, u2: 2, i4: 4, u4: 4, i8: 8, u8: 8 } as const;

const integerReaders: Record<keyof typeof integerBytes, (view: DataView, at: number, littleEndian: boolean) => number> = {
  b1: (view, at) => view.getUint8(at),
  i1: (view, at) => view.getInt8(at),
  u1: (view, at) => view.getUint8(at),
  i2: (view, at, order) => view.getInt16(at, order),
  u2: (view, at, order) => view.getUint16(at, order),
  i4: (view, at, order) => view.getInt32(at, order),
  u4: (view, at, order) => view.getUint32(at, order),
  i8: (view, at, order) => Number(view.getBigInt64(at, order)),
  u8: (view, at, order) => Number(view.getBigUint64(at, order)),
};

export interface PickledInteger {
  readonly kind: keyof typeof integerBytes;
  readonly littleEndian: boolean;
}

/** A numpy array of integers, row by row. */
export class PickledArray {
  constructor(
    readonly shape: readonly number[],
    /** A view of the pickle. */
    readonly data: Uint8Array,
    readonly type: PickledInteger,
  ) {}
}

/** The numbers in an array; those of 64 bits lose digits beyond 2^53. */
export function integersOf({ data, type: { kind, littleEndian } }: PickledArray): number[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const width = integerBytes[kind];
  return Array.from({ length: data.length / width }, (_, i) => integerReaders[kind](view, i * width, littleEndian));
}
