// Paths as lines of text, whatever bytes a name has. Names with line breaks, control characters or bytes that are not UTF-8 are quoted as git quotes
// them, and can be read back.

import { isUtf8 } from "node:buffer";
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { fail } from "../core/checks";

/** A path as the file system takes it: text, or bytes that are not UTF-8. */
export type Path = string | Buffer;

/** Characters that end a line, that a terminal acts on, or that turn the direction of what is shown. */
// eslint-disable-next-line no-control-regex -- they are what is looked for
const unsafe = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\" };
const escaped = Object.fromEntries(Object.entries(escapes).map(([character, text]) => [text[1] as string, character]));

/** The path of these bytes. */
export function pathOfBytes(bytes: Buffer): Path {
  return isUtf8(bytes) ? bytes.toString() : bytes;
}

/** The bytes of a path. */
export function pathBytes(path: Path): Buffer {
  return typeof path === "string" ? Buffer.from(path) : path;
}

/**
 * The path on one line. As it is, where that is safe; else in double quotes with C's escapes (`\n`, `\t`, `\r`, `\"`, `\\`, three octal digits for any
 * other byte), as git writes such names. {@link parsePathText} gives the path back.
 */
export function pathText(path: Path): string {
  if (typeof path === "string" && !unsafe.test(path) && !path.startsWith('"')) return path;
  let text = "";
  const bytes = pathBytes(path);
  for (let at = 0; at < bytes.length;) {
    const length = characterLength(bytes, at);
    const piece = bytes.subarray(at, at + length);
    const character = piece.toString();
    if (escapes[character] !== undefined) text += escapes[character];
    else if (isUtf8(piece) && !unsafe.test(character)) text += character;
    else for (const byte of piece) text += `\\${byte.toString(8).padStart(3, "0")}`;
    at += length;
  }
  return `"${text}"`;
}

/** Bytes of the UTF-8 character that begins there; 1 where none does. */
function characterLength(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 1;
}

/** The path that a line names: the line itself, or what {@link pathText} quoted. */
export function parsePathText(line: Buffer): Path {
  const text = line.toString("latin1"); // one character a byte
  if (!/^"(?:[^"\\]|\\[nrt"\\]|\\[0-3][0-7]{2})*"$/s.test(text)) return pathOfBytes(line);
  const bytes = text
    .slice(1, -1)
    .replace(/\\(?:([0-7]{3})|(.))/gs, (_, octal: string | undefined, other: string) =>
      octal === undefined ? (escaped[other] as string) : String.fromCharCode(parseInt(octal, 8)),
    );
  return pathOfBytes(Buffer.from(bytes, "latin1"));
}

/** A `file:` URL of the path; any byte may be in it. */
export function urlOfPath(path: Path): URL {
  if (typeof path === "string") return pathToFileURL(path);
  const encoded = Array.from(absolutePath(path, resolve(".")) as Buffer, (byte) =>
    /[\w./~-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`,
  );
  return new URL(`file://${encoded.join("")}`);
}

/** The folder that relative paths begin at; undefined where it has been removed. */
export function workingFolder(): string | undefined {
  try {
    return process.cwd();
  } catch {
    return undefined;
  }
}

/**
 * The path from the root on, so that it names the same file after `process.chdir()`. Nothing else is changed: "a/../b" need not be "b" where "a" is a link.
 *
 * @param folder - what a relative path begins at; undefined: the path stays as it is
 */
export function absolutePath(path: Path, folder: string | undefined): Path {
  if (folder === undefined || path.length === 0) return path;
  if (typeof path !== "string") return path[0] === 0x2f ? path : Buffer.concat([Buffer.from(`${folder.replace(/\/$/, "")}/`), path]);
  if (isAbsolute(path)) return path;
  return process.platform === "win32" ? resolve(folder, path) : `${folder.replace(/\/$/, "")}/${path}`;
}

/** The path of a `file:` URL, also one whose bytes are not UTF-8. @throws ERR_OPTION for another kind of URL */
export function pathOfUrl(url: URL, name: string): Path {
  const expected = "a file: URL (fetch any other, and pass its bytes)";
  if (url.protocol !== "file:") fail("ERR_OPTION", name, expected, url.href);
  const bytes = Buffer.from(
    url.pathname.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    "latin1",
  );
  if (bytes.includes(0) || /%2f/i.test(url.pathname)) fail("ERR_OPTION", name, "a file: URL without an encoded slash or NUL", url.href);
  if (process.platform !== "win32" && !isUtf8(bytes)) {
    if (url.hostname !== "") fail("ERR_OPTION", name, "a file: URL of this machine", url.href);
    return bytes;
  }
  try {
    return fileURLToPath(url);
  } catch {
    fail("ERR_OPTION", name, "a file: URL of this machine", url.href);
  }
}
