// Checks by its header whether a shared library is whole. The system's linker maps a file that was cut short, by a full disk or a broken download,
// and the process dies of a bus error when it touches a missing page.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const headerBytes = 64;
const loadableSegment = 1;

/**
 * Why a file of ELF (Linux) is cut short; undefined for a whole one, and for any other kind of file, which the linker refuses by itself.
 * Only the headers are read.
 */
export function cutShort(path: string): string | undefined {
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { size } = fstatSync(file);
    const header = read(file, 0, headerBytes);
    const isElf64 = header.subarray(0, 6).equals(Buffer.from("\x7fELF\x02\x01", "latin1"));
    if (!isElf64) return undefined;
    const expected = header.length < headerBytes ? headerBytes : statedLength(file, header);
    return size < expected ? `the file is cut short: expected at least ${expected} bytes, found ${size}` : undefined;
  } catch {
    return undefined; // not there or not readable, which the linker says
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** Up to the last byte of a loaded segment or of the table of sections, which lies at the end. */
function statedLength(file: number, header: Buffer): number {
  const segments = { at: number(header, 0x20), size: header.readUInt16LE(0x36), count: header.readUInt16LE(0x38) };
  const sections = { at: number(header, 0x28), size: header.readUInt16LE(0x3a), count: header.readUInt16LE(0x3c) };
  let length = Math.max(segments.at + segments.size * segments.count, sections.at + sections.size * sections.count);
  const table = read(file, segments.at, segments.size * segments.count);
  for (let at = 0; at + 0x28 <= table.length; at += segments.size) {
    if (table.readUInt32LE(at) === loadableSegment) length = Math.max(length, number(table, at + 0x08) + number(table, at + 0x20));
  }
  return length;
}

function number(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function read(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}
