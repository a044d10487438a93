// Reports the images that --skip-errors leaves out: on stderr as they are found, as a count at the end, and in a file beside the output.

import { unlink } from "node:fs/promises";
import { noClasses } from "../data/image-folder";
import { LibtorchOodError } from "../core/errors";
import { writeFileAtomically } from "../formats/atomic-write";
import { ioError, systemCode } from "../core/file-errors";
import { isImageFault, type ImageFailure } from "../images/failure";
import { wholeNumber } from "./option-values";

/** Number of images that are reported one by one; further ones are counted only. */
const toldAtMost = 20;

export class Skipped {
  readonly failures: ImageFailure[] = [];

  constructor(private readonly note: (text: string) => void) {}

  readonly add = (failure: ImageFailure): void => {
    this.failures.push(failure);
    if (this.failures.length <= toldAtMost) this.note(`skipped: ${failure.code}: ${failure.reason}`);
    if (this.failures.length === toldAtMost) this.note("skipped: further ones are counted only");
  };

  /** Path, code and reason of each image, for JSON. */
  get listed(): { path: string; code: string; reason: string }[] {
    return this.failures.map(({ path, code, reason }) => ({ path, code, reason }));
  }

  /**
   * Writes the list beside a file, as FILE without its ending and `.skipped.jsonl`; without failures it removes the list of an earlier run.
   *
   * @returns its path; undefined where nothing was skipped
   * @throws ERR_IO
   */
  async writeBeside(file: string): Promise<string | undefined> {
    const path = `${file.replace(/\.safetensors$/i, "")}.skipped.jsonl`;
    if (this.failures.length === 0) {
      await unlink(path).catch((error: unknown) => {
        if (systemCode(error) !== "ENOENT") throw ioError("remove", path, error);
      });
      return undefined;
    }
    await writeFileAtomically(path, [Buffer.from(this.listed.map((failure) => `${JSON.stringify(failure)}\n`).join(""))]);
    return path;
  }
}

/** `--skip-errors` of a command that reads data sets. */
export const skipErrorsOption = [
  "--skip-errors",
  "leave out images of a folder that cannot be read, and list them on stderr (train, fit: also in OUT.skipped.jsonl)",
] as const;

/** `--max-pixels` of a command that reads images from files. */
export const maxPixelsOption = [
  "--max-pixels <n>",
  "largest number of pixels of an image file (default 100 million, 250 million for a baseline JPEG)",
  wholeNumber(1),
] as const;

/** `--accept-truncated` of a command that reads images from files. */
export const acceptTruncatedOption = ["--accept-truncated", "take what is there of an image file whose end is missing"] as const;

/**
 * The call; where an image ends it, and `--skip-errors` was not given, the error says how to go on without such images.
 *
 * @param done - what else the error says; undefined where no image ended the call
 */
export async function hinted<T>(call: Promise<T>, skipped: Skipped | undefined, done = (): string | undefined => ""): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const more = done();
    if (more === undefined || skipped !== undefined || !isImageFault(error) || error.message.includes(noClasses)) throw error;
    const hint = `${more}--skip-errors leaves out images that cannot be read, and lists them`;
    throw new LibtorchOodError(error.code, `${error.message}; ${hint}`, { cause: error });
  }
}

/** "3, listed in PATH"; undefined where there are none. */
export function skippedText(count: number, path?: string): string | undefined {
  return count === 0 ? undefined : `${count} images that cannot be read${path === undefined ? "" : `, listed in ${path}`}`;
}
