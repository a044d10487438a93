// Reads the validation images of Tiny ImageNet from the folder that its archive unpacks to.

import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, optionsObject, string } from "../../core/checks";
import { corruptFile, io } from "../../core/file-errors";
import { findFile } from "../../formats/find-file";
import { readTextFile } from "../../formats/text-file";
import { catalogue } from "../catalogue";
import type { Dataset } from "../dataset";
import { checkDecoding, decodingKeys, readImageFiles, type DecodingOptions } from "../image-files";

/** Options of {@link tinyImageNet}. `imageSize` is 32 by default: the images are 64×64 and are reduced by the antialiased bilinear kernel. */
export type TinyImageNetOptions = DecodingOptions;

/** The longest of the text files, `words.txt`, has 2.7 MB. */
const maxTextBytes = 1 << 26;

/**
 * Reads the validation part of Tiny ImageNet (Stanford CS231n, 2015): 10,000 colour images of 200 classes, 64×64, reduced to 32×32 unless `imageSize`
 * says otherwise.
 *
 * `wnids.txt`, `words.txt`, `val/val_annotations.txt` and `val/images` are read from the directory itself or from `tiny-imagenet-200` in it. The
 * images come in the order of `val_annotations.txt`. The labels number the sorted identifiers of WordNet (`n01443537`, …), as torchvision's
 * `ImageFolder` numbers the training images. Class names are WordNet's words. Decoding, cache and normalization are those of {@link imageFolder}.
 *
 * @param directory - the folder of the files
 * @param options - size, channels, progress, faulty images, cache
 * @throws as {@link imageFolder}; ERR_IO where a file is missing; ERR_CORRUPT_FILE also where annotations and images do not agree, naming the file,
 *   what was expected and what was found
 * @example
 * import { datasets } from "libtorch-ood";
 *
 * const { validation } = await datasets.tinyImageNet("data");
 */
export async function tinyImageNet(directory: string, options?: TinyImageNetOptions): Promise<{
  /** The 10,000 validation images. */
  validation: Dataset;
}> {
  const decoding = checkDecoding(optionsObject(options, "options", decodingKeys), { resize: "squash" });
  const directories = [string(directory, "directory"), join(directory, "tiny-imagenet-200")];
  const annotations = await findFile(directories, [join("val", "val_annotations.txt")], "the annotations of Tiny ImageNet (validation)");
  const folder = join(dirname(annotations), "images");
  const root = dirname(dirname(annotations));
  const identifiers = await readIdentifiers(join(root, "wnids.txt"));
  const classNames = await readWords(join(root, "words.txt"), identifiers);
  const labelled = await readAnnotations(annotations, new Map(identifiers.map((identifier, label) => [identifier, label])));
  await checkImages(folder, annotations, labelled);
  const files = Array.from(labelled, ([name, label]) => ({ path: join(folder, name), name: `val/images/${name}`, label }));
  return { validation: await readImageFiles(root, files, { name: catalogue["tiny-imagenet"].title, part: "validation", classNames }, decoding) };
}

function readText(path: string): Promise<string> {
  return readTextFile(path, "a text", maxTextBytes);
}

async function readLines(path: string): Promise<string[]> {
  return (await readText(path)).split(/\r?\n/).filter((line) => line !== "");
}

async function readIdentifiers(path: string): Promise<string[]> {
  const identifiers = (await readLines(path)).map((line) => line.trim());
  const wrong = identifiers.find((identifier, i) => !/^n\d{8}$/.test(identifier) || identifiers.indexOf(identifier) !== i);
  if (wrong !== undefined || identifiers.length === 0) {
    throw corruptFile(path, "different identifiers like n01443537, one a line", wrong === undefined ? "none" : describe(wrong));
  }
  return identifiers.sort();
}

/** WordNet's words for each class, with the identifier added where two classes have the same words. */
async function readWords(path: string, identifiers: readonly string[]): Promise<string[]> {
  const wordsOf = new Map<string, string>(identifiers.map((identifier) => [identifier, ""]));
  const text = await readText(path);
  // 82,115 lines, of which 200 are wanted: the others are not made into strings.
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    const tab = text.indexOf("\t", start);
    const identifier = text.slice(start, Math.min(tab < 0 ? end : tab, end));
    if (wordsOf.has(identifier)) wordsOf.set(identifier, text.slice(tab + 1, end).trim());
  }
  const words = identifiers.map((identifier) => {
    const found = wordsOf.get(identifier) ?? "";
    if (found === "") throw corruptFile(path, `a line with the words for ${identifier}`, "none");
    return found;
  });
  return words.map((text, i) => (words.indexOf(text) === words.lastIndexOf(text) ? text : `${text} (${identifiers[i]})`));
}

/** The label of each image by its name, in the order of the file. */
async function readAnnotations(path: string, labelOf: ReadonlyMap<string, number>): Promise<Map<string, number>> {
  const labels = new Map<string, number>();
  for (const [i, line] of (await readLines(path)).entries()) {
    const [name = "", identifier = ""] = line.split("\t");
    const label = labelOf.get(identifier);
    // A plain name only: it becomes part of a path.
    if (!/^\w+\.JPEG$/.test(name) || labels.has(name)) {
      throw corruptFile(path, `another image like val_0.JPEG in line ${i + 1}`, describe(name));
    }
    if (label === undefined) throw corruptFile(path, `an identifier of wnids.txt in line ${i + 1}`, describe(identifier));
    labels.set(name, label);
  }
  if (labels.size === 0) throw corruptFile(path, "at least one image", "none");
  return labels;
}

/**
 * Compares images and annotations: an archive that was unpacked in part, or an annotation file that was cut off, would pass for a smaller data set.
 */
async function checkImages(folder: string, annotations: string, labels: ReadonlyMap<string, number>): Promise<void> {
  const names = new Set((await io("read", folder, readdir(folder))).filter((name) => name.endsWith(".JPEG")));
  const missing = [...labels.keys()].find((name) => !names.has(name));
  if (missing !== undefined) throw corruptFile(folder, `${labels.size} images, one per line of ${annotations}`, `no ${missing}`);
  const extra = [...names].find((name) => !labels.has(name));
  if (extra !== undefined) throw corruptFile(annotations, `a line for each of the ${names.size} images in ${folder}`, `none for ${extra}`);
}
