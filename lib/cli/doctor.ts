// `libtorch-ood doctor`: says whether the library works on this machine, with which libtorch, and if not, why and what fixes it.

import { Command } from "commander";
import { describeDiagnosis, diagnose } from "../native/libtorch/doctor";
import { visibleJson, visibleLines } from "./visible";

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("check this machine: exit code 0 if the library works here, 1 if not")
    .option("--json", "print the findings as JSON")
    .action((options: { json?: boolean }) => {
      const diagnosis = diagnose();
      console.log(options.json ? visibleJson(diagnosis, 2) : visibleLines(describeDiagnosis(diagnosis)));
      if (!diagnosis.ok) process.exitCode = 1;
    });
}
