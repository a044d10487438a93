#!/usr/bin/env node
// The command line, `libtorch-ood`: each command is a file of its own in this directory.

import { Command, CommanderError } from "commander";
import { isLibtorchOodError } from "../core/errors";
import { packageVersion } from "../core/package-root";
import { doctorCommand } from "./doctor";
import { evaluateCommand } from "./evaluate";
import { experimentCommand } from "./experiment";
import { extractCommand } from "./extract";
import { fitCommand } from "./fit";
import { inspectCommand } from "./inspect";
import { watchStandardStreams } from "./output";
import { scoreCommand } from "./score";
import { exitCodes } from "./session";
import { setupCommand } from "./setup";
import { trainCommand } from "./train";
import { errorText, visible, visibleLines } from "./visible";

const help = `
From images to verdicts:
  libtorch-ood train    cifar10:data --validation 0.1 --epochs 60 --milestones 40,50 --out network.safetensors
  libtorch-ood fit      network.safetensors cifar10:data --calibration 0.1 --out detector.safetensors
  libtorch-ood evaluate detector.safetensors --test cifar10:data --ood svhn:data
  libtorch-ood score    detector.safetensors photo.jpg

"libtorch-ood help COMMAND" explains a command, with examples.`;

export function program(): Command {
  return new Command("libtorch-ood")
    .description("Tells when a neural classifier should not be trusted.")
    .version(packageVersion(), "-V, --version", "print the version")
    .enablePositionalOptions() // `setup --version` is setup's
    .addCommand(setupCommand())
    .addCommand(doctorCommand())
    .addCommand(trainCommand())
    .addCommand(extractCommand())
    .addCommand(fitCommand())
    .addCommand(scoreCommand())
    .addCommand(evaluateCommand())
    .addCommand(experimentCommand())
    .addCommand(inspectCommand())
    .addHelpText("after", help);
}

/** Commander ends the process itself, with 1 for wrong usage, and repeats arguments as they are; here it throws instead, in every command. */
function throwing(command: Command): Command {
  for (const child of command.commands) throwing(child);
  return command.exitOverride().configureOutput({ outputError: (text, write) => write(usageText(text)) });
}

/** The message about a wrong argument, which may be the name of any file; commander's suggestion is on a line of its own. */
function usageText(text: string): string {
  const [, wrong = text, suggestion = ""] = /^(.*?)(\n\(Did you mean [^\n]*)?\n$/s.exec(text) ?? [];
  return `${visible(wrong)}${visibleLines(suggestion)}\n`;
}

/** Makes the exit code that of an error: output that cannot be written for want of space is an error even if the work was done. */
function endWithError(): void {
  process.once("exit", () => {
    const { exitCode = exitCodes.ok } = process;
    if (exitCode === exitCodes.ok || exitCode === exitCodes.outOfDistribution) process.exitCode = exitCodes.error;
  });
}

async function main(): Promise<void> {
  watchStandardStreams(endWithError);
  try {
    await throwing(program()).parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
      return;
    }
    if (!isLibtorchOodError(error)) {
      console.error(visibleLines(error instanceof Error ? (error.stack ?? error.message) : String(error)));
      process.exit(exitCodes.error);
    }
    console.error(errorText(error));
    process.exitCode = exitCodes.error;
  }
}

if (require.main === module) void main();
