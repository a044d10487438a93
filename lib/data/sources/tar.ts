// Sources over tar shards in the form of WebDataset: members whose names differ behind the first dot alone are one sample.

import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { createGunzip } from "node:zlib";
import type * as Tar from "tar";
import { describe, fail, optionalFunction, optionsObject } from "../../core/checks";
import { LibtorchOodError } from "../../core/errors";
import { corruptFile, io, ioError } from "../../core/file-errors";
import { shortList } from "../../core/lists";
import { seedOf } from "../../core/random";
import { randomPermutation } from "../../core/random-permutation";
import { absolutePath, workingFolder } from "../../formats/path-text";
import { openRegularFile, readExactly } from "../../formats/regular-file";
import { isDecodable } from "../../images/image-tree";
import type { SourceItem } from "./items";
import { labelled, type Labelling } from "./labels";
import type { SourceOrder } from "./source";
import { StreamedSource } from "./streamed-source";

/** A sample of a shard without its picture. */
export interface ShardSample {
  /** The members' common name, without what follows the first dot: "n01440764/1234". */
  readonly name: string;
  /** Text of the member `.cls`; undefined where there is none. */
  readonly cls: string | undefined;
  /** Value of the member `.json`; undefined where there is none. */
  readonly json: unknown;
}

/** Options of {@link tar}. */
export interface TarOptions {
  /**
   * Function that gives the label of a sample: its number, or the name of its class where there are `classNames`. Default: the number in `.cls`, else
   * `label` or `cls` of the object in `.json`.
   */
  labels?: (sample: ShardSample) => number | string | undefined;
  /** Names of the classes, in label order. */
  classNames?: readonly string[];
  /** Number of pictures in all shards, where it is known. A cosine schedule needs it, and progress shows it. */
  length?: number;
  /** Number of pictures, encoded, that are held at a time to be drawn from, where an order at random is asked for. Default 1024. */
  shuffleBuffer?: number;
}

const mostShards = 1 << 20;
/** No picture has a larger file; a label or a description is much smaller. */
const maxImageBytes = 1 << 28;
const maxTextBytes = 1 << 20;
const chunkBytes = 1 << 20;

/**
 * Pictures in tar shards, plain or gzip-compressed, as WebDataset writes them: `0001.jpg` and `0001.cls` are a picture and its label. At random, the
 * shards come in random order and the pictures through a buffer of `shuffleBuffer`.
 *
 * A shard that is damaged is told of as a picture that cannot be decoded, under the shard's name: with `onError` the pictures before the damage are kept
 * and the next shard follows.
 *
 * @param shards - path of a shard, or a list of them. `{000..146}` in a path stands for all numbers of the range, with as many digits
 * @throws ERR_OPTION for an unknown option, a value of another type, and a range that is none
 * @example
 * import { sources } from "libtorch-ood";
 *
 * const train = sources.tar("shards/train-{000..146}.tar", { length: 1_281_167 });
 * const tagged = sources.tar("tagged.tar.gz", { classNames: ["cat", "dog"], labels: ({ json }) => (json as { kind: string }).kind });
 */
export function tar(shards: string | readonly string[], options?: TarOptions): StreamedSource {
  const given = optionsObject(options, "options", ["labels", "classNames", "length", "shuffleBuffer"]);
  const list = typeof shards === "string" ? [shards] : shortList(shards, mostShards);
  if (list === undefined || list.length === 0 || !list.every((path) => typeof path === "string" && path !== "")) {
    fail("ERR_OPTION", "shards", "a path or a list of paths", shards);
  }
  const paths = (list as string[]).flatMap(expanded);
  const labels = optionalFunction(given.labels, "labels");
  const labelling = labelled(undefined, given.classNames);
  const folder = workingFolder();
  const items = async function* (order: SourceOrder | undefined): AsyncGenerator<SourceItem, void, undefined> {
    const indices = order === undefined ? paths.keys() : randomPermutation(paths.length, seedOf(order.seed, order.epoch));
    for (const index of indices) {
      const path = paths[index] as string;
      try {
        for await (const sample of samples(path, absolutePath(path, folder) as string)) yield itemOf(sample, path, labels, labelling);
      } catch (error) {
        if (!(error instanceof ShardFault)) throw error;
        yield { image: { name: path, fault: error.fault }, label: -1 };
      }
    }
  };
  const identity = async (): Promise<string> => {
    const sizes = await Promise.all(paths.map(async (path) => (await io("read", path, stat(absolutePath(path, folder)))).size));
    return JSON.stringify(paths.map((path, i) => [basename(path), sizes[i]]));
  };
  const { length, shuffleBuffer } = given;
  return new StreamedSource({ length, shuffleBuffer, items, identity, classNames: labelling.classNames });
}

/** "{000..146}": as of a shell. @throws ERR_OPTION */
function expanded(path: string): string[] {
  const range = /\{(\d+)\.\.(\d+)\}/.exec(path);
  if (range === null) return [path];
  const [all, first, last] = range as unknown as [string, string, string];
  const [from, to] = [Number(first), Number(last)];
  if (to < from || to - from >= mostShards) fail("ERR_OPTION", "shards", `a range of at most ${mostShards} numbers that ascends`, all);
  const digits = first.length;
  const before = path.slice(0, range.index);
  const after = expanded(path.slice(range.index + all.length));
  return Array.from({ length: to - from + 1 }, (_, i) => `${before}${String(from + i).padStart(digits, "0")}`).flatMap((start) =>
    after.map((end) => start + end),
  );
}

/** A fault of a shard as a whole: what is behind it in the shard is lost. */
class ShardFault extends Error {
  constructor(readonly fault: LibtorchOodError) {
    super(fault.message);
  }
}

interface Member {
  readonly name: string;
  readonly size: number;
  /** Undefined for one that is too large. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
}

/** Members of one sample, in their order. */
type Sample = readonly [Member, ...Member[]];

function itemOf(sample: Sample, shard: string, labels: TarOptions["labels"], labelling: Labelling): SourceItem {
  const picture = sample.find(({ name }) => isDecodable(name)) as Member;
  const name = `${shard}/${picture.name}`;
  const image =
    picture.bytes === undefined
      ? { name, fault: corruptFile(name, `an image file of at most ${maxImageBytes} bytes`, `${picture.size} bytes`) }
      : { name, encoded: picture.bytes };
  const facts: ShardSample = { name: keyOf(sample[0].name), cls: textOf(sample, "cls", shard), json: jsonOf(sample, shard) };
  return { image, label: labelling.number(labels === undefined ? usualLabel(facts, name) : labels(facts), name) };
}

function usualLabel({ cls, json }: ShardSample, name: string): number | string | undefined {
  if (cls !== undefined) {
    const text = cls.trim();
    if (!/^\d{1,9}$/.test(text)) throw corruptFile(name, "a number in .cls", describe(text));
    return Number(text);
  }
  const { label, cls: other } = (typeof json === "object" && json !== null ? json : {}) as { label?: unknown; cls?: unknown };
  const found = label ?? other;
  if (found === undefined || found === null) return undefined;
  if (typeof found !== "number" && typeof found !== "string") throw corruptFile(name, "a number or a name as label in .json", describe(found));
  return found;
}

function textOf(sample: Sample, ending: string, shard: string): string | undefined {
  const member = sample.find(({ name }) => name.toLowerCase().endsWith(`.${ending}`));
  if (member === undefined) return undefined;
  if (member.bytes === undefined) throw corruptFile(`${shard}/${member.name}`, `at most ${maxTextBytes} bytes`, `${member.size}`);
  return Buffer.from(member.bytes.buffer, member.bytes.byteOffset, member.bytes.byteLength).toString("utf8");
}

function jsonOf(sample: Sample, shard: string): unknown {
  const text = textOf(sample, "json", shard);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw corruptFile(`${shard}/${keyOf(sample[0].name)}.json`, "JSON", (cause as Error).message, cause);
  }
}

function keyOf(name: string): string {
  const slash = name.lastIndexOf("/") + 1;
  const dot = name.indexOf(".", slash + 1);
  return dot < 0 ? name : name.slice(0, dot);
}

/** The samples of a shard that have a picture. @throws ShardFault for a damaged shard; ERR_IO */
async function* samples(shard: string, path: string): AsyncGenerator<Sample, void, undefined> {
  let sample: Member[] = [];
  for await (const member of members(shard, path)) {
    const [first] = sample;
    if (first !== undefined && keyOf(first.name) !== keyOf(member.name)) {
      if (sample.some(({ name }) => isDecodable(name))) yield sample as unknown as Sample;
      sample = [];
    }
    sample.push(member);
  }
  if (sample.some(({ name }) => isDecodable(name))) yield sample as unknown as Sample;
}

/** The members that may be of use: pictures, labels, descriptions. */
async function* members(shard: string, path: string): AsyncGenerator<Member, void, undefined> {
  const { Parser } = loadTar();
  const ready: Member[] = [];
  const faults: string[] = [];
  const parser = new Parser({
    onReadEntry: (entry) => void take(entry, ready),
    onwarn: (_, message) => void faults.push(String(message)),
  });
  const requireSound = (): void => {
    if (faults.length > 0) throw new ShardFault(corruptFile(shard, "a sound tar file", faults[0] as string));
  };
  for await (const chunk of plainChunks(shard, path)) {
    parser.write(chunk);
    yield* ready.splice(0);
    requireSound();
  }
  parser.end();
  yield* ready.splice(0);
  requireSound();
}

function take(entry: Tar.ReadEntry, ready: Member[]): void {
  const { path: name, size, type } = entry;
  const hidden = basename(name).startsWith(".");
  const limit = isDecodable(name) ? maxImageBytes : /\.(?:cls|json)$/i.test(name) ? maxTextBytes : -1;
  const file = type === "File" || type === "OldFile" || type === "ContiguousFile";
  if (!file || hidden || limit < 0) return void entry.resume();
  if (size > limit) {
    ready.push({ name, size, bytes: undefined });
    return void entry.resume();
  }
  const bytes = new Uint8Array(size);
  let filled = 0;
  entry.on("data", (piece: Uint8Array) => {
    bytes.set(piece, filled);
    filled += piece.length;
  });
  entry.on("end", () => {
    if (filled === size) ready.push({ name, size, bytes });
  });
}

/** The bytes of the tar file, inflated in Node's pool where they are compressed. */
async function* plainChunks(shard: string, path: string): AsyncGenerator<Uint8Array, void, undefined> {
  const { handle, size } = await openRegularFile(path, shard);
  const start = new Uint8Array(2);
  try {
    if (size < 2) throw new ShardFault(corruptFile(shard, "a tar file", `${size} bytes`));
    await readExactly(handle, shard, 0, start);
  } catch (error) {
    await handle.close();
    throw error;
  }
  const stream = handle.createReadStream({ start: 0, highWaterMark: chunkBytes }); // closes the handle
  const inflated = start[0] === 0x1f && start[1] === 0x8b ? createGunzip({ chunkSize: chunkBytes }) : undefined;
  try {
    if (inflated !== undefined) stream.on("error", (error) => inflated.destroy(error)).pipe(inflated);
    for await (const chunk of inflated ?? stream) yield chunk as Buffer;
  } catch (error) {
    if (/^(?:Z_|ERR_ZLIB)/.test((error as { code?: string }).code ?? "")) {
      throw new ShardFault(corruptFile(shard, "a sound gzip file", (error as Error).message, error));
    }
    throw ioError("read", shard, error);
  } finally {
    stream.destroy();
    inflated?.destroy();
  }
}

let loaded: typeof Tar | undefined;

/** At first use, since most programs read no shards. */
function loadTar(): typeof Tar {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- see above
  return (loaded ??= require("tar") as typeof Tar);
}
