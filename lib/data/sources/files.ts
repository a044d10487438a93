// Sources over paths: a list, a text file or standard input with one path a line, or whatever yields paths.

import { fail, optionalFunction, optionsObject, string } from "../../core/checks";
import { listOf } from "../../core/lists";
import { absolutePath, pathText, workingFolder, type Path } from "../../formats/path-text";
import { readPaths } from "../../formats/path-list";
import { takeImages, type TakenImage } from "../../images/image";
import { StreamedSource } from "./streamed-source";
import { labelled, type LabelFunction } from "./labels";
import { ListedSource } from "./listed-source";

/** Options of {@link files} and {@link filesFrom}. */
export interface FilesOptions {
  /** Function that gives the label of a file by its path. Default: none has one. */
  labels?: LabelFunction;
  /** Names of the classes, in label order. */
  classNames?: readonly string[];
}

/** Options of {@link files} for paths that are not a list. */
export interface StreamOptions extends FilesOptions {
  /** Number of images, where it is known beforehand. A cosine schedule needs it, and progress shows it. */
  length?: number;
  /** Number of images that are held at a time to be drawn from, where an order at random is asked for. Default 1024. */
  shuffleBuffer?: number;
}

/**
 * Image files by their paths.
 *
 * @param paths - an array of paths and `file:` URLs; or an iterable, also an asynchronous one, that yields them, or a function that gives one for each
 *   epoch. An iterable that is not a function's is read once
 * @throws ERR_OPTION for an unknown option and a value of another type; text that is no path is refused when it is that image's turn
 * @example
 * import { OnnxModel, sources } from "libtorch-ood";
 *
 * const model = await OnnxModel.load("model.onnx", { input: "imagenet" });
 * const source = sources.files(["a.jpg", "b.jpg"]);
 * await model.extractStream(source, ({ features, offset }) => console.log(offset, features.shape), { onError: "skip" });
 */
export function files(paths: readonly (string | URL)[], options?: FilesOptions): ListedSource;
export function files(
  paths: Iterable<string | URL> | AsyncIterable<string | URL> | (() => Iterable<string | URL> | AsyncIterable<string | URL>),
  options?: StreamOptions,
): StreamedSource;
export function files(paths: unknown, options?: StreamOptions): ListedSource | StreamedSource {
  const given = optionsObject(options, "options", ["labels", "classNames", "length", "shuffleBuffer"]);
  const label = labelled(optionalFunction(given.labels, "labels"), given.classNames);
  const folder = workingFolder();
  const taken = (path: unknown, i: number): TakenImage => {
    const [image] = takeImages([requirePath(path, i)], "paths", folder);
    return image as TakenImage;
  };
  const toItem = (path: unknown, i: number) => {
    const image = taken(path, i);
    return { image, label: label.of(image.name) };
  };
  const list = Array.isArray(paths) ? listOf(paths) : undefined;
  if (list !== undefined) {
    const own: unknown[] = Array.from(list);
    for (const [i, path] of own.entries()) requirePath(path, i); // the rest, which takes longer, when it is an image's turn
    const itemAt = (index: number) => toItem(own[index], index);
    return new ListedSource(itemAt, own.length, label.classNames);
  }
  return StreamedSource.of(paths, toItem, { ...given, classNames: label.classNames });
}

/**
 * Image files whose paths stand in a text file or come from standard input: one a line, or ended by NUL characters (`find -print0`).
 *
 * @param list - path of the text file, or "-" for standard input
 * @throws ERR_IO where it cannot be read; ERR_CORRUPT_FILE for a line that is no path; ERR_OPTION for an unknown option; ERR_ABORTED on an abort
 */
export async function filesFrom(list: string, options?: FilesOptions & { signal?: AbortSignal }): Promise<ListedSource> {
  const given = optionsObject(options, "options", ["labels", "classNames", "signal"]);
  const label = labelled(optionalFunction(given.labels, "labels"), given.classNames);
  const folder = workingFolder();
  const paths = await readPaths(string(list, "list"), given.signal);
  const itemAt = (index: number) => {
    const path = paths[index] as Path;
    const name = pathText(path);
    return { image: { name, path: absolutePath(path, folder) }, label: label.of(name) };
  };
  return new ListedSource(itemAt, paths.length, label.classNames);
}

function requirePath(path: unknown, i: number): string | URL {
  if (typeof path === "string" || Object.prototype.toString.call(path) === "[object URL]") return path as string | URL;
  return fail("ERR_OPTION", `paths[${i}]`, "a path", path);
}
