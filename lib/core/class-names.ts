// Class names: one per class and none twice, because predictions are reported by name.

import { describe, fail, string } from "./checks";
import { LibtorchOodError } from "./errors";
import { listOf } from "./lists";

/**
 * A checked copy of the names.
 *
 * @param count - number of classes, where it is known
 * @throws ERR_OPTION for anything but an array of text, and for a name that appears twice; ERR_SHAPE for another number of names
 */
export function checkClassNames(value: unknown, count?: number, reason = "one per class"): string[] {
  const list = ArrayBuffer.isView(value) ? undefined : listOf(value);
  if (list === undefined || (list.length === 0 && count !== 0)) fail("ERR_OPTION", "classNames", "an array of at least one name", value);
  if (count !== undefined && list.length !== count) fail("ERR_SHAPE", "classNames", `${count} names, ${reason}`, value);
  const seen = new Map<string, number>();
  return Array.from(list, (name, label) => {
    const text = string(name, `classNames[${label}]`);
    if (seen.has(text)) {
      throw new LibtorchOodError("ERR_OPTION", `classNames: ${describe(text)} names the classes ${seen.get(text)} and ${label}`);
    }
    seen.set(text, label);
    return text;
  });
}
