// MATLAB 5 files for tests, byte by byte: sound ones, and parts to make unsound ones of.

import { deflateSync } from "node:zlib";

type Order = "IM" | "MI";

/** One data element with its tag, padded to a multiple of eight. */
export function element(type: number, data: Uint8Array, order: Order = "IM", length = data.length): Buffer {
  const bytes = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
  bytes.set(words([type, length], order));
  bytes.set(data, 8);
  return bytes;
}

export function words(values: number[], order: Order = "IM"): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => (order === "IM" ? bytes.writeUInt32LE(value, 4 * i) : bytes.writeUInt32BE(value, 4 * i)));
  return bytes;
}

export interface ArrayParts {
  name?: string;
  /** Class code and flags. */
  flags?: number;
  shape?: number[];
  type?: number;
  data?: Uint8Array;
  order?: Order;
}

export function matrix({
  name = "a",
  flags = 9,
  shape = [2, 3],
  type = 2,
  data = Buffer.from([1, 2, 3, 4, 5, 6]),
  order = "IM",
}: ArrayParts): Buffer {
  const parts = [
    element(6, words([flags, 0], order), order),
    element(5, words(shape, order), order),
    element(1, Buffer.from(name), order),
    element(type, data, order),
  ];
  return element(14, Buffer.concat(parts), order);
}

/** Deflated, without padding, as MATLAB writes it. */
export function deflated(content: Uint8Array): Buffer {
  const stream = deflateSync(content);
  return Buffer.concat([words([15, stream.length]), stream]);
}

export function header(order: Order = "IM", version = 0x0100): Buffer {
  const bytes = Buffer.alloc(128, " ");
  bytes.write("MATLAB 5.0 MAT-file");
  if (order === "IM") bytes.writeUInt16LE(version, 124);
  else bytes.writeUInt16BE(version, 124);
  bytes.write(order, 126);
  return bytes;
}

/** A whole file of these elements. */
export const matFile = (...elements: Uint8Array[]): Buffer => Buffer.concat([header(), ...elements]);
