// A folder of images per class, as torchvision's ImageFolder reads it.

import { readdir, stat } from "node:fs/promises";
import { basename, extname, join, resolve as resolvePath } from "node:path";
import { optionsObject, string } from "../checks";
import { corruptFile, io, ioError, systemCode } from "../files/file-errors";
import type { ImageResize } from "../images/decode";
import { abortError } from "../native-call";
import type { Dataset } from "./dataset";
import { checkDecoding, decodingKeys, readImageFiles, type DecodingOptions, type LabelledFile } from "./image-files";

export interface ImageFolderOptions extends DecodingOptions {
  /** What becomes of an image of another size: see {@link ImageResize}. Default: "center-crop". */
  resize?: ImageResize;
}

const decodable = new Set([".png", ".jpg", ".jpeg", ".webp"]);
/** What torchvision takes too: passed over in silence they would make it another data set. */
const otherImages = new Set([".ppm", ".bmp", ".pgm", ".tif", ".tiff"]);

/**
 * Images in one folder per class: `directory/cat/1.jpg`, `directory/dog/a/2.png`, … PNG, JPEG and WebP by their endings (of any case), at any depth;
 * other files are passed over. Classes, their labels and the order of images are those of torchvision's `ImageFolder`: folder names sorted by code
 * points are labels 0, 1, …; the images of a class are sorted by their folder, then by name.
 *
 * Needs the optional peer dependency sharp. Images are decoded and resized off the JavaScript thread, by antialiased bilinear reduction; a second call
 * takes them from a cache as long as names, sizes and times of change of the files are the same. No normalisation is set: a model then takes that of
 * its training images.
 *
 * @throws ERR_OPTION, ERR_RANGE; ERR_IO where a file cannot be read or there are no class folders; ERR_CORRUPT_FILE for a class without images, an
 *   image that is damaged or in another format; ERR_SHAPE for another size with resize "none"; ERR_SHARP_NOT_FOUND; ERR_OUT_OF_MEMORY; ERR_ABORTED
 * @example
 * const pets = await datasets.imageFolder("pets", { imageSize: 64, onProgress: ({ done, total }) => console.log(`${done} of ${total}`) });
 * const { train, validation } = pets.split(0.1, 1);
 */
export async function imageFolder(directory: string, options?: ImageFolderOptions): Promise<Dataset> {
  const { resize = "center-crop", ...rest } = optionsObject(options, "options", [...decodingKeys, "resize"]);
  const decoding = checkDecoding(rest, resize);
  const { signal } = decoding;
  const classNames = (await readFolder(string(directory, "directory"))).folders.sort(byCodePoints);
  if (classNames.length === 0) throw ioError("find", `a folder per class in ${directory}`, "there is none");
  const files: LabelledFile[] = [];
  for (const [label, className] of classNames.entries()) {
    const folders: ImagesOfFolder[] = [];
    await findImages(join(directory, className), className, [], folders, signal);
    const before = files.length;
    for (const { folder, names } of folders.sort((a, b) => byCodePoints(a.folder, b.folder))) {
      for (const name of names.sort(byCodePoints)) {
        files.push({ path: join(directory, folder, name), name: `${folder}/${name}`, label });
      }
    }
    if (files.length === before) {
      throw corruptFile(join(directory, className), "at least one PNG, JPEG or WebP image of the class", "none");
    }
  }
  return readImageFiles(directory, files, { name: basename(resolvePath(directory)), classNames }, decoding);
}

interface ImagesOfFolder {
  /** Relative to the root, with slashes. */
  readonly folder: string;
  readonly names: string[];
}

/** Adds the images in a folder and in those below it to `found`. */
async function findImages(
  path: string,
  folder: string,
  parents: readonly string[],
  found: ImagesOfFolder[],
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal?.aborted) throw abortError(signal);
  const { dev, ino } = await io("read", path, stat(path, { bigint: true }));
  const identity = `${dev} ${ino}`;
  if (parents.includes(identity)) throw ioError("read", path, "it is a link to a folder that it lies in");
  const { folders, files } = await readFolder(path);
  const foreign = files.find((name) => otherImages.has(ending(name)));
  if (foreign !== undefined) throw corruptFile(join(path, foreign), "a PNG, JPEG or WebP image", `the ending ${ending(foreign)}`);
  found.push({ folder, names: files.filter((name) => decodable.has(ending(name))) });
  for (const name of folders) await findImages(join(path, name), `${folder}/${name}`, [...parents, identity], found, signal);
}

/** Names of folders and of everything else; links are what they lead to, and one to nothing is no folder. */
async function readFolder(path: string): Promise<{ folders: string[]; files: string[] }> {
  const folders: string[] = [];
  const files: string[] = [];
  for (const entry of await io("read", path, readdir(path, { withFileTypes: true }))) {
    const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(join(path, entry.name))));
    (isFolder ? folders : files).push(entry.name);
  }
  return { folders, files };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemCode(error) === "ENOENT") return false;
    throw ioError("read", path, error);
  }
}

function ending(name: string): string {
  return extname(name).toLowerCase();
}

/** Python's order of strings. JavaScript's own is by UTF-16 units, which puts emoji before U+E000 to U+FFFF. */
function byCodePoints(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
