// Recognises a file by its first bytes, for messages: a file of another kind under the expected name is the most common damage of all.

/** Enough first bytes to tell every kind. */
export const contentBytes = 512;

const starts: readonly (readonly [start: string, kind: string])[] = [
  ["\x93NUMPY", "a NumPy array (.npy)"],
  ["version https://git-lfs", "a Git LFS pointer in place of the file (git lfs pull fetches it)"],
  ["GGUF", "a GGUF model"],
  ["MATLAB 5.0", "a MATLAB 5 file"],
  ["MATLAB 7.3", "a MATLAB file of version 7.3, which is HDF5"],
  ["\x89HDF\r\n\x1a\n", "an HDF5 file"],
  ["\x1f\x8b", "a gzip file"],
  ["BZh", "a bzip2 file"],
  ["\xfd7zXZ\0", "an xz file"],
  ["\x28\xb5\x2f\xfd", "a Zstandard file"],
  ["7z\xbc\xaf\x27\x1c", "a 7z archive"],
  ["Rar!\x1a\x07", "a RAR archive"],
  ["%PDF", "a PDF document"],
  ["PAR1", "a Parquet file"],
  ["ARROW1", "an Arrow file"],
  ["SQLite format 3\0", "an SQLite database"],
  ["\x7fELF", "a program or library"],
  ["\x89PNG\r\n\x1a\n", "a PNG image"],
  ["\xff\xd8\xff", "a JPEG image"],
  ["GIF8", "a GIF image"],
  ["\xff\xfe", "text in UTF-16"],
  ["\xfe\xff", "text in UTF-16"],
];

/** The kind of the content; undefined for an unknown kind. */
export function contentKind(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes.subarray(0, contentBytes)).toString("latin1");
  if (text === "") return "an empty file";
  // A length below 100 MB, then a JSON object; before all others, whose beginnings are lengths too.
  if ((bytes[3] as number) <= 5 && text.slice(4, 9) === "\0\0\0\0{") return "a safetensors file";
  if (text.startsWith("PK\x03\x04") || text.startsWith("PK\x05\x06")) return zipKind(text);
  const start = starts.find(([first]) => text.startsWith(first));
  if (start !== undefined) return start[1];
  if (/^RIFF[^]{4}WEBP/.test(text)) return "a WebP image";
  if (/^(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)\b/i.test(text)) return "an HTML page in place of the file";
  if (/^(\xef\xbb\xbf)?\s*<\?xml/i.test(text)) return "an XML document";
  if (text.slice(4, 8) === "TFL3") return "a TensorFlow Lite model";
  if (text.slice(257, 262) === "ustar") return "a tar archive";
  const [first, second = 0, third = 0, fourth = 0] = bytes;
  if (first === 0x80 && second >= 2 && second <= 5) return `a Python pickle of protocol ${second}`;
  if (first === 0 && second === 0 && third >= 0x08 && third <= 0x0e && fourth >= 1 && fourth <= 4) return "an IDX file";
  if (isText(bytes)) return `text that begins ${JSON.stringify(text.slice(0, 20))}`;
  return undefined;
}

/** As {@link contentKind}; for an unknown kind, its first bytes. */
export function describeContent(bytes: Uint8Array): string {
  return contentKind(bytes) ?? `bytes that begin ${Buffer.from(bytes.subarray(0, 8)).toString("hex")}`;
}

/** The kind of a zip archive, by the first name in it. */
function zipKind(text: string): string {
  const name = text.slice(30, 30 + text.charCodeAt(26) + 256 * text.charCodeAt(27));
  if (name.endsWith(".npy")) return "a NumPy archive (.npz): save the one array that is wanted with numpy.save";
  if (/(^|\/)(data\.pkl|byteorder|version|\.format_version|\.data\/serialization_id|constants\.pkl)$/.test(name)) {
    return "a PyTorch file (.pt): save its tensors with safetensors.torch.save_file";
  }
  return "a zip archive";
}

/** UTF-8 without control characters but white space and escapes. */
function isText(bytes: Uint8Array): boolean {
  try {
    // The last character may be cut.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, contentBytes), { stream: true });
    return !/(?![\t\n\r\f])\p{Cc}/u.test(text);
  } catch {
    return false;
  }
}
