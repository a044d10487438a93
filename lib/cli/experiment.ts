// `libtorch-ood experiment run`: an experiment of the paper, or of a configuration file, that can be stopped and taken up again.

import { Command, InvalidArgumentError } from "commander";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { configurationSchema, readConfiguration, resolveConfiguration, type Configuration } from "../experiment/configuration";
import { planOf, type Plan } from "../experiment/plan";
import { experimentPreset, experimentPresets, presetReferenceEpochs } from "../experiment/presets";
import { resultsFileName } from "../experiment/results-file";
import { runExperiment } from "../experiment/runner";
import { showProgress } from "./experiment-progress";
import { experimentReportCommand } from "./experiment-report";

interface RunOptions {
  data: string;
  out: string;
  device: string;
  precision?: "float32" | "bfloat16";
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
    .description("run the experiments of the paper, or your own, and see the results")
    .addCommand(runCommand())
    .addCommand(experimentReportCommand())
    .addCommand(schemaCommand());
}

function runCommand(): Command {
  const command = new Command("run")
    .description(
      "train and measure networks; what is in OUT already is not done again, so a stopped run is continued by the same command, and several may share OUT",
    )
    .argument("<experiment>", `a preset (${Object.keys(experimentPresets).join(", ")}) or a configuration file (.json, .yaml)`)
    .requiredOption("--data <directory>", "where the data sets are, each in its usual folder or directly")
    .requiredOption("--out <directory>", "where results and checkpoints go")
    .option("--device <device>", "cpu, cuda or cuda:N", "cpu")
    .option("--precision <precision>", "float32 or bfloat16: of the convolutions", oneOf(["float32", "bfloat16"]))
    .option(
      "--epochs <n>",
      `make schedules shorter: n epochs in place of ${presetReferenceEpochs} (in a file: of its shortest); longer schedules, milestones and the epochs between measurements in proportion`,
      whole,
    )
    .option("--seeds <n or list>", "how many, or which: 2, or 1,5,7", seeds)
    .option("--subset <n>", "training images, evenly drawn, a share of them held out for validation", whole)
    .option("--test-subset <n>", "images of the test set and of each out-of-distribution set", whole)
    .option("--width <factor>", "of the networks: 0.5 has half as many channels", positive)
    .option("--batch-size <n>", "of training", whole)
    .option("--ood <names>", "out-of-distribution sets, separated by commas", list)
    .option("--cells <patterns>", "only these, separated by commas: part of the name of a cell, or all of it with * for any text", list)
    .option("--skip-missing", "leave out data sets that are not there")
    .option("--keep-checkpoints", "keep the weights of finished networks (about 100 MB each)")
    .option("--dry-run", "print the cells, their seeds and epochs, and stop");
  command.addOption(command.createOption("--only <patterns>", "the same as --cells").argParser(list).hideHelp());
  return command.action(run);
}

function schemaCommand(): Command {
  return new Command("schema").description("print the JSON schema of configuration files").action(() => {
    console.log(JSON.stringify(configurationSchema, null, 2));
  });
}

async function run(experiment: string, options: RunOptions): Promise<void> {
  const isPreset = Object.hasOwn(experimentPresets, experiment);
  if (!isPreset && !existsSync(experiment)) experimentPreset(experiment); // throws, and lists the presets
  const given = isPreset ? experimentPreset(experiment) : await readConfiguration(experiment);
  const configuration = adjusted(given, options, isPreset);
  const cells = [...(options.cells ?? []), ...(options.only ?? [])];
  if (options.dryRun) return console.log(describePlan(planOf(resolveConfiguration(configuration, experiment), cells)));
  const stop = new AbortController();
  const onSignal = (): void => {
    stop.abort();
    process.removeListener("SIGINT", onSignal); // a second one ends the process at once, which is as safe
    process.removeListener("SIGTERM", onSignal);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const progress = showProgress(process.stderr);
  try {
    const { finished, failed, skipped } = await runExperiment(configuration, {
      ...{ data: options.data, out: options.out, device: options.device, cells },
      ...{ skipMissing: options.skipMissing, keepCheckpoints: options.keepCheckpoints },
      preset: isPreset ? experiment : undefined,
      signal: stop.signal,
      onProgress: (event) => progress.show(event),
    });
    progress.stop();
    console.log(`${finished.length} runs are in ${join(options.out, resultsFileName)}`);
    if (skipped.length > 0) console.log(`skipped, since they were not in ${options.data}: ${skipped.join(", ")}`);
    for (const { error } of failed) console.error(`${error.code}: ${error.message}`);
    if (failed.length > 0) process.exitCode = 1;
  } catch (error) {
    progress.stop();
    if (!stop.signal.aborted) throw error;
    console.error("stopped; the same command continues");
    process.exitCode = 130;
  } finally {
    process.removeListener("SIGINT", onSignal);
    process.removeListener("SIGTERM", onSignal);
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
    return `${name}: ${schedule}${scaled.length > 0 ? ` [scaled: ${scaled.join("; ")}]` : ""}`;
  });
  return [...lines, `${cells.length} cells × ${seeds.length} seeds (${seeds.join(", ")}) = ${runs.length} runs`].join("\n");
}

function whole(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1) throw new InvalidArgumentError("expected a whole number of at least 1");
  return value;
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError("expected a number above 0");
  return value;
}

function seeds(text: string): number | number[] {
  if (!text.includes(",")) return whole(text);
  const values = text.split(",").map(Number);
  if (!values.every((value) => Number.isInteger(value) && value >= 0))
    throw new InvalidArgumentError("expected a number, or whole numbers with commas");
  return values;
}

function list(text: string): string[] {
  const items = text.split(",").map((item) => item.trim());
  if (items.includes("")) throw new InvalidArgumentError("expected names with commas between them");
  return items;
}

function oneOf(allowed: readonly string[]): (text: string) => string {
  return (text) => {
    if (!allowed.includes(text)) throw new InvalidArgumentError(`expected ${allowed.join(" or ")}`);
    return text;
  };
}
