// `libtorch-ood extract`: writes features and logits of any number of images to .npy or .safetensors files, in bounded memory.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename, resolve as resolvePath } from "node:path";
import { Command } from "commander";
import type { Dataset } from "../data";
import { dataHash } from "../data/data-hash";
import { packageVersion } from "../core/package-root";
import { labelsAmong } from "../data/class-labels";
import { listed } from "../core/checks";
import { listImageFolder } from "../data/image-folder";
import { setThreads } from "../native/device";
import { LibtorchOodError } from "../core/errors";
import type { ModelOutput } from "../core/model-outputs";
import type { Path } from "../formats/path-text";
import { imageResizes, resizeRecord, type ImageResize } from "../images/geometry";
import type { ImageFailure } from "../images/failure";
import type { Precision } from "../native/precision";
import type { Tensor } from "../native/tensor";
import type { FeatureExtractor } from "../models/extractor";
import type { ExtractionChunk, ImageChunk } from "../models/extract-options";
import { dataHelp, dataSpec, randomIndices, randomSubset, readConformed, type DataSpec } from "./data-sets";
import { readClassNames } from "../formats/class-list";
import { writtenDtypes, type WrittenDtype } from "./extraction-arrays";
import type { Identity } from "./extraction-journal";
import { isTensorsPath, openExtraction, outFault, requireInputsKept } from "./extraction-writer";
import { imagePaths, labelsByFolder, listedImage, listFiles, listImages, noClass, passedOverNote, type ListedImage } from "./image-files";
import { addModelOptions, modelArgument, openModel, readingOf, type ModelOptions } from "./model-option";
import { byteSize, choice, given, precisionOption, wholeNumber } from "./option-values";
import { pathTo } from "./path-option";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { acceptTruncatedOption, hinted, maxPixelsOption, skippedText } from "./skipped";
import { facts } from "./table";

interface ExtractOptions extends SessionOptions, ModelOptions {
  out: string;
  data?: DataSpec;
  subset?: number;
  seed: number;
  filesFrom?: string[];
  labelsFromFolders?: boolean;
  classNames?: string;
  skipErrors?: boolean;
  dtype: WrittenDtype;
  shardSize?: number;
  resume?: boolean;
  features: "normalized" | "raw";
  resize?: ImageResize;
  batchSize: number;
  chunkSize: number;
  precision: Precision;
  threads?: number;
}

const help = `
The command writes these arrays, row i for image i:
  features  [N, d] float32   features that the last layer sees; with --features raw, rawFeatures instead
  logits    [N, C] float32
  labels    [N]    int64     for a data set, or with --labels-from-folders: numbers of the network's classes, found by the names of the classes.
                             A data set of other classes gives no labels
  --out DIR writes DIR/features.npy, DIR/logits.npy, DIR/labels.npy. --out FILE.safetensors writes one file with tensors of these names.
  images.txt beside them lists the paths of image files, one a line; names with line breaks or bytes that are not UTF-8 are in double quotes with C's
  escapes. classes.txt has the names of the labels, line n for number n. skipped.jsonl lists the images that --skip-errors left out.
  Files appear under their names when all is done, and all are of one run: the command removes arrays of an earlier run that it does not write.
  --shard-size writes FILE-00001-of-00009.safetensors and so on, and FILE.safetensors.index.json, which files.openFeatures and the other commands read.

What a run has written lies in a folder NAME.unfinished beside the output until it is whole. A run that ends before (an error, Ctrl-C, a kill, a crash)
leaves it there, and the same command with --resume verifies it and computes the rest: the files are those of an uninterrupted run, byte for byte.
Another model, option or list of images is refused. --skip-errors may be added, and --threads may differ.

Images are read, computed and written chunk by chunk, so that memory does not grow with their number. Data sets other than folders are read first.

${dataHelp}

Examples:
  libtorch-ood extract cifar10.safetensors --data cifar10:data#train --out features/train
  libtorch-ood extract photos.safetensors holiday/*.jpg more-photos/ --out holiday.safetensors
  find photos -name "*.jpg" -print0 | libtorch-ood extract photos.safetensors - --skip-errors --out features/all
  python -c "import numpy; print(numpy.load('features/train/features.npy').shape)"

${exitCodesHelp}`;

export function extractCommand(): Command {
  const command = new Command("extract")
    .description("write features and logits of images to .npy or .safetensors files")
    .argument("<model>", modelArgument)
    .argument("[images...]", "image files and folders of images; - reads a list of paths from standard input")
    .requiredOption("--out <path>", "a folder for .npy files, or a .safetensors file")
    .addOption(
      choice("--dtype <dtype>", "what features and logits are written in; bfloat16 in .safetensors files only", writtenDtypes).default(
        "float32",
      ),
    )
    .option("--shard-size <size>", "write several .safetensors files of at most this size, as 500MB or 4GiB, and an index", byteSize)
    .option("--resume", "go on with an extraction to the same place that was broken off; begin where there is none")
    .optionsGroup("Images:")
    .option("--data <data>", "a data set instead of image files (default part: test)", dataSpec)
    .option("--subset <n>", "this many images of the data set, drawn at random", wholeNumber(1))
    .option("--seed <n>", "seed for the subset", wholeNumber(0), 0)
    .option("--files-from <file>", "read the paths of image files from this file, one a line or ended by NUL; may be repeated", listFiles)
    .option("--labels-from-folders", "the name of an image file's folder is its class")
    .option(
      "--class-names <file>",
      "names of the classes in the order of their numbers, one a line, if the network has no names",
      pathTo("a file"),
    )
    .option("--skip-errors", "leave out images that cannot be read, and list them in skipped.jsonl")
    .option(...maxPixelsOption)
    .option(...acceptTruncatedOption)
    .addOption(
      choice("--resize <how>", "how to resize images of another size than the model's (default: as its preprocessing says)", imageResizes),
    )
    .optionsGroup("Computation:")
    .addOption(
      choice("--features <kind>", "normalized: features that the last layer sees; raw: features that pooling gives", [
        "normalized",
        "raw",
      ]).default("normalized"),
    )
    .option("--batch-size <n>", "images per forward pass", wholeNumber(1), 64)
    .option("--chunk-size <n>", "images per chunk; two chunks are in memory at a time", wholeNumber(1), 512)
    .addOption(precisionOption("precision of the convolutions").default("auto"))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "number of CPU threads (default: all cores)", wholeNumber(1));
  return addSessionOptions(addModelOptions(command))
    .addHelpText("after", help)
    .action((model: string, images: string[], options: ExtractOptions) => {
      const files = images.length > 0 || options.filesFrom !== undefined;
      if ((options.data === undefined) !== files) command.error("error: expected image files or --data, one of the two");
      if (options.classNames !== undefined && !options.labelsFromFolders) {
        command.error("error: expected --labels-from-folders beside --class-names, which says what numbers their labels have");
      }
      const drawn = (["subset", "seed"] as const).find((name) => command.getOptionValueSource(name) === "cli");
      if (options.data === undefined && drawn !== undefined) command.error(`error: expected --data beside --${drawn}`);
      const fault = outFault(options.out);
      if (fault !== undefined) command.error(`error: option '--out <path>' argument '${options.out}' is invalid. ${fault}`);
      for (const [option, given] of [
        ["--dtype bfloat16", options.dtype === "bfloat16"],
        ["--shard-size", options.shardSize !== undefined],
      ] as const) {
        if (given && !isTensorsPath(options.out)) command.error(`error: expected a .safetensors file as --out beside ${option}`);
      }
      let kept = 0;
      const interrupted = () => (kept === 0 ? "nothing was written" : keptText(kept));
      return runSession(options, (session) => extract(model, images, options, session, (count) => (kept = count)), { interrupted });
    });
}

function keptText(count: number): string {
  return `what was computed of ${count} images is kept: --resume goes on from there`;
}

/** What is extracted: chunk after chunk, and what is known of all images before. */
interface Subject {
  readonly count: number;
  /** The files, where images are read from files. */
  readonly files: readonly ListedImage[] | undefined;
  readonly labels: boolean;
  readonly classNames: readonly string[] | undefined;
  readonly resize: Dataset["resize"];
  /** The chunks from the image of a number on, a multiple of the chunk size. */
  readonly chunks: (from: number) => Iterable<ImageChunk>;
  /** A checksum of what the images are: of the list of their paths and labels, or of a data set. */
  readonly hash: string;
}

async function extract(
  path: string,
  images: readonly string[],
  options: ExtractOptions,
  session: Session,
  onKept: (count: number) => void,
): Promise<void> {
  const { output, progress, signal, skipped, maxPixels, truncated } = session;
  if (options.threads !== undefined) await setThreads(options.threads);
  const lists = (options.filesFrom ?? []).map((list) => ["--files-from", list] as const);
  await requireInputsKept(options.out, [["<model>", path], ...lists, ["--class-names", options.classNames]]);
  const model = await openModel(path, options);
  const start = performance.now();
  const subject =
    options.data?.name === "folder"
      ? await folderSubject(options.data, model, options, session)
      : options.data === undefined
        ? await filesSubject(images, model, options, session)
        : await dataSubject(options.data, model, options, session);
  const { count, files, labels, classNames } = subject;
  const { featureDim } = model;
  const featureName = options.features === "raw" ? ("rawFeatures" as const) : ("features" as const);
  const form = {
    featureName,
    featureDim,
    numClasses: model.numClasses,
    count,
    labels,
    images: files !== undefined,
    classNames,
    dtype: options.dtype,
    shardSize: options.shardSize,
  };
  const identity = await identityOf(path, model, subject, options, signal);
  const { resume = false } = options;
  const writer = await openExtraction(options.out, form, { identity, resume });
  const { done } = writer;
  if (writer.dropped > 0)
    session.note(`note: an unfinished extraction of ${writer.dropped} images was dropped; --resume would have gone on with it`);
  if (done.seen > 0) session.note(`note: ${done.seen} of ${count} images had been done`);
  let written;
  let peak = 0;
  let { seen, rows } = done;
  let writing = false; // an error of the disk is none of an image
  let used: ExtractionChunk["precision"] | undefined;
  try {
    progress.start("extracting", count);
    const { resize, batchSize, precision } = options;
    if (done.skipped.length > 0 && skipped === undefined) {
      const expected = `expected --skip-errors, as in the extraction that was broken off, which left out ${done.skipped.length} images`;
      throw new LibtorchOodError("ERR_OPTION", `--resume: ${expected}`);
    }
    skipped?.failures.push(...done.skipped);
    const inAll = (failure: ImageFailure) => named({ ...failure, index: failure.index + done.seen }, files);
    const sink = async (chunk: ExtractionChunk<readonly ModelOutput[]>) => {
      const left = new Map(chunk.skipped.map((failure) => [failure.index + done.seen, failure]));
      const { [featureName]: features, logits } = chunk as { features: Tensor; rawFeatures: Tensor; logits: Tensor | undefined };
      const kept = features.shape[0] as number;
      const end = seen + kept + left.size;
      const images = (files ?? []).slice(seen, end).filter((_, i) => !left.has(seen + i));
      const unnamed = images[chunk.labels.indexOf(-1)]; // was missing when the list was made, and is there now
      if (unnamed !== undefined) throw noClass(unnamed, classNames ?? []);
      const names = images.map(({ name }) => name);
      writing = true;
      await writer.write({ features, logits, labels: chunk.labels, names, skipped: chunk.skipped.map(inAll) }, chunk.precision);
      writing = false;
      seen = end;
      used = chunk.precision;
      rows = done.rows + chunk.offset + kept;
      peak = Math.max(peak, process.memoryUsage.rss());
      progress.update(seen, `${Math.round((seen - done.seen) / ((performance.now() - start) / 1000))} images/s`);
    };
    const onError = skipped === undefined ? ("throw" as const) : (failure: ImageFailure) => skipped.add(inAll(failure));
    const outputs: readonly ModelOutput[] = model.numClasses === undefined ? [featureName] : [featureName, "logits"];
    const stream = model.extractStream(
      subject.chunks(done.seen),
      sink,
      given({ outputs, resize, batchSize, precision, onError, maxPixels, truncated, signal }),
    );
    await hinted(stream, skipped, () => (writing ? undefined : `${seen} of ${count} images had been computed; `));
    session.throwIfAborted();
    if (rows === 0) {
      const first = skipped?.failures[0];
      throw new LibtorchOodError(first?.code ?? "ERR_SHAPE", `none of ${count} images can be read; the first: ${first?.reason}`);
    }
    written = await writer.commit();
  } catch (error) {
    const kept = await writer.keep();
    onKept(kept);
    if (kept > 0 && !signal.aborted) session.note(`note: ${keptText(kept)}`);
    throw error;
  } finally {
    model.dispose();
  }
  progress.stop();
  const seconds = (performance.now() - start) / 1000;
  if (options.json) {
    const { arrays, images: list, classes, skipped: skippedList } = written;
    const left = skipped && { skipped: { count: skipped.failures.length, list: skippedList } };
    await output.json({
      count: rows,
      arrays,
      images: list,
      classes,
      ...left,
      resize: subject.resize,
      precision: used,
      seconds,
      peakResidentBytes: peak,
    });
    return;
  }
  const arrays = written.arrays.map(({ name, file, dtype, shape }) => [name, `${dtype} [${shape.join(", ")}] in ${file}`] as const);
  const speed = `${used}, ${seconds.toFixed(1)} s, ${((seen - done.seen) / seconds).toFixed(0)} images/s, at most ${Math.round(peak / 2 ** 20)} MiB resident`;
  await output.print(
    facts([
      ...arrays,
      ["images", written.images && `their paths in ${written.images}`],
      ["classes", written.classes && `their names in ${written.classes}`],
      ["skipped", skippedText(skipped?.failures.length ?? 0, written.skipped)],
      ["took", speed],
    ]),
  );
}

/** What decides the bytes of the output, by the words of the command line. */
async function identityOf(
  path: string,
  model: FeatureExtractor,
  { count, hash, classNames }: Subject,
  options: ExtractOptions,
  signal: AbortSignal,
): Promise<Identity> {
  const { resize, maxPixels, acceptTruncated, features, featuresAt, batchSize, chunkSize, precision, device, dtype, shardSize } = options;
  const given: Record<string, string | number | undefined> = {
    "libtorch-ood": packageVersion(),
    "SHA-256 of the model": await sha256Of(path, signal),
    "--preprocessing": JSON.stringify(model.input),
    "--features-at": featuresAt,
    "--features": features,
    images: `${count} of SHA-256 ${hash}`,
    "class names": classNames && JSON.stringify(classNames),
    "--resize": resize,
    "--max-pixels": maxPixels,
    "--accept-truncated": acceptTruncated === true ? "yes" : undefined,
    "--batch-size": batchSize,
    "--chunk-size": chunkSize,
    "--precision": precision,
    "--device": device,
    "--dtype": dtype,
    "--shard-size": shardSize,
  };
  return Object.fromEntries(Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])));
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { signal }) as AsyncIterable<Uint8Array>) hash.update(piece);
  return hash.digest("hex");
}

/** With the name by which the list calls the file. */
function named(failure: ImageFailure, files: readonly ListedImage[] | undefined): ImageFailure {
  return { ...failure, path: files?.[failure.index]?.name ?? failure.path };
}

async function filesSubject(
  images: readonly string[],
  model: FeatureExtractor,
  options: ExtractOptions,
  session: Session,
): Promise<Subject> {
  const { signal } = session;
  const paths = await imagePaths(images, options.filesFrom, signal);
  const { files, passedOver } = await listImages(paths, { signal, keepUnreadable: options.skipErrors ?? false });
  const note = passedOverNote(passedOver);
  if (note !== undefined) session.note(note);
  const given = options.classNames === undefined ? undefined : await readClassNames(options.classNames, signal);
  if (given !== undefined && model.classNames !== undefined && given.join("\n") !== model.classNames.join("\n")) {
    const expected = `the names of the network's classes, ${listed(model.classNames)}, or no such file`;
    throw new LibtorchOodError("ERR_OPTION", `--class-names: expected ${expected}; found ${listed(given)}`);
  }
  const byFolder = options.labelsFromFolders ? labelsByFolder(files, model.classNames ?? given) : undefined;
  return fileSubject(files, byFolder?.labels, byFolder?.classNames, options.chunkSize, resizeOf(model, options));
}

/** A folder per class: its files are read as they are needed. */
async function folderSubject(
  { path, label: name }: DataSpec,
  model: FeatureExtractor,
  options: ExtractOptions,
  session: Session,
): Promise<Subject> {
  const { signal, skipped } = session;
  const { files, classNames } = await hinted(listImageFolder(path, { signal, onError: skipped === undefined ? "throw" : "skip" }), skipped);
  const inFolders = files.map((file) => listedImage(file.path as Path));
  const order =
    options.subset === undefined || options.subset >= files.length ? undefined : randomIndices(files.length, options.subset, options.seed);
  const chosen = order === undefined ? inFolders : Array.from(order, (index) => inFolders[index] as ListedImage);
  const own = Int32Array.from(order ?? files.keys(), (index) => (files[index] as { label: number }).label);
  const labels = labelsOf({ name: name ?? basename(resolvePath(path)), classNames, labels: own }, model.classNames, session);
  return fileSubject(chosen, labels, labels && (model.classNames ?? classNames), options.chunkSize, resizeOf(model, options));
}

function resizeOf({ input }: FeatureExtractor, { resize }: ExtractOptions): Dataset["resize"] {
  return input && resizeRecord({ ...input, resize: resize ?? input.resize });
}

function fileSubject(
  files: readonly ListedImage[],
  labels: Int32Array | undefined,
  classNames: readonly string[] | undefined,
  chunkSize: number,
  resize: Dataset["resize"],
): Subject {
  const chunks = (from: number) => fileChunks(files, labels, chunkSize, from);
  const hash = createHash("sha256");
  for (const [i, { name }] of files.entries()) hash.update(`${JSON.stringify(name)} ${labels?.[i] ?? ""}\n`);
  return { count: files.length, files, labels: labels !== undefined, classNames, resize, chunks, hash: hash.digest("hex") };
}

async function dataSubject(spec: DataSpec, model: FeatureExtractor, options: ExtractOptions, session: Session): Promise<Subject> {
  const reading = { split: "test" as const, ...readingOf(model.input, options.resize), session };
  const data = randomSubset((await readConformed(spec, reading)).data, options.subset, options.seed);
  const labels = labelsOf(data, model.classNames, session);
  const chunks = (from: number) => dataChunks(data, labels, options.chunkSize, from);
  const classNames = labels && (model.classNames ?? data.classNames);
  const hash = await dataHash([data]);
  return { count: data.length, files: undefined, labels: labels !== undefined, classNames, resize: data.resize, chunks, hash };
}

/** In the numbering of the network; none for a data set of other classes. */
function labelsOf(
  data: Pick<Dataset, "name" | "classNames" | "labels">,
  classNames: readonly string[] | undefined,
  { note }: Session,
): Int32Array | undefined {
  const labels = labelsAmong(data, classNames);
  if (!("missing" in labels)) return labels;
  note(`note: no labels are written: ${JSON.stringify(labels.missing)}, a class of ${data.name}, is none of the network's`);
  return undefined;
}

function* fileChunks(files: readonly ListedImage[], labels: Int32Array | undefined, size: number, from: number): Generator<ImageChunk> {
  for (let start = from; start < files.length; start += size) {
    const images = files.slice(start, start + size).map(({ image }) => image);
    yield labels === undefined ? images : { images, labels: labels.subarray(start, start + size) };
  }
}

function* dataChunks(data: Dataset, labels: Int32Array | undefined, size: number, from: number): Generator<ImageChunk> {
  const pixels = data.images.length / data.length;
  for (let start = from; start < data.length; start += size) {
    const end = Math.min(start + size, data.length);
    const images = { data: data.images.subarray(start * pixels, end * pixels), shape: [end - start, ...data.shape] };
    yield labels === undefined ? images : { images, labels: labels.subarray(start, end) };
  }
}
