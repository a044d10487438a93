// `libtorch-ood setup`: fetches libtorch into the user's cache.

import { Command } from "commander";
import { addonFiles } from "../native/libtorch/addon-files";
import { setup } from "../native/libtorch/setup";
import { pinnedVersion, supportedMinors } from "../native/libtorch/versions";
import { exitCodesHelp, runSession, type Session } from "./session";
import { visible } from "./visible";

export function setupCommand(): Command {
  return new Command("setup")
    .description("fetch libtorch into the user's cache, with pip")
    .option(
      "--version <version>",
      `version to fetch, of ${supportedMinors.join(", ")} (default: the one that the addon was built for, else ${pinnedVersion})`,
    )
    .option("--cuda", "a CUDA build with all of NVIDIA's libraries (several GB) instead of a CPU build")
    .option("--force", "fetch it even if it is in the cache")
    .addHelpText("after", `\n${exitCodesHelp}`)
    .action(async (options: { version?: string; cuda?: boolean; force?: boolean }) => {
      const version = options.version ?? builtFor() ?? pinnedVersion;
      const work = async ({ signal }: Session): Promise<void> => {
        const torch = await setup({ ...options, version, signal, report: (line) => console.log(visible(line)) });
        console.log(visible(`libtorch ${torch.version} is in ${torch.directory}`));
      };
      await runSession({}, work, { interrupted: () => "the cache is as it was" });
    });
}

function builtFor(): string | undefined {
  try {
    return addonFiles().built.libtorch.replace(/\+.*/, "");
  } catch {
    return undefined;
  }
}
