// A folder of images per class, as torchvision's ImageFolder reads it.

import { basename, extname, resolve as resolvePath } from "node:path";
import { optionsObject, string } from "../core/checks";
import { corruptFile, ioError } from "../core/file-errors";
import { absolutePath, pathBytes, pathOfBytes, pathText, type Path } from "../formats/path-text";
import type { ImageResize } from "../images/decode";
import { foldersIn, imageTree, join } from "../images/image-tree";
import type { Dataset } from "./dataset";
import { checkDecoding, decodingKeys, readImageFiles, type Decoding, type DecodingOptions, type LabelledFile } from "./image-files";

export interface ImageFolderOptions extends DecodingOptions {
  /** What becomes of an image of another size: see {@link ImageResize}. Default: "center-crop". */
  resize?: ImageResize;
}

/**
 * Images in one folder per class: `directory/cat/1.jpg`, `directory/dog/a/2.png`, … PNG, JPEG and WebP by their endings (of any case), at any depth.
 * Names that begin with a dot and files that are no images are passed over; image files of other formats are an error. Links are followed, and a folder
 * that several links in a class lead to is read once. Classes, their labels and the order of images are those of torchvision's `ImageFolder`: folder names sorted by code
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
  const folder = await listImageFolder(string(directory, "directory"), decoding);
  return readImageFiles(directory, folder.files, { name: basename(resolvePath(directory)), classNames: folder.classNames }, decoding);
}

/** What the error of a folder without folders says is missing: no fault of an image. */
export const noClasses = "a folder per class";

/** The files of {@link imageFolder} in their order. @throws ERR_IO, ERR_CORRUPT_FILE, ERR_OPTION, ERR_ABORTED */
export async function listImageFolder(
  directory: string,
  { signal, onError, workingFolder }: Pick<Decoding, "signal" | "onError"> & Partial<Pick<Decoding, "workingFolder">>,
): Promise<{ classNames: string[]; files: LabelledFile[] }> {
  const place = absolutePath(directory, workingFolder) as string;
  const classes = await foldersIn(place);
  if (classes.length === 0)
    throw ioError("find", `${noClasses} in ${directory}`, "there is none; put images without classes into one folder in it");
  const files: LabelledFile[] = [];
  for (const [label, className] of classes.entries()) {
    const root = join(Buffer.from(directory), className);
    const unreadable: Path[] = [];
    const there = join(Buffer.from(place), className);
    const asNamed = (path: Path): Path => pathOfBytes(Buffer.concat([root, pathBytes(path).subarray(there.length)]));
    const onUnreadable = onError === "throw" ? {} : { onUnreadable: (path: Path) => void unreadable.push(asNamed(path)) };
    const { folders, undecodable } = await imageTree(pathOfBytes(there), { signal, loops: "refuse", ...onUnreadable });
    const [foreign] = undecodable;
    if (foreign !== undefined && onError === "throw") {
      const ending = extname(foreign.toString("latin1")).toLowerCase();
      throw corruptFile(pathText(pathOfBytes(join(root, foreign))), "a PNG, JPEG or WebP image", `the ending ${ending}`);
    }
    const images = folders.flatMap(({ folder, names }) => names.map((name) => join(folder, name)));
    // Those of other formats stand last: the decoder says of each why it is left out.
    for (const image of [...images, ...undecodable]) {
      const relative = join(className, image);
      files.push({ path: pathOfBytes(join(Buffer.from(directory), relative)), name: pathText(pathOfBytes(relative)), label });
    }
    for (const path of unreadable) files.push({ path, name: pathText(path), label });
    if (images.length === 0) {
      throw corruptFile(pathText(pathOfBytes(root)), "at least one PNG, JPEG or WebP image of the class", "none");
    }
  }
  return { classNames: classes.map((name) => pathText(pathOfBytes(name))), files };
}
