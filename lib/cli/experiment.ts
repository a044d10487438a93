// `libtorch-ood experiment run`: runs an experiment of the paper, or of a configuration file; it can be stopped and continued.

import { Command, InvalidArgumentError } from "commander";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { formText } from "../data/conform";
import type { Dataset, ImageShape } from "../data/dataset";
import { setThreads } from "../native/device";
import {
  configurationSchema,
  experimentPreset,
  experimentPresets,
  planOf,
  presetReferenceEpochs,
  preview,
  readConfiguration,
  resolveConfiguration,
  resultsFileName,
  run as runExperiment,
  type Configuration,
  type ExperimentData,
  type Plan,
} from "../experiment";
import { showProgress } from "./experiment-progress";
import { experimentReportCommand } from "./experiment-report";
import type { Precision } from "../native/precision";
import { precisionOption, realNumber, wholeNumber, wholeNumbers } from "./option-values";
import { pathTo } from "./path-option";
import { addSessionOptions, exitCodes, exitCodesHelp, runSession, type Session, type SessionOptions } from "./session";
import { errorText, visible } from "./visible";

interface RunOptions extends SessionOptions {
  data: string;
  out: string;
  device: string;
  threads?: number;
  precision?: Precision;
  epochs?: number;
  seeds?: number | number[];
  subset?: number;
  testSubset?: number;
  width?: number;
  batchSize?: number;
  ood?: string[];
  cells?: string[];
  only?: string[];
  skipMissing?: boolean;
  keepCheckpoints?: boolean;
  dryRun?: boolean;
}

export function experimentCommand(): Command {
  return new Command("experiment")
    .description("run the experiments of the paper, or your own, and report the results")
    .addCommand(runCommand())
    .addCommand(experimentReportCommand())
    .addCommand(schemaCommand());
}

const help = `
Presets, at the size of the paper (15 seeds, batch 1024; use a GPU, or make them smaller):
${Object.entries(experimentPresets)
  .map(([key, { name }]) => `  ${key.padEnd(8)} ${name.replace(/^[^:]*: /, "")}`)
  .join("\n")}

Examples:
  libtorch-ood experiment run table1 --data data --out runs --device cuda
  libtorch-ood experiment run table3 --data data --out small --epochs 6 --subset 20000 --seeds 2 --batch-size 128 --cells 'resnet18*60'
  libtorch-ood experiment run my.yaml --data data --out mine --dry-run

The command does not repeat what OUT holds already: the same command continues a run that was stopped, also by a crash or kill -9. Several processes
can work on one OUT. OUT accepts more cells, seeds and presets of the same scale and data, and refuses any others.

${exitCodesHelp}`;

function runCommand(): Command {
  const command = new Command("run")
    .description("train and measure the networks of an experiment")
    .argument("<experiment>", "a preset (see below), or a configuration file (.json, .yaml)")
    .requiredOption("--data <folder>", "folder with the data sets, each in its usual folder or directly", pathTo("a folder"))
    .requiredOption("--out <folder>", "folder for results and checkpoints (OUT below)", pathTo("a folder"))
    .option("--device <name>", "cpu, cuda or cuda:N", "cpu")
    .option("--threads <n>", "number of CPU threads (default: all cores)", wholeNumber(1))
    .option("--dry-run", "print the networks, their schedules and seeds, check device, data sets and OUT as a run does, and stop")
    .optionsGroup("Networks, seeds and data sets:")
    .option(
      "--cells <patterns>",
      "only these networks, separated by commas: a part of the name, or the whole name with * for any text",
      list,
    )
    .option("--seeds <n|list>", "number of seeds (2: the seeds 1 and 2), or the seeds themselves (1,5,7)", seeds)
    .option(
      "--ood <names>",
      "out-of-distribution sets, separated by commas: names, or folders of images below --data as folder:PATH or NAME=PATH",
      list,
    )
    .option("--skip-missing", "leave out out-of-distribution sets that are missing")
    .option("--keep-checkpoints", "keep the weights of finished networks (about 100 MB each)")
    .optionsGroup("Smaller than the paper (every row says so):")
    .option(
      "--epochs <n>",
      `n epochs instead of the paper's ${presetReferenceEpochs} (for a file: of its shortest schedule); longer schedules, milestones and epochs ` +
        "between measurements shrink in proportion",
      wholeNumber(1),
    )
    .option("--subset <n>", "number of training images, evenly drawn, including those held out for validation", wholeNumber(2))
    .option("--test-subset <n>", "number of images of the test set and of each out-of-distribution set", wholeNumber(1))
    .option("--width <factor>", "multiplies the channels of every layer", realNumber)
    .option("--batch-size <n>", "images per step", wholeNumber(1))
    .addOption(precisionOption("precision of the convolutions (default: the configuration's; float32 for the presets)"));
  command.addOption(command.createOption("--only <patterns>", "the same as --cells").argParser(list).hideHelp());
  return addSessionOptions(command)
    .addHelpText("after", help)
    .action((experiment: string, options: RunOptions) =>
      runSession(options, (session) => run(experiment, options, session), { interrupted: () => "the same command continues from here" }),
    );
}

function schemaCommand(): Command {
  return new Command("schema").description("print the JSON schema of configuration files").action(() => {
    console.log(JSON.stringify(configurationSchema, null, 2));
  });
}

async function run(experiment: string, options: RunOptions, { output, signal, note, throwIfAborted }: Session): Promise<void> {
  const isPreset = Object.hasOwn(experimentPresets, experiment);
  // What is no file is taken for a misspelt preset: the error lists them.
  const given = isPreset || !existsSync(experiment) ? experimentPreset(experiment) : await readConfiguration(experiment, signal);
  const configuration = adjusted(given, options, isPreset);
  const cells = [...(options.cells ?? []), ...(options.only ?? [])];
  if (options.threads !== undefined) await setThreads(options.threads);
  const common = {
    ...{ data: options.data, out: options.out, device: options.device, cells, signal, skipMissing: options.skipMissing },
    ...(isPreset ? { preset: experiment } : { name: experiment }),
  };
  if (options.dryRun) {
    // First what needs no data: it is wanted also where some are not there yet.
    if (!options.json) await output.print(describePlan(planOf(resolveConfiguration(configuration, experiment), cells)));
    const { plan, data } = await preview(configuration, common);
    throwIfAborted();
    for (const warning of data.warnings) note(`warning: ${warning}`);
    if (!options.json) return output.print(describeData(data));
    return output.json({ cells: plan.cells, seeds: plan.seeds, data: dataRecord(data) });
  }
  const progress = showProgress(process.stderr, options.progress);
  try {
    const { finished, failed, skipped } = await runExperiment(configuration, {
      ...common,
      keepCheckpoints: options.keepCheckpoints,
      command: commandLine(process.argv.slice(2)),
      onProgress: (event) => progress.show(event),
    });
    progress.stop();
    const results = join(options.out, resultsFileName);
    if (failed.length > 0) process.exitCode = exitCodes.error;
    if (options.json) {
      const named = ({ planned, seed }: Plan["runs"][number]) => ({ cell: planned.cell.name, seed });
      const failures = failed.map(({ run: of, error }) => ({ ...named(of), code: error.code, message: error.message }));
      return await output.json({ results, finished: finished.map(named), failed: failures, skipped });
    }
    for (const { error } of failed) console.error(errorText(error));
    if (skipped.length > 0) await output.print(visible(`not in ${options.data}, and left out: ${skipped.join(", ")}`));
    await output.print(
      `${visible(results)}: ${finished.length} networks, each with its seed${failed.length > 0 ? `; ${failed.length} failed` : ""}`,
    );
  } finally {
    progress.stop();
  }
}

function adjusted(given: Configuration, options: RunOptions, isPreset: boolean): Configuration {
  const of = isPreset ? presetReferenceEpochs : Math.min(...given.cells.map(({ epochs }) => epochs));
  const scale = {
    ...given.scale,
    ...(options.epochs !== undefined && { epochs: { run: options.epochs, of } }),
    ...(options.batchSize !== undefined && { batchSize: options.batchSize }),
    ...(options.width !== undefined && { width: options.width }),
  };
  const subset = {
    ...given.subset,
    ...(options.subset !== undefined && { train: options.subset }),
    ...(options.testSubset !== undefined && { test: options.testSubset }),
  };
  return {
    ...given,
    ...{ scale, subset },
    ...(options.precision && { training: { ...given.training, precision: options.precision } }),
    ...(options.seeds !== undefined && { seeds: options.seeds }),
    ...(options.ood && { outOfDistribution: options.ood }),
  };
}

function describePlan({ cells, seeds, runs }: Plan): string {
  const lines = cells.map(({ cell, measuredAt, intervention, scaled }) => {
    const { name, milestones, batchSize } = cell;
    const measured = measuredAt.length === 1 ? "at the end" : `${measuredAt.length} times`;
    const after = intervention ? `, then ${intervention.epochs} with the neural-collapse loss and as many without` : "";
    const schedule = `${measuredAt.at(-1)} epochs (milestones ${milestones.join(", ") || "none"}), batch ${batchSize}${after}, measured ${measured}`;
    return visible(`${name}: ${schedule}${scaled.length > 0 ? ` [scaled: ${scaled.join("; ")}]` : ""}`);
  });
  return [...lines, `${cells.length} cells × ${seeds.length} seeds (${seeds.join(", ")}) = ${runs.length} runs`].join("\n");
}

function dataRecord({ name, train, validation, test, ood, skipped, conformed }: ExperimentData) {
  const sets = [...ood].map(([set, { length }]) => ({ name: set, images: length, madeFrom: ownForm(conformed, set) }));
  const own = { name, training: train.length, validation: validation.length, test: test.length, shape: train.shape };
  return { inDistribution: own, outOfDistribution: sets, skipped };
}

function describeData({ name, train, validation, test, ood, skipped, conformed }: ExperimentData): string {
  const parts = `${train.length} training, ${validation.length} validation and ${test.length} test images of ${formText(train.shape)}`;
  const files = ({ resize }: Dataset): string => (resize === undefined ? "" : ` from files (${resize.mode}, ${resize.kernel})`);
  const others = [...ood].map(([set, data]) => {
    const from = ownForm(conformed, set);
    return `out of distribution: ${set}, ${data.length} images${from === undefined ? files(data) : `, made of ${formText(from)}`}`;
  });
  const missing = skipped.length > 0 ? [`skipped, not there: ${skipped.join(", ")}`] : [];
  return [`in distribution: ${name}, ${parts}${files(train)}`, ...others, ...missing].join("\n");
}

/** By any name: those of an object's prototype are no sets. */
function ownForm(conformed: ExperimentData["conformed"], set: string): ImageShape | undefined {
  return Object.hasOwn(conformed, set) ? conformed[set] : undefined;
}

/** Quotes text for a shell if the shell would split or replace it. */
export function commandLine(args: readonly string[]): string {
  const quoted = args.map((arg) => (/^[\w./:=,@%+-]+$/.test(arg) ? arg : `'${arg.replace(/'/g, `'\\''`)}'`));
  return ["libtorch-ood", ...quoted].join(" ");
}

function seeds(text: string): number | number[] {
  return text.includes(",") ? wholeNumbers(text) : wholeNumber(1)(text);
}

function list(text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  if (items.includes("")) throw new InvalidArgumentError("Expected names with commas between them.");
  return items;
}
