// Lists that callers hand over: arrays and typed arrays of any realm. Their length is checked before it is used, because a proxy (as of Vue and MobX)
// may answer each look with something else.

import { types } from "node:util";
import { isRevoked } from "./checks";

/** The length of the memory, whatever a class derived from a typed array states. */
const lengthOf = getterOf("length");
const byteOffsetOf = getterOf("byteOffset");
const byteLengthOf = getterOf("byteLength");
const bufferOf = getterOf("buffer") as (array: unknown) => unknown as (array: unknown) => ArrayBuffer;

function getterOf(key: string): (array: unknown) => number {
  const descriptor = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), key) as PropertyDescriptor;
  return (array) => descriptor.get?.call(array) as number;
}

/**
 * The array or typed array itself, or a copy where it is a proxy, each of whose elements is read once. Undefined for anything else. A typed array
 * whose class states another length than its memory has counts as something else, and so does a proxy whose length is no length or has no elements
 * behind it.
 */
export function listOf(value: unknown): ArrayLike<unknown> | undefined {
  if (ArrayBuffer.isView(value)) {
    if (!types.isTypedArray(value)) return undefined;
    return lengthOf(value) === (value as Uint8Array).length ? value : undefined;
  }
  if (isRevoked(value) || !Array.isArray(value)) return undefined;
  return types.isProxy(value) ? copyOfProxy(value as unknown[]) : (value as unknown[]);
}

/** A plain array of an array's elements, with undefined in place of holes. Undefined for anything but an array of at most `most` elements. */
export function shortList(value: unknown, most: number): unknown[] | undefined {
  if (isRevoked(value) || !Array.isArray(value)) return undefined;
  const { length } = value as { length: unknown };
  if (typeof length !== "number" || !Number.isInteger(length) || length < 0 || length > most) return undefined;
  return Array.from({ length }, (_, i) => (value as unknown[])[i]);
}

/**
 * The bytes of a Uint8Array of any realm or class, as a view of a plain one, empty where its memory has been transferred. Undefined for anything
 * else.
 */
export function bytesOf(value: unknown): Uint8Array | undefined {
  if (!types.isUint8Array(value)) return undefined;
  const length = byteLengthOf(value);
  return length === 0 ? new Uint8Array(0) : new Uint8Array(bufferOf(value), byteOffsetOf(value), length);
}

function copyOfProxy(proxy: unknown[]): unknown[] | undefined {
  const { length } = proxy as { length: unknown };
  if (typeof length !== "number" || !Number.isSafeInteger(length) || length < 0) return undefined;
  const copy: unknown[] = [];
  for (let i = 0; i < length; i++) {
    if (!(i in proxy)) return undefined;
    copy.push(proxy[i]);
  }
  return copy;
}
