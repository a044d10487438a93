#!/usr/bin/env node
// The command line, `libtorch-ood`: each command is a file of its own in this directory.

import { Command } from "commander";
import { isLibtorchOodError } from "../errors";
import { doctorCommand } from "./doctor";
import { experimentCommand } from "./experiment";
import { setupCommand } from "./setup";

export function program(): Command {
  return new Command("libtorch-ood")
    .description("Tells when a neural classifier should not be trusted.")
    .addCommand(setupCommand())
    .addCommand(doctorCommand())
    .addCommand(experimentCommand());
}

async function main(): Promise<void> {
  try {
    await program().parseAsync();
  } catch (error) {
    if (!isLibtorchOodError(error)) throw error;
    console.error(`${error.code}: ${error.message}`);
    process.exitCode = 1;
  }
}

if (require.main === module) void main();
