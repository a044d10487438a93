// Parses values of command-line options; a wrong value is a usage error that says what was expected.

import { InvalidArgumentError, Option } from "commander";
import { precisions } from "../native/precision";

export function wholeNumber(minimum: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    if (!Number.isSafeInteger(value) || value < minimum) throw new InvalidArgumentError(`Expected a whole number from ${minimum} on.`);
    return value;
  };
}

export function realNumber(text: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError("Expected a number.");
  return value;
}

/** "40,50" */
export function wholeNumbers(text: string): number[] {
  return text === "" ? [] : text.split(",").map((part) => wholeNumber(0)(part.trim()));
}

/** "key=value", again and again; the value is read as JSON where it is that, else as text. */
export function keyValue(text: string, before: Record<string, unknown> = {}): Record<string, unknown> {
  const [, key, value] = /^([A-Za-z]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError("Expected NAME=VALUE.");
  return { ...before, [key]: parsed(value) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** An option with a closed list of values. */
export function choice(flags: string, description: string, values: readonly string[]): Option {
  return new Option(flags, description).choices(values);
}

/** `--precision`. */
export function precisionOption(description: string): Option {
  return choice(
    "--precision <name>",
    `${description}; auto: bfloat16 where the processor has units for it or on CUDA, else float32`,
    precisions,
  );
}

/** The options that were given, without those that were not: a preset's choice stands in for those. */
export function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

/** A number of bytes: "1000", "500MB", "4GiB". */
export function byteSize(text: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([kKMGT]i?B|B)?$/.exec(text) ?? [];
  const power = "KMGT".indexOf((unit[0] ?? "").toUpperCase()) + (unit === "" || unit === "B" ? 0 : 1);
  const bytes = Math.floor(Number(digits) * (unit.includes("i") ? 1024 : 1000) ** Math.max(0, power));
  if (!(bytes >= 1) || !Number.isSafeInteger(bytes)) throw new InvalidArgumentError("Expected a size in bytes, as 500MB or 4GiB.");
  return bytes;
}
