// Reads the description and the tensors of a score from a file, which may be damaged.

import type { NativeNamedTensor } from "../native/surface";
import { corrupt } from "../formats/state-file";
import type { ScoreOption } from "./option";

export { corrupt as damaged, restoring } from "../formats/state-file";

/** The value of an option that a score was fitted with. @throws ERR_CORRUPT_FILE for a value that the option does not take */
export function storedOption<V, R extends V | undefined>(
  description: Record<string, unknown>,
  key: string,
  option: ScoreOption<V, R>,
  where: string,
): V {
  const value = description[key];
  try {
    return option.check(value, key);
  } catch {
    return corrupt(where, key, option.expected, value);
  }
}

/** The nested description under a key. @throws ERR_CORRUPT_FILE for anything but an object */
export function storedObject(description: Record<string, unknown>, key: string, where: string): Record<string, unknown> {
  const value = description[key];
  if (typeof value !== "object" || value === null || Array.isArray(value)) corrupt(where, key, "an object", value);
  return value as Record<string, unknown>;
}

/** The whole number under a key, from `minimum` on. @throws ERR_CORRUPT_FILE for anything else */
export function storedInteger(description: Record<string, unknown>, key: string, minimum: number, where: string): number {
  const value = description[key];
  if (!Number.isSafeInteger(value) || (value as number) < minimum) corrupt(where, key, `a whole number from ${minimum} on`, value);
  return value as number;
}

/** The tensors whose names begin with `prefix`, under their names without it. {@link withPrefix} does the reverse. */
export function withoutPrefix(tensors: readonly NativeNamedTensor[], prefix: string): NativeNamedTensor[] {
  return tensors.flatMap(({ name, tensor }) => (name.startsWith(prefix) ? [{ name: name.slice(prefix.length), tensor }] : []));
}

export function withPrefix(tensors: readonly NativeNamedTensor[], prefix: string): NativeNamedTensor[] {
  return tensors.map(({ name, tensor }) => ({ name: prefix + name, tensor }));
}
