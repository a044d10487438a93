// `libtorch-ood score`: predicts the class of each image and whether the image is out of distribution.

import { Command } from "commander";
import type { Dataset } from "../data";
import { Detector, type Prediction } from "../detector/detector";
import { setThreads } from "../native/device";
import { LibtorchOodError } from "../core/errors";
import type { ModelOutputs } from "../scores";
import { dataHelp, dataSpec, readConformed, type DataSpec } from "./data-sets";
import { readExtracted } from "./extracted";
import { imagePaths, listFiles, listImages, passedOverNote, type ListedImage } from "./image-files";
import { readingOf } from "./model-option";
import { given, realNumber, wholeNumber } from "./option-values";
import { pathTo } from "./path-option";
import { predictFiles, predictRows, type Outcome } from "./predictions";
import { addSessionOptions, exitCodes, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { acceptTruncatedOption, maxPixelsOption, skipErrorsOption } from "./skipped";
import { number, share } from "./table";
import { errorText, visible } from "./visible";

interface ScoreOptions extends SessionOptions {
  data?: DataSpec;
  filesFrom?: string[];
  features?: string;
  falseAlarmRate?: number;
  failOnOod?: boolean;
  batchSize?: number;
  device?: string;
  model?: string;
  threads?: number;
}

const help = `
The command prints one line per image, in order:
  verdict     "in distribution"; or "OUT OF DISTRIBUTION" if the p-value is at most the false-alarm rate;
              or "error" if the file cannot be read as an image (the other images are scored all the same)
  p-value     share of in-distribution images whose score is at most as high
  confidence  the network's probability of the class, which is often high for out-of-distribution images too
  class       the class that the network predicts
--json prints one JSON object per line: image, label, className, confidence, score, logDensity (of the Gaussian mixture), pValue,
outOfDistribution; or image and error. With --data and --skip-errors the images that were left out come first.

${dataHelp}

Examples:
  libtorch-ood score detector.safetensors inbox/*.jpg
  libtorch-ood score detector.safetensors inbox/ --json | jq -r 'select(.outOfDistribution).image'
  libtorch-ood score detector.safetensors upload.png --fail-on-ood --false-alarm-rate 0.01 || echo "not accepted"

${exitCodesHelp}
With --fail-on-ood also 3: at least one image is out of distribution. If a file cannot be read either, the exit code is 1.`;

export function scoreCommand(): Command {
  const command = new Command("score")
    .description("predict the class of each image, and whether the image is out of distribution")
    .argument("<detector>", 'a detector that "fit" wrote')
    .argument("[images...]", "image files and folders of images; - reads a list of paths from standard input")
    .optionsGroup("Images:")
    .option("--data <data>", "a data set instead of image files (default part: test)", dataSpec)
    .option("--files-from <file>", "read the paths of image files from this file, one a line or ended by NUL; may be repeated", listFiles)
    .option("--features <path>", "features in files, for a detector without a network", pathTo("a folder or file"))
    .option(...skipErrorsOption)
    .option(...maxPixelsOption)
    .option(...acceptTruncatedOption)
    .optionsGroup("Verdict:")
    .option("--false-alarm-rate <share>", "rate for this run (default: the detector's own)", realNumber)
    .option("--fail-on-ood", "exit code 3 if any image is out of distribution")
    .optionsGroup("Computation:")
    .option("--model <file>", "the TorchScript or ONNX model of a detector whose file does not hold the weights", pathTo("a file"))
    .option("--batch-size <n>", "images per forward pass (default 64)", wholeNumber(1))
    .option("--device <name>", "cpu (default), cuda or cuda:N")
    .option("--threads <n>", "number of CPU threads (default: all cores)", wholeNumber(1));
  return addSessionOptions(command)
    .addHelpText("after", help)
    .action((detector: string, images: string[], options: ScoreOptions) => {
      const sources = [
        images.length > 0 || options.filesFrom !== undefined,
        options.data !== undefined,
        options.features !== undefined,
      ].filter(Boolean).length;
      if (sources !== 1) command.error("error: expected image files, --data or --features, one of the three");
      const tally = new Tally();
      return runSession(options, (session) => score(detector, images, options, session, tally), {
        endsWithOutput: true,
        interrupted: () => `${tally.count} inputs had been scored`,
      });
    });
}

class Tally {
  count = 0;
  outOfDistribution = 0;
  unreadable = 0;

  add(outcome: Outcome): void {
    this.count++;
    if ("error" in outcome) this.unreadable++;
    else if (outcome.prediction.outOfDistribution) this.outOfDistribution++;
  }
}

async function score(path: string, images: readonly string[], options: ScoreOptions, session: Session, tally: Tally): Promise<void> {
  const { output, progress, signal, note } = session;
  if (options.threads !== undefined) await setThreads(options.threads);
  const detector = await Detector.load(path, given({ device: options.device, model: options.model }));
  const wanted = options.features === undefined ? "images" : "features";
  if (detector.takes !== wanted) {
    const expected = detector.takes === "images" ? "images" : `--features with ${detector.needs.join(" and ")}`;
    throw new LibtorchOodError("ERR_OPTION", `${path}: this detector takes ${expected}, found ${wanted}`);
  }
  const predictOptions = given({
    falseAlarmRate: options.falseAlarmRate,
    batchSize: options.batchSize,
    maxPixels: session.maxPixels,
    truncated: session.truncated,
    signal,
  });
  for (const warning of detector.warnings) note(`warning: ${warning}`);
  const width = Math.min(40, Math.max("class".length, ...detector.classNames.map((name) => visible(name).length)));
  if (!options.json) await output.print(`verdict              p-value  confidence  score         ${"class".padEnd(width)}  image`);
  const print = async (name: string, outcome: Outcome, more: object = {}): Promise<void> => {
    tally.add(outcome);
    if (options.json) await output.json({ image: name, ...more, ...("error" in outcome ? outcome : outcome.prediction) });
    else await output.print("error" in outcome ? `error    ${errorText(outcome.error)}` : row(outcome.prediction, name, width));
  };
  if (options.data === undefined && options.features === undefined) {
    // What cannot be read is answered by an error like any bad image: the others are scored all the same.
    const paths = await imagePaths(images, options.filesFrom, signal);
    const { files, passedOver } = await listImages(paths, { signal, keepUnreadable: true });
    const passedOverLine = passedOverNote(passedOver);
    if (passedOverLine !== undefined) note(passedOverLine);
    progress.start("scoring", files.length);
    for await (const { offset, outcomes } of predictFiles(detector, files, predictOptions)) {
      for (const [i, outcome] of outcomes.entries()) await print((files[offset + i] as ListedImage).name, outcome);
      progress.update(offset + outcomes.length);
    }
  } else {
    const reading = readingOf(detector.model?.input, detector.resize);
    const data = options.data && (await readConformed(options.data, { split: "test", ...reading, session })).data;
    const rows = data ?? (await readOutputs(detector, options.features as string));
    // They are on stderr already, and no answer is due to them: --skip-errors asked to go on.
    for (const { path: image, code, reason: message } of options.json ? (session.skipped?.failures ?? []) : []) {
      await output.json({ image, error: { code, message } });
    }
    if (data) progress.start("scoring", data.length);
    const where = options.features === undefined ? "" : `${options.features}: `;
    for await (const { offset, predictions } of predictRows(detector, rows, predictOptions, where)) {
      for (const [i, prediction] of predictions.entries()) {
        const index = offset + i;
        await print(data ? `${data.name}[${index}]` : `row ${index}`, { prediction }, data && truth(data, index));
      }
      progress.update(offset + predictions.length);
    }
  }
  session.throwIfAborted();
  detector.dispose();
  const { count, outOfDistribution, unreadable } = tally;
  note(`${count} scored, ${outOfDistribution} out of distribution${unreadable === 0 ? "" : `, ${unreadable} not readable`}`);
  if (unreadable > 0) process.exitCode = exitCodes.error;
  else if (options.failOnOod && outOfDistribution > 0) process.exitCode = exitCodes.outOfDistribution;
}

/** @throws ERR_OPTION where the files have not all that the detector looks at */
async function readOutputs(detector: Detector, path: string): Promise<ModelOutputs> {
  const found = await readExtracted(path);
  const missing = detector.needs.find((kind) => found[kind] === undefined);
  if (missing === undefined) return found;
  const kinds = Object.keys(found).join(", ");
  throw new LibtorchOodError(
    "ERR_OPTION",
    `${path}: expected ${detector.needs.join(" and ")}, found ${kinds === "" ? "none of them" : kinds}`,
  );
}

function truth(data: Dataset, index: number): { trueLabel: number; trueClassName: string | undefined } {
  const trueLabel = data.labels[index] as number;
  return { trueLabel, trueClassName: data.classNames[trueLabel] };
}

/** A detector without labels names no class, and has no confidence in one. */
function row({ outOfDistribution, pValue, confidence, score, className = "-" }: Prediction, name: string, width: number): string {
  const confident = confidence === undefined ? "-".padEnd(6) : share(confidence);
  const verdict = outOfDistribution ? "OUT OF DISTRIBUTION" : "in distribution    ";
  return `${verdict}  ${share(pValue)}   ${confident}      ${number(score).padEnd(12)}  ${visible(className).padEnd(width)}  ${visible(name)}`;
}
