// .npy files for tests, with a header of our own.

/** @param descr - as it stands in the header, quotes included */
export function numpyFile(descr: string, shape: string, data: Uint8Array, fortran = false): Buffer {
  const text = `{'descr': ${descr}, 'fortran_order': ${fortran ? "True" : "False"}, 'shape': ${shape}, }\n`;
  const start = Buffer.from("\x93NUMPY\x01\0\0\0", "latin1");
  start.writeUInt16LE(text.length, 8);
  return Buffer.concat([start, Buffer.from(text), data]);
}

/** The bytes of a typed array that has a buffer to itself. */
export const raw = ({ buffer }: { buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(buffer);
