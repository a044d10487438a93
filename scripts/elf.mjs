// Reads what an ELF shared library (64 bit, little endian) asks of the system: the libraries it names, where it has them
// looked for, and the symbol versions it needs. So that packing and its tests need no binutils.

import fs from "node:fs";

const tags = { needed: 1, soname: 14, rpath: 15, runpath: 29, strtab: 5, verneed: 0x6ffffffe, verneednum: 0x6fffffff };

/**
 * @returns `needed` (SONAMEs), `soname`, `runpath` (RPATH or RUNPATH; undefined if it has none) and `versions`: the symbol
 *   versions that it needs, each with the place of its entry in the file
 */
export function readElf(file) {
  const bytes = fs.readFileSync(file);
  if (bytes.toString("latin1", 0, 4) !== "\x7fELF" || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new Error(`${file}: expected a 64-bit little-endian ELF file, found ${bytes.toString("hex", 0, 6)}`);
  }
  const segments = programHeaders(bytes);
  const inFile = (address) => {
    const { start, offset } = segments.find(({ type, start, size }) => type === 1 && address >= start && address < start + size);
    return address - start + offset;
  };
  const dynamic = dynamicEntries(
    bytes,
    segments.find(({ type }) => type === 2),
  );
  const values = (tag) => dynamic.filter((entry) => entry.tag === tag).map(({ value }) => value);
  const strings = inFile(values(tags.strtab)[0]);
  const text = (at) => bytes.toString("latin1", strings + at, bytes.indexOf(0, strings + at));
  const [soname, rpath, runpath] = [tags.soname, tags.rpath, tags.runpath].map((tag) => values(tag).map(text)[0]);
  const [verneed] = values(tags.verneed);
  const versions = verneed === undefined ? [] : versionNeeds(bytes, inFile(verneed), values(tags.verneednum)[0], strings);
  return { needed: values(tags.needed).map(text), soname, runpath: runpath ?? rpath, versions };
}

/** The highest version of each family among needed symbol versions: { GLIBC: "2.28", GLIBCXX: "3.4.22" }. */
export function highestVersions(versions) {
  const highest = {};
  for (const { name } of versions) {
    const [, family, version] = /^([A-Z]+)_([\d.]+)$/.exec(name) ?? [];
    if (family && (highest[family] === undefined || isNewer(version, highest[family]))) highest[family] = version;
  }
  return highest;
}

/** Whether "2.34" comes after "2.4". */
export function isNewer(version, other) {
  return version.localeCompare(other, "en", { numeric: true }) > 0;
}

function programHeaders(bytes) {
  const [table, size, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(54), bytes.readUInt16LE(56)];
  return Array.from({ length: count }, (_, i) => {
    const at = table + i * size;
    const [offset, start] = [8, 16].map((field) => Number(bytes.readBigUInt64LE(at + field)));
    return { type: bytes.readUInt32LE(at), offset, start, size: Number(bytes.readBigUInt64LE(at + 32)) };
  });
}

function dynamicEntries(bytes, { offset, size }) {
  return Array.from({ length: size / 16 }, (_, i) => {
    const at = offset + i * 16;
    return { tag: Number(bytes.readBigInt64LE(at)), value: Number(bytes.readBigUInt64LE(at + 8)) };
  });
}

function versionNeeds(bytes, start, count, strings) {
  const text = (at) => bytes.toString("latin1", strings + at, bytes.indexOf(0, strings + at));
  const versions = [];
  for (let i = 0, need = start; i < count; i++) {
    let entry = need + bytes.readUInt32LE(need + 8);
    for (let j = 0; j < bytes.readUInt16LE(need + 2); j++) {
      const name = bytes.readUInt32LE(entry + 8);
      versions.push({ name: text(name), library: text(bytes.readUInt32LE(need + 4)), hashAt: entry, nameAt: strings + name });
      entry += bytes.readUInt32LE(entry + 12);
    }
    need += bytes.readUInt32LE(need + 12);
  }
  return versions;
}
