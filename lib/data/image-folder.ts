// Reads a folder with one folder of images per class, as torchvision's ImageFolder does.

import { basename, extname, resolve as resolvePath } from "node:path";
import { optionsObject, string } from "../core/checks";
import { corruptFile, ioError } from "../core/file-errors";
import { absolutePath, pathBytes, pathOfBytes, pathText, type Path } from "../formats/path-text";
import type { ImageResize } from "../images/geometry";
import { foldersIn, imageTree, join } from "../images/image-tree";
import { formatNames } from "../images/signature";
import type { Dataset } from "./dataset";
import type { PreprocessingName, PreprocessingOptions } from "./preprocessing";
import { checkDecoding, decodingKeys, readImageFiles, type Decoding, type DecodingOptions, type LabelledFile } from "./image-files";

/** Options of {@link imageFolder}. */
export interface ImageFolderOptions extends DecodingOptions {
  /** How an image of another size is resized: see {@link ImageResize}. Default `"center-crop"`. */
  resize?: ImageResize;
  /**
   * The preprocessing of a model, or the name of a usual one, in place of `imageSize`, `channels` and `resize`; see {@link datasets.preprocessings}. The
   * data set then has its normalization.
   */
  preprocessing?: PreprocessingOptions | PreprocessingName | undefined;
}

/**
 * Reads images that lie in one folder per class: `directory/cat/1.jpg`, `directory/dog/a/2.png`, …
 *
 * PNG, JPEG, WebP, GIF, TIFF and AVIF files are read, by their endings in any case and at any depth. Names that begin with a dot and files that are no images are
 * ignored. Image files of other formats are an error. Links are followed, and a folder that several links of a class lead to is read once.
 *
 * Classes, labels and the order of images are those of torchvision's `ImageFolder`. The folder names, sorted by code points, are the labels 0, 1, …
 * The images of a class are sorted by folder, then by name.
 *
 * Native threads decode and resize the images, to the pixels that Pillow and torchvision's evaluation transforms give; the optional peer dependency
 * sharp decodes WebP, TIFF and AVIF. A second call takes them from a cache as long as names, sizes and modification times of the files are the same. Without
 * `preprocessing` the result has no normalization: a network takes that of its training images.
 *
 * @param directory - the folder of class folders
 * @param options - size, channels, resizing, progress, faulty images, cache
 * @throws ERR_OPTION where an option is unknown or of the wrong type, and for `preprocessing` beside an option that it replaces; ERR_RANGE where a
 *   number is outside its range; ERR_SHAPE and ERR_NON_FINITE for constants of a `preprocessing` that are no normalization; ERR_IO where a file cannot be
 *   read, where there is no class folder, and where a cache folder that you named cannot be written; ERR_CORRUPT_FILE for a class without images, for
 *   an image that is damaged or of another format, and for a class none of whose images can be decoded; ERR_SHAPE for another size with resize
 *   `"none"`; ERR_SHARP_NOT_FOUND where sharp is needed and not installed; ERR_LIBTORCH_NOT_FOUND where libtorch is not; ERR_OUT_OF_MEMORY where the memory for
 *   the images is unavailable; ERR_ABORTED on an abort
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const onProgress = ({ done, total }: datasets.DecodingProgress) => console.log(`${done} of ${total}`);
 * const pets = await datasets.imageFolder("pets", { imageSize: 64, onProgress });
 * const { train, validation } = pets.split(0.1, 1);
 * const large = await datasets.imageFolder("pets", { preprocessing: "imagenet" }); // 224 pixels, as torchvision's networks take them
 */
export async function imageFolder(directory: string, options?: ImageFolderOptions): Promise<Dataset> {
  const { resize, preprocessing, ...rest } = optionsObject(options, "options", [...decodingKeys, "resize", "preprocessing"]);
  const decoding = checkDecoding(rest, { resize, preprocessing });
  const folder = await listImageFolder(string(directory, "directory"), decoding);
  return readImageFiles(directory, folder.files, { name: basename(resolvePath(directory)), classNames: folder.classNames }, decoding);
}

/** What is missing in a folder without folders, for its error: that is no fault of an image. */
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
      throw corruptFile(pathText(pathOfBytes(join(root, foreign))), `a ${formatNames} image`, `the ending ${ending}`);
    }
    const images = folders.flatMap(({ folder, names }) => names.map((name) => join(folder, name)));
    // Those of other formats stand last: the decoder says of each why it is left out.
    for (const image of [...images, ...undecodable]) {
      const relative = join(className, image);
      files.push({ path: pathOfBytes(join(Buffer.from(directory), relative)), name: pathText(pathOfBytes(relative)), label });
    }
    for (const path of unreadable) files.push({ path, name: pathText(path), label });
    if (images.length === 0) {
      throw corruptFile(pathText(pathOfBytes(root)), `at least one ${formatNames} image of the class`, "none");
    }
  }
  return { classNames: classes.map((name) => pathText(pathOfBytes(name))), files };
}
