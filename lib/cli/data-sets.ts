// Parses data sets as a command line names them (`cifar10:data#test`, or a folder of images), and reads them.

import { existsSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { InvalidArgumentError } from "commander";
import * as datasets from "../data";
import { Dataset, type DatasetName, type SplitName } from "../data";
import { conform, formText } from "../data/conform";
import type { ImageShape } from "../data/dataset";
import { randomPermutation } from "../core/random-permutation";
import type { Preprocessing } from "../data/preprocessing";
import { resizeWords, type ImageResize } from "../images/geometry";
import { given, realNumber } from "./option-values";
import type { Session } from "./session";
import { hinted } from "./skipped";

/** A data set as a command line names it. */
export interface DataSpec {
  /** The text as it was given. */
  readonly text: string;
  /** Name that the command line gives it; undefined for its own name. */
  readonly label: string | undefined;
  readonly name: DataSetName;
  readonly path: string;
  /** Part of the data set; undefined for the command's default. */
  readonly split: SplitName | undefined;
}

export interface ReadDataOptions {
  /** Part to read if the specification names none. */
  split: SplitName;
  /** Size of images that have to be resized. */
  imageSize: number;
  channels: number;
  resize?: ImageResize;
  /** All of it for a model whose preprocessing is known; the three above are then its. */
  preprocessing?: Preprocessing;
  session: Session;
}

/** A folder of images is a data set without a name of its own. */
export type DataSetName = DatasetName | "folder";

export const dataSetNames: readonly DataSetName[] = [...(Object.keys(datasets.catalogue) as DatasetName[]), "folder"];

export const dataHelp = `DATA is SET:DIR or the path of a folder of images. NAME=DATA gives it another name.
  SET is ${dataSetNames.slice(0, -1).join(", ")}. DIR holds its files as they are published; nothing is downloaded.
  #train or #test after DIR chooses a part: cifar10:data#test. For MNIST, DIR may end with the prefix of its files' names.
  A folder of images has one folder per class with PNG, JPEG, WebP, GIF, TIFF or AVIF images in it (WebP, TIFF and AVIF need "npm install sharp").`;

/** What a data set may be besides SET:DIR: the end of a message, where `evaluate` says more. */
export const existingFolder = "an existing folder of images.";

/** Parses a data set, for commander. @throws InvalidArgumentError for text that names none */
export function dataSpec(text: string): DataSpec {
  const { label, rest } = labelled(text);
  const [, start = "", split] = /^(.*?)(?:#(train|test))?$/s.exec(rest) ?? [];
  const [, name, path] = /^([a-z][a-z0-9-]+):(.*)$/s.exec(start) ?? [];
  if (name === undefined || path === undefined) {
    if (isDirectory(start)) return { text, label, name: "folder", path: start, split: split as SplitName | undefined };
    throw new InvalidArgumentError(`Expected SET:DIR (SET: ${dataSetNames.join(", ")}) or ${existingFolder}`);
  }
  if (!dataSetNames.includes(name as DataSetName))
    throw new InvalidArgumentError(`Expected one of ${dataSetNames.join(", ")} before the colon.`);
  if (path === "") throw new InvalidArgumentError("Expected a directory behind the colon.");
  return { text, label, name: name as DataSetName, path, split: split as SplitName | undefined };
}

/** NAME=DATA; a path that exists as it stands is no name. */
export function labelled(text: string): { label: string | undefined; rest: string } {
  const [, label, rest] = /^([^=:/\\]+)=(.+)$/s.exec(text) ?? [];
  return label === undefined || rest === undefined || existsSync(text) ? { label: undefined, rest: text } : { label, rest };
}

/** Reads a data set. @throws what its reader throws; ERR_ABORTED after an abort */
export async function readData(spec: DataSpec, options: ReadDataOptions): Promise<Dataset> {
  const { session } = options;
  const found = spec.name === "folder" ? await readFolder(spec.path, options) : await readPublished(spec.name, spec, options);
  const data = named(found, spec.label);
  session.progress.stop();
  session.throwIfAborted();
  return data;
}

function readPublished(name: DatasetName, { path, split }: DataSpec, options: ReadDataOptions): Promise<Dataset> {
  const { session, imageSize } = options;
  const parts: readonly string[] = datasets.catalogue[name].parts;
  const asked = split ?? options.split;
  const part = parts.includes(asked) ? asked : undefined; // of a set of one part, that one
  const onProgress = progressOf(session.progress, path);
  const reading = { part, imageSize, maxPixels: session.maxPixels, truncated: session.truncated, signal: session.signal, onProgress };
  const prefixed = familyOfMnist.includes(name) && !isDirectory(path);
  return datasets.read(name, prefixed ? dirname(path) : path, given(prefixed ? { ...reading, prefix: basename(path) } : reading));
}

/** Their files may have something before their names: what follows the last folder of the path. */
const familyOfMnist: readonly DatasetName[] = ["mnist", "fashion-mnist", "kmnist"];

function readFolder(path: string, options: ReadDataOptions): Promise<Dataset> {
  const { session } = options;
  const { signal, progress, skipped, maxPixels, truncated } = session;
  const onProgress = progressOf(progress, path);
  const onError = skipped?.add ?? "throw";
  return hinted(datasets.imageFolder(path, { ...formOf(options), maxPixels, truncated, onError, signal, onProgress }), skipped);
}

/** The form of the images that a model takes: by its preprocessing, where that is known. */
function formOf({ imageSize, channels, resize, preprocessing }: ReadDataOptions) {
  if (preprocessing !== undefined) return { preprocessing };
  return { imageSize, channels: channels === 1 ? (1 as const) : (3 as const), resize };
}

/** The data set with images as a network takes them; a note says where they were others. @throws as {@link readData}; ERR_SHAPE, ERR_SHARP_NOT_FOUND */
export async function readConformed(
  spec: DataSpec,
  options: ReadDataOptions,
): Promise<{ data: Dataset; madeFrom: ImageShape | undefined }> {
  const found = await readData(spec, options);
  const { channels, imageSize } = options;
  if (String(found.shape) === String([channels, imageSize, imageSize])) return { data: found, madeFrom: undefined };
  const data = await conform(found, { ...formOf(options), signal: options.session.signal });
  const how = data.resize === undefined || data.resize === found.resize ? "" : ` (${resizeWords(data.resize)})`;
  options.session.note(
    `note: ${found.name}: images of ${formText(found.shape)} were made ${formText(data.shape)}, as the network takes them${how}`,
  );
  return { data, madeFrom: found.shape };
}

function named(data: Dataset, name: string | undefined): Dataset {
  if (name === undefined) return data;
  const { images, labels, shape, classNames, normalization, resize } = data;
  return Dataset.fromArrays({ name, images, labels, shape, classNames, ...given({ normalization, resize }) });
}

/** `count` of the images at random, in their order: those of a folder come class by class. @throws ERR_RANGE */
export function randomSubset(data: Dataset, count: number | undefined, seed: number): Dataset {
  if (count === undefined || count >= data.length) return data;
  return data.subset(randomIndices(data.length, count, seed));
}

/** Ascending. @throws ERR_RANGE */
export function randomIndices(length: number, count: number, seed: number): Uint32Array {
  return randomPermutation(length, seed).slice(0, count).sort();
}

/** Name of a set in an evaluation: the one that was given, else the data set's without its part, as in the groups of presets. */
export function setName({ label }: DataSpec, data: Dataset): string {
  return label ?? data.set;
}

function progressOf(progress: Session["progress"], path: string): (progress: { done: number; total: number }) => void {
  let started = false;
  return ({ done, total }) => {
    if (!started) progress.start(`reading ${basename(path)}`, total);
    started = true;
    progress.update(done);
  };
}

function isDirectory(path: string): boolean {
  return existsSync(path) && statSync(path).isDirectory();
}

/** "0.1" is a share of the images, anything else a data set: a folder may be called "." or "..". */
export function shareOrData(text: string): number | DataSpec {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return realNumber(text);
  try {
    return dataSpec(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message.replace(/^Expected /, "Expected a share of the images, as 0.1, or "));
  }
}
