// Sources over folders: a class per folder, as torchvision's ImageFolder reads it, or pictures without classes.

import { fail, oneOf, optionalFunction, optionalSignal, optionsObject, string } from "../../core/checks";
import { absolutePath, pathBytes, pathOfBytes, pathText, workingFolder, type Path } from "../../formats/path-text";
import { ioError } from "../../core/file-errors";
import { imageEndings, imageTree, join } from "../../images/image-tree";
import { checkOnError, type OnError } from "../../images/failure";
import { listImageFolder } from "../image-folder";
import { labelled, type LabelFunction } from "./labels";
import { ListedSource } from "./listed-source";

/** Options of {@link folder}. */
export interface FolderOptions {
  /**
   * - `"folders"` (default): the folders in `directory` are the classes, sorted by code points, as torchvision's `ImageFolder` has them.
   * - `"none"`: the pictures have no classes, whatever folders they lie in.
   * - A function of the path below `directory` (with slashes), which gives the label or the name of the class; names need `classNames`.
   */
  labels?: "folders" | "none" | LabelFunction;
  /** Names of the classes, in label order, where a function gives them. */
  classNames?: readonly string[];
  /** What happens with folders that cannot be read: "throw" (default) or "skip". Pictures that cannot be decoded are told of by whoever takes the batches. */
  onError?: "throw" | "skip";
  /** Signal that ends the listing with ERR_ABORTED. */
  signal?: AbortSignal;
}

/** A source whose classes are folders. */
export interface ClassFolder extends ListedSource {
  /** Name of each class, in label order. */
  readonly classNames: readonly string[];
}

/**
 * The pictures in a folder and in the folders below it, decoded as they are needed. Links are followed, each real folder is read once, and names that
 * begin with a dot are left out.
 *
 * @param directory - the folder
 * @throws ERR_OPTION for an unknown option or a value of another type; ERR_IO where a folder cannot be read, where there is no class folder, and where
 *   there is no picture; ERR_CORRUPT_FILE for a class without pictures; ERR_ABORTED on an abort
 * @example
 * import { ResNet, sources } from "libtorch-ood";
 *
 * const train = await sources.folder("photos/train"); // photos/train/cat/1.jpg, …
 * const model = await ResNet.create({ depth: 18, stem: "imagenet", imageSize: 224, numClasses: train.classNames.length });
 * model.normalization = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
 * await model.fit(train, { epochs: 90, augmentation: "resized-crop-flip", validation: await sources.folder("photos/val") });
 */
export function folder(
  directory: string,
  options?: FolderOptions & { labels?: "folders" },
): Promise<ClassFolder>;
export function folder(directory: string, options: FolderOptions): Promise<ListedSource>;
export async function folder(directory: string, options?: FolderOptions): Promise<ListedSource> {
  const given = optionsObject(options, "options", ["labels", "classNames", "onError", "signal"]);
  const root = string(directory, "directory");
  const signal = optionalSignal(given.signal, "signal");
  const onError: OnError = checkOnError(given.onError);
  const working = workingFolder();
  const place = absolutePath(root, working) as string;
  const labels = typeof given.labels === "function" ? given.labels : oneOf(given.labels ?? "folders", "labels", ["folders", "none"] as const);
  if (labels === "folders") {
    if (given.classNames !== undefined) fail("ERR_OPTION", "classNames", "none beside labels by folders, which name the classes", given.classNames);
    const { files, classNames } = await listImageFolder(root, { signal, onError, workingFolder: working });
    const itemAt = (index: number) => {
      const file = files[index] as (typeof files)[0];
      return { image: { name: pathText(file.path as Path), path: absolutePath(file.path as Path, working) }, label: file.label };
    };
    return new ListedSource(itemAt, files.length, Object.freeze(classNames));
  }
  const onUnreadable = onError === "throw" ? {} : { onUnreadable: () => undefined };
  const { folders } = await imageTree(place, { signal, loops: "pass", ...onUnreadable });
  const found = folders.flatMap(({ folder: below, names }) => names.map((name) => join(below, name)));
  if (found.length === 0) throw ioError("find images in", root, `no file there ends in ${imageEndings}`);
  const label = labelled(labels === "none" ? undefined : optionalFunction(labels, "labels"), given.classNames);
  const itemAt = (index: number) => {
    const below = found[index] as Buffer;
    const image = { name: pathText(pathOfBytes(join(Buffer.from(root), below))), path: pathOfBytes(join(pathBytes(place), below)) };
    return { image, label: label.of(pathText(pathOfBytes(below))) };
  };
  return new ListedSource(itemAt, found.length, label.classNames);
}
