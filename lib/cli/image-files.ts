// Image files as a command line names them: paths and folders, in an order that does not depend on the file system.

import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { LibtorchOodError } from "../errors";
import { io, ioError } from "../files/file-errors";

const imageName = /\.(png|jpe?g|webp)$/i;

/**
 * The files, and all images (by the ends of their names) in the folders and in theirs; a folder's in the order of their paths.
 *
 * @throws ERR_IO for a path that does not exist and for a folder without images
 */
export async function listImages(paths: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) {
    if (!(await io("read", path, stat(path))).isDirectory()) {
      files.push(path);
      continue;
    }
    const found: string[] = [];
    for (const name of await io("read", path, readdir(path, { recursive: true }))) {
      if (imageName.test(name)) found.push(join(path, name));
    }
    if (found.length === 0) throw ioError("find images in", path, "no file there ends in .png, .jpg, .jpeg or .webp");
    for (const file of found.sort()) files.push(file);
  }
  return files;
}

/**
 * The class of each file by the name of the folder it is in.
 *
 * @param classNames - those of the network; undefined: the names of the folders, sorted
 * @throws ERR_OPTION for a folder that is no class
 */
export function labelsByFolder(files: readonly string[], classNames: readonly string[] | undefined): Int32Array {
  const folders = files.map((file) => basename(dirname(file)));
  const names = classNames ?? [...new Set(folders)].sort();
  const labels = new Map(names.map((name, label) => [name, label]));
  return Int32Array.from(folders, (folder, i) => {
    const label = labels.get(folder);
    if (label !== undefined) return label;
    const classes = names.length > 12 ? `${names.slice(0, 12).join(", ")}, … (${names.length})` : names.join(", ");
    throw new LibtorchOodError(
      "ERR_OPTION",
      `${files[i]}: expected a folder named as one of the classes ${classes}, found ${JSON.stringify(folder)}`,
    );
  });
}
