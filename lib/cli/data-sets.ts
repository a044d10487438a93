// Data sets as a command line names them, `cifar10:data#test` or a folder of images, and how each is read.

import { existsSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { InvalidArgumentError } from "commander";
import * as datasets from "../data";
import { Dataset, type SplitName } from "../data";
import { conform, formText } from "../data/conform";
import type { ImageShape } from "../data/dataset";
import { randomPermutation } from "../core/random-permutation";
import type { ImageResize } from "../images/decode";
import { given, realNumber } from "./option-values";
import type { Session } from "./session";
import { hinted } from "./skipped";

/** What a command line says of a data set. */
export interface DataSpec {
  /** As it was given. */
  readonly text: string;
  /** What it is to be called; undefined: as it calls itself. */
  readonly label: string | undefined;
  readonly name: DataSetName;
  readonly path: string;
  /** undefined: what the command takes by default. */
  readonly split: SplitName | undefined;
}

export interface ReadDataOptions {
  /** Where the specification names none. */
  split: SplitName;
  /** Of images that have to be resized, and how. */
  imageSize: number;
  channels: number;
  resize?: ImageResize;
  session: Session;
}

type Reader = (path: string, split: SplitName, options: ReadDataOptions) => Promise<Dataset>;

const one =
  (read: (path: string, options: { splits: SplitName[] }) => Promise<Record<SplitName, Dataset>>): Reader =>
  async (path, split) =>
    (await read(path, { splits: [split] }))[split];

/** The files of the MNIST family may have something before their names: what follows the last folder of the path. */
const prefixed =
  (read: (path: string, options: { splits: SplitName[]; prefix?: string }) => Promise<Record<SplitName, Dataset>>): Reader =>
  async (path, split) => {
    if (isDirectory(path)) return (await read(path, { splits: [split] }))[split];
    return (await read(dirname(path), { splits: [split], prefix: basename(path) }))[split];
  };

const readers = {
  mnist: prefixed(datasets.mnist),
  "fashion-mnist": prefixed(datasets.fashionMnist),
  kmnist: prefixed(datasets.kmnist),
  cifar10: one(datasets.cifar10),
  cifar100: one(datasets.cifar100),
  svhn: one(datasets.svhn),
  "tiny-imagenet": async (path, _, { imageSize, session: { signal, progress, maxPixels } }) =>
    (await datasets.tinyImageNet(path, { imageSize, maxPixels, signal, onProgress: progressOf(progress, path) })).validation,
  folder: async (path, _, { imageSize, channels, resize, session: { signal, progress, skipped, maxPixels } }) => {
    const onProgress = progressOf(progress, path);
    const onError = skipped?.add ?? "throw";
    const form = { imageSize, channels: channels === 1 ? (1 as const) : (3 as const), resize };
    return hinted(datasets.imageFolder(path, { ...form, maxPixels, onError, signal, onProgress }), skipped);
  },
} satisfies Record<string, Reader>;

export type DataSetName = keyof typeof readers;

export const dataSetNames = Object.keys(readers) as DataSetName[];

export const dataHelp = `DATA is SET:DIR or the path of a folder of images, and may be called something else: NAME=DATA.
  SET is ${dataSetNames.slice(0, -1).join(", ")}; DIR holds its files as they are published (nothing is downloaded).
  #train or #test behind DIR chooses a part: cifar10:data#test. DIR may end in what stands before the names of MNIST's files.
  A folder has one folder per class with PNG, JPEG or WebP images in it (needs "npm install sharp").`;

/** What a data set may be besides SET:DIR: the end of a message, where `evaluate` says more. */
export const existingFolder = "an existing folder of images.";

/** For commander. @throws InvalidArgumentError */
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

/** @throws what the reader of the data set throws; ERR_ABORTED */
export async function readData(spec: DataSpec, options: ReadDataOptions): Promise<Dataset> {
  const read: Reader = readers[spec.name];
  const data = named(await read(spec.path, spec.split ?? options.split, options), spec.label);
  options.session.progress.stop();
  options.session.throwIfAborted();
  return data;
}

/** The data set with images as a network takes them; a note says where they were others. @throws as {@link readData}; ERR_SHAPE, ERR_SHARP_NOT_FOUND */
export async function readConformed(
  spec: DataSpec,
  options: ReadDataOptions,
): Promise<{ data: Dataset; madeFrom: ImageShape | undefined }> {
  const found = await readData(spec, options);
  const data = await conform(found, { ...options, signal: options.session.signal });
  if (data === found) return { data, madeFrom: undefined };
  const how = data.resize === found.resize ? "" : ` (${data.resize?.mode}, ${data.resize?.kernel})`;
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

/** Of an evaluation: the name that was given, else the data set's without its part, as the groups of presets have it. */
export function setName({ label }: DataSpec, data: Dataset): string {
  return label ?? data.name.replace(/ (train|test|validation)$/, "");
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
