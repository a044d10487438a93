// Finds the image files that a command line names: paths, folders and lists of paths, in an order that does not depend on the file system.

import { stat } from "node:fs/promises";
import { basename, dirname, extname, normalize, resolve } from "node:path";
import { LibtorchOodError } from "../core/errors";
import { ioError } from "../core/file-errors";
import { readPaths } from "../formats/path-list";
import { pathBytes, pathOfBytes, pathText, urlOfPath, type Path } from "../formats/path-text";
import { byBytes, byCodePoints, imageEndings, imageTree, join } from "../images/image-tree";
import { pathTo } from "./path-option";

/** One image file: what the library takes, and the line that stands for it in lists and messages. */
export interface ListedImage {
  readonly image: string | URL;
  readonly name: string;
  readonly path: Path;
  /** Whether there was nothing of that name when the list was made. */
  readonly missing?: boolean;
}

export interface ListedImages {
  readonly files: readonly ListedImage[];
  /** How many image files in folders are of formats that cannot be read here, by their ending. */
  readonly passedOver: Readonly<Record<string, number>>;
}

export interface ListOptions {
  signal: AbortSignal | undefined;
  /** Whether a path or folder that cannot be read stays in the list, where reading it fails as that of any bad image does. Default false. */
  keepUnreadable?: boolean;
}

/**
 * The files, and all images (by the ends of their names) in the folders and in theirs; a folder's in the order of their paths. Links are followed, and
 * each real folder is read once; names that begin with a dot are left out.
 *
 * @throws ERR_IO for a path that does not exist and for a folder without images, ERR_ABORTED
 */
export async function listImages(paths: readonly Path[], { signal, keepUnreadable = false }: ListOptions): Promise<ListedImages> {
  const files: ListedImage[] = [];
  const passedOver: Record<string, number> = {};
  for (const path of paths) {
    const kind = await kindOf(path, keepUnreadable);
    if (kind !== "folder") {
      files.push(kind === "missing" ? { ...listedImage(path), missing: true } : listedImage(path));
      continue;
    }
    const unreadable: Buffer[] = [];
    const onUnreadable = keepUnreadable ? (folder: Path) => void unreadable.push(pathBytes(folder)) : undefined;
    const tree = await imageTree(path, { signal, loops: "pass", ...(onUnreadable && { onUnreadable }) });
    const root = pathBytes(path);
    const found = tree.folders.flatMap(({ folder, names }) => names.map((name) => join(join(root, folder), name)));
    for (const name of tree.undecodable) {
      const ending = extname(name.toString("latin1")).toLowerCase();
      passedOver[ending] = (passedOver[ending] ?? 0) + 1;
    }
    if (found.length + unreadable.length === 0) {
      const others = leftOutText(passedOver);
      throw ioError(
        "find images in",
        pathText(path),
        `no file there ends in ${imageEndings}${others === "" ? "" : ` (there are ${others})`}`,
      );
    }
    for (const file of found.concat(unreadable).sort(byBytes)) files.push(listedImage(pathOfBytes(file)));
  }
  return { files, passedOver };
}

/** "3 .heic, 1 .gif"; empty where there are none. */
export function leftOutText(passedOver: Readonly<Record<string, number>>): string {
  return Object.entries(passedOver)
    .map(([ending, count]) => `${count} ${ending}`)
    .join(", ");
}

/** What is said of image files that were passed over; undefined where there are none. */
export function passedOverNote(passedOver: Readonly<Record<string, number>>): string | undefined {
  const files = leftOutText(passedOver);
  return files === "" ? undefined : `note: passed over ${files}, whose formats are not read (PNG, JPEG, WebP, GIF, TIFF and AVIF are)`;
}

/** `--files-from`, again and again. */
export function listFiles(text: string, before: readonly string[] = []): string[] {
  return [...before, pathTo("a file")(text)];
}

/**
 * The images of a command's arguments: "-" stands for a list of paths on standard input, and `filesFrom` names files with one.
 *
 * @throws ERR_OPTION where standard input is named twice; as {@link readPaths}
 */
export async function imagePaths(
  images: readonly string[],
  filesFrom: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Path[]> {
  const times = [...images, ...(filesFrom ?? [])].filter((name) => name === "-").length;
  if (times > 1) throw new LibtorchOodError("ERR_OPTION", `-: expected standard input to be named once, found it ${times} times`);
  const paths: Path[] = [];
  for (const image of images) {
    if (image === "-") for (const path of await readPaths("-", signal)) paths.push(path);
    else paths.push(image);
  }
  for (const list of filesFrom ?? []) for (const path of await readPaths(list, signal)) paths.push(path);
  return paths;
}

async function kindOf(path: Path, keepUnreadable: boolean): Promise<"file" | "folder" | "missing"> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (error) {
    if (keepUnreadable) return "missing";
    const hint =
      typeof path === "string" && path.includes("\ufffd") ? " (a name that is not UTF-8 cannot be an argument: name its folder)" : "";
    throw ioError("read", `${pathText(path)}${hint}`, error);
  }
}

/** The file as the library takes it and as lists name it. */
export function listedImage(path: Path): ListedImage {
  const name = pathText(path);
  // What begins so is no path to the library; with "./" before it, it is.
  const image = typeof path !== "string" ? urlOfPath(path) : /^(?:data|file):/i.test(path) ? `./${path}` : path;
  return { image, name, path };
}

/** Numbers of classes, and which number is which. */
export interface FolderLabels {
  readonly labels: Int32Array;
  readonly classNames: readonly string[];
}

/**
 * The class of each file by the name of the folder it is in; −1 for one that is missing and whose folder is no class.
 *
 * @param classNames - those of the network, or of a file; undefined: the names of the folders, sorted
 * @throws ERR_OPTION for a folder that is no class, and for a single folder without `classNames`: which number it has depends on the others
 */
export function labelsByFolder(files: readonly ListedImage[], classNames: readonly string[] | undefined): FolderLabels {
  const folders = files.map(({ path }) => folderName(path));
  const names = classNames ?? [...new Set(folders)].sort(byCodePoints);
  if (classNames === undefined && names.length === 1) {
    const found = JSON.stringify(names[0]);
    const expected = "folders of at least two classes, or their names in a file with --class-names";
    throw new LibtorchOodError("ERR_OPTION", `--labels-from-folders: expected ${expected}, found one folder, ${found}`);
  }
  const numbers = new Map(names.map((name, label) => [name, label]));
  const labels = Int32Array.from(folders, (folder, i) => {
    const label = numbers.get(folder);
    if (label !== undefined) return label;
    if (files[i]?.missing) return -1;
    throw noClass(files[i] as ListedImage, names);
  });
  return { labels, classNames: names };
}

/** ERR_OPTION for a file that is in no class's folder. */
export function noClass({ name, path }: ListedImage, names: readonly string[]): LibtorchOodError {
  const classes = names.length > 12 ? `${names.slice(0, 12).join(", ")}, … (${names.length})` : names.join(", ");
  const found = JSON.stringify(folderName(path));
  return new LibtorchOodError("ERR_OPTION", `${name}: expected a folder named as one of the classes ${classes}, found ${found}`);
}

function folderName(path: Path): string {
  // "a/./x.png" lies in "a"; what is dots alone names a folder only from where one stands.
  const folder = normalize(dirname(pathBytes(path).toString("latin1"))).replace(/(?<=.)[/\\]$/, "");
  return /^\.+$/.test(basename(folder)) ? basename(resolve(folder)) : pathText(pathOfBytes(Buffer.from(basename(folder), "latin1")));
}
