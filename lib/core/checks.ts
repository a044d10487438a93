// Checks of a caller's arguments. Each throws a LibtorchOodError that gives the value found and the value expected.

import { LibtorchOodError, type ErrorCode } from "./errors";

/** A short, safe rendering of any value for an error message, whoever made the value. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (isRevoked(value)) return "a revoked proxy";
  if (typeof value === "string") return JSON.stringify(shortened(value));
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") return shortened(String(value));
  if (Array.isArray(value)) return `an array of length ${describe((value as { length: unknown }).length)}`; // a proxy's may be anything
  if (ArrayBuffer.isView(value)) {
    const { length } = value as Uint8Array;
    return length === undefined
      ? `a ${typedArrayName(value)} of ${value.byteLength} bytes`
      : `a ${typedArrayName(value)} of length ${length}`;
  }
  if (typeof value === "object") return `an object (${nameOfClass(value)})`;
  return typeof value;
}

/** Whether the value is a revoked proxy: any look at one makes the engine throw a TypeError of its own. */
export function isRevoked(value: unknown): boolean {
  try {
    Array.isArray(value);
    return false;
  } catch {
    return true;
  }
}

function nameOfClass(value: object): string {
  const prototype = Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null;
  const name = prototype?.constructor?.name; // not the value's own: that of an object from a file may be anything
  return typeof name === "string" ? shortened(name) : "no prototype";
}

function shortened(text: string): string {
  return text.length > 60 ? text.slice(0, 57) + "..." : text;
}

/** "Float32Array", "DataView", … The name is the tag and not the class, because the array may come from another realm. */
export function typedArrayName(view: ArrayBufferView): string {
  return Object.prototype.toString.call(view).slice(8, -1);
}

/** A list for a message, cut short: "0, 1, 2 and 7 more". */
export function listed(items: readonly (string | number)[], most = 10): string {
  const shown = items.slice(0, most).join(", ");
  return items.length > most ? `${shown} and ${items.length - most} more` : shown;
}

/** Throws a LibtorchOodError that says what was expected and what was found. */
export function fail(code: ErrorCode, name: string, expected: string, found: unknown): never {
  throw new LibtorchOodError(code, `${name}: expected ${expected}, found ${describe(found)}`);
}

/**
 * A copy of an options object. An unknown key is refused, because it is most often a misspelt one. The copy has every known key, undefined where it
 * was not given, and no prototype: what others put on Object.prototype is no option, neither here nor in what is spread from it. Getters are read
 * once.
 *
 * @throws ERR_OPTION for an unknown key or anything but an object
 */
export function optionsObject<T extends object>(value: T | undefined, name: string, known: readonly (keyof T & string)[]): T {
  if (value === undefined) return copyOf({}, known);
  if (typeof value !== "object" || value === null || isRevoked(value) || Array.isArray(value) || ArrayBuffer.isView(value)) {
    fail("ERR_OPTION", name, "an options object", value);
  }
  for (const key of Object.keys(value)) {
    if (!known.includes(key as keyof T & string)) {
      throw new LibtorchOodError("ERR_OPTION", `${name}: unknown option ${describe(key)}; known options: ${known.join(", ")}`);
    }
  }
  return copyOf(value, known);
}

function copyOf<T extends object>(value: Partial<T>, known: readonly (keyof T & string)[]): T {
  const copy = Object.create(null) as Partial<T>;
  for (const key of known) copy[key] = Object.hasOwn(value, key) ? value[key] : undefined;
  return copy as T;
}

/**
 * The value where it is an integer in the range.
 *
 * @throws ERR_OPTION for anything but an integer; ERR_RANGE outside the range
 */
export function integer(value: unknown, name: string, minimum: number, maximum = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== "number" || !Number.isInteger(value)) fail("ERR_OPTION", name, "an integer", value);
  if (value < minimum || value > maximum) fail("ERR_RANGE", name, rangeText(minimum, maximum), value);
  return value;
}

/**
 * The value where it is a finite number in the range.
 *
 * @throws ERR_OPTION for anything but a number; ERR_NON_FINITE for NaN or infinity; ERR_RANGE outside the range
 */
export function finite(value: unknown, name: string, minimum = -Infinity, maximum = Infinity): number {
  if (typeof value !== "number") fail("ERR_OPTION", name, "a number", value);
  if (!Number.isFinite(value)) fail("ERR_NON_FINITE", name, "a finite number", value);
  if (value < minimum || value > maximum) fail("ERR_RANGE", name, rangeText(minimum, maximum), value);
  return value;
}

export function boolean(value: unknown, name: string): boolean {
  if (typeof value !== "boolean") fail("ERR_OPTION", name, "true or false", value);
  return value;
}

export function oneOf<T extends string | number>(value: unknown, name: string, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) fail("ERR_OPTION", name, `one of ${allowed.map((a) => JSON.stringify(a)).join(", ")}`, value);
  return value as T;
}

export function string(value: unknown, name: string): string {
  if (typeof value !== "string") fail("ERR_OPTION", name, "a string", value);
  return value;
}

export function optionalFunction<T>(value: T | undefined, name: string): T | undefined {
  if (value !== undefined && typeof value !== "function") fail("ERR_OPTION", name, "a function", value);
  return value;
}

/** An AbortSignal, recognised by its shape so that one from another realm or a polyfill serves too. */
export function optionalSignal(value: AbortSignal | undefined, name: string): AbortSignal | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "object" || value === null || typeof value.aborted !== "boolean" || !hasListeners(value)) {
    fail("ERR_OPTION", name, "an AbortSignal", value);
  }
  return value;
}

function hasListeners({ addEventListener, removeEventListener }: Partial<AbortSignal>): boolean {
  return typeof addEventListener === "function" && typeof removeEventListener === "function";
}

function rangeText(minimum: number, maximum: number): string {
  const above = minimum === Number.MIN_VALUE; // as good as 0, but not 0
  if (maximum === Infinity || maximum === Number.MAX_SAFE_INTEGER) return above ? "more than 0" : `at least ${minimum}`;
  if (minimum === -Infinity) return `at most ${maximum}`;
  return above ? `more than 0, at most ${maximum}` : `${minimum} to ${maximum}`;
}
