// Names of classes: one for each, none twice, since a prediction is told by its name.

import { describe, fail, string } from "./checks";
import { LibtorchOodError } from "./errors";
import { listOf } from "./lists";

/**
 * A copy, checked.
 *
 * @param count - of classes, where it is known
 * @throws ERR_OPTION for anything but an array of text, or a name twice; ERR_SHAPE for another number of names
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
