// `libtorch-ood extract`: features and logits of any number of images, to .npy or .safetensors, in bounded memory.

import { Command } from "commander";
import { setThreads } from "../device";
import type { Dataset } from "../datasets";
import { openAtomicFile, type AtomicFile } from "../files/atomic-write";
import { imageResizes, resizeKernel, type ImageResize } from "../images/decode";
import { ResNet, type ImageChunk } from "../resnet";
import { dataHelp, dataSpec, labelsAmong, randomSubset, readData, type DataSpec } from "./data-sets";
import { openExtracted } from "./extracted";
import { labelsByFolder, listImages, passedOverNote, type ListedImage } from "./image-files";
import { choice, given, wholeNumber } from "./option-values";
import { addSessionOptions, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { facts } from "./table";

interface ExtractOptions extends SessionOptions {
  out: string;
  data?: DataSpec;
  subset?: number;
  seed: number;
  labelsFromFolders?: boolean;
  features: "normalized" | "raw";
  resize: ImageResize;
  batchSize: number;
  chunkSize: number;
  precision?: "float32" | "bfloat16";
  device?: string;
  threads?: number;
}

const help = `
What is written, row i for image i:
  features  [N, d] float32   as the last layer sees them; rawFeatures with --features raw
  logits    [N, C] float32
  labels    [N]    int64     of a data set, or with --labels-from-folders: numbers of the network's classes, by the names of the classes.
                             A data set of other classes gives none
  --out DIR writes DIR/features.npy, DIR/logits.npy, DIR/labels.npy; --out FILE.safetensors writes one file with tensors of these names.
  For image files a list of their paths is written beside them, images.txt. Files appear under their names only when all is done.

Images are read, computed and written chunk by chunk: memory does not grow with their number.

${dataHelp}

Examples:
  libtorch-ood extract cifar10.safetensors --data cifar10:data#train --out features/train
  libtorch-ood extract photos.safetensors holiday/*.jpg more-photos/ --out holiday.safetensors
  python -c "import numpy; print(numpy.load('features/train/features.npy').shape)"

${exitCodesHelp}`;

export function extractCommand(): Command {
  const command = new Command("extract")
    .description("write features and logits of images to .npy or .safetensors files")
    .argument("<model>", 'a network that "train" wrote')
    .argument("[images...]", "image files, and folders in which all images are taken")
    .requiredOption("--out <path>", "a folder for .npy files, or a .safetensors file")
    .optionsGroup("Images:")
    .option("--data <data>", "a data set in place of image files (default part: test)", dataSpec)
    .option("--subset <n>", "this many images of the data set, drawn at random", wholeNumber(1))
    .option("--seed <n>", "of the subset", wholeNumber(0), 0)
    .option("--labels-from-folders", "the folder an image file is in is its class")
    .addOption(choice("--resize <how>", "images of another size than the network's", imageResizes).default("center-crop"))
    .optionsGroup("Computation:")
    .addOption(
      choice("--features <kind>", "divided by their norm, where the network does, or raw", ["normalized", "raw"]).default("normalized"),
    )
    .option("--batch-size <n>", "images per forward pass", wholeNumber(1), 64)
    .option("--chunk-size <n>", "images in memory at a time (two chunks are)", wholeNumber(1), 512)
    .addOption(choice("--precision <name>", "of the convolutions (default float32)", ["float32", "bfloat16"]))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "of the CPU (default: all cores)", wholeNumber(1));
  return addSessionOptions(command)
    .addHelpText("after", help)
    .action((model: string, images: string[], options: ExtractOptions) => {
      if ((options.data === undefined) === (images.length === 0)) command.error("error: expected image files or --data, one of the two");
      return runSession(options, (session) => extract(model, images, options, session), { interrupted: () => "nothing was written" });
    });
}

async function extract(path: string, images: readonly string[], options: ExtractOptions, session: Session): Promise<void> {
  const { output, progress, signal } = session;
  if (options.threads !== undefined) await setThreads(options.threads);
  const model = await ResNet.load(path, given({ device: options.device }));
  const { imageSize, inChannels: channels, numClasses } = model.architecture;
  const reading = { split: "test" as const, imageSize, channels, resize: options.resize, conform: true, session };
  const data = options.data && randomSubset(await readData(options.data, reading), options.subset, options.seed);
  const { files, passedOver } = data === undefined ? await listImages(images, { signal }) : { files: [], passedOver: {} };
  const passedOverLine = passedOverNote(passedOver);
  if (passedOverLine !== undefined) session.note(passedOverLine);
  const labels =
    data !== undefined
      ? labelsOf(data, model.classNames, session)
      : options.labelsFromFolders
        ? labelsByFolder(files, model.classNames).labels
        : undefined;
  const count = data?.length ?? files.length;
  const start = performance.now();
  const featureName = options.features === "raw" ? ("rawFeatures" as const) : ("features" as const);
  const form = { featureName, featureDim: model.featureDim, numClasses, count, labels: labels !== undefined };
  const writer = await openExtracted(options.out, form);
  let list: PathList | undefined;
  let written;
  let peak = 0;
  try {
    if (data === undefined) list = await PathList.open(options.out);
    progress.start("extracting", count);
    const source = data === undefined ? fileChunks(files, labels, options.chunkSize) : dataChunks(data, labels, options.chunkSize);
    const { resize, batchSize, features, precision } = options;
    await model.extractStream(
      source,
      async (chunk) => {
        await writer.write(chunk);
        const done = chunk.offset + (chunk.features.shape[0] as number);
        await list?.write(files.slice(chunk.offset, done));
        peak = Math.max(peak, process.memoryUsage.rss());
        progress.update(done, `${Math.round(done / ((performance.now() - start) / 1000))} images/s`);
      },
      given({ resize, batchSize, features, precision, signal }),
    );
    session.throwIfAborted();
    written = await writer.commit();
    await list?.commit();
  } catch (error) {
    await writer.discard();
    await list?.discard();
    throw error;
  } finally {
    model.dispose();
  }
  progress.stop();
  const seconds = (performance.now() - start) / 1000;
  if (options.json) {
    const resized = data === undefined ? { mode: options.resize ?? "center-crop", kernel: resizeKernel } : data.resize;
    await output.json({ count, arrays: written, images: list?.path, resize: resized, seconds, peakResidentBytes: peak });
    return;
  }
  const rows = written.map(({ name, file, dtype, shape }) => [name, `${dtype} [${shape.join(", ")}] in ${file}`] as const);
  const speed = `${seconds.toFixed(1)} s, ${(count / seconds).toFixed(0)} images/s, at most ${Math.round(peak / 2 ** 20)} MiB resident`;
  await output.print(facts([...rows, ["images", list && `their paths in ${list.path}`], ["took", speed]]));
}

/** In the numbering of the network; none for a data set of other classes. */
function labelsOf(data: Dataset, classNames: readonly string[] | undefined, { note }: Session): Int32Array | undefined {
  const labels = labelsAmong(data, classNames);
  if (!("missing" in labels)) return labels;
  note(`note: no labels are written: ${JSON.stringify(labels.missing)}, a class of ${data.name}, is none of the network's`);
  return undefined;
}

function* fileChunks(files: readonly ListedImage[], labels: Int32Array | undefined, size: number): Generator<ImageChunk> {
  for (let start = 0; start < files.length; start += size) {
    const images = files.slice(start, start + size).map(({ image }) => image);
    yield labels === undefined ? images : { images, labels: labels.subarray(start, start + size) };
  }
}

function* dataChunks(data: Dataset, labels: Int32Array | undefined, size: number): Generator<ImageChunk> {
  const pixels = data.images.length / data.length;
  for (let start = 0; start < data.length; start += size) {
    const end = Math.min(start + size, data.length);
    const images = { data: data.images.subarray(start * pixels, end * pixels), shape: [end - start, ...data.shape] };
    yield labels === undefined ? images : { images, labels: labels.subarray(start, end) };
  }
}

/** The paths of the images, one a line. */
class PathList {
  #position = 0;

  private constructor(
    readonly path: string,
    private readonly file: AtomicFile,
  ) {}

  static async open(out: string): Promise<PathList> {
    const path = out.endsWith(".safetensors") ? out.replace(/\.safetensors$/, ".images.txt") : `${out.replace(/\/+$/, "")}/images.txt`;
    return new PathList(path, await openAtomicFile(path));
  }

  async write(files: readonly ListedImage[]): Promise<void> {
    const bytes = Buffer.from(files.map(({ name }) => `${name}\n`).join(""));
    await this.file.write(bytes, this.#position);
    this.#position += bytes.length;
  }

  commit(): Promise<void> {
    return this.file.commit();
  }

  discard(): Promise<void> {
    return this.file.discard();
  }
}
