// The one validator of values from outside. A schema, made of the functions below, says what a value must be and gives it its type. Its errors name
// the place, what was expected there and what was found. It never looks at a value's prototype.

/** What a value must be, and what it is then taken as. */
export interface Schema<T> {
  /** The text behind "expected" in a message. */
  readonly expected: string;
  /** @throws Mismatch */
  read(value: unknown, place: string): T;
}

/** The type of the values that a schema lets through. */
export type Typed<S> = S extends Schema<infer T> ? T : never;

/** The first place where a value differs from its schema. */
class Mismatch extends Error {
  constructor(
    readonly place: string,
    readonly expected: string,
    readonly found: unknown,
  ) {
    super(`${place}: expected ${expected}`);
  }
}

/**
 * The value in the form that its schema gives it.
 *
 * @param refuse - gets the place ("cells[0].depth", or `place` itself for the whole), what was expected and what was found; throws
 */
export function check<T>(
  schema: Schema<T>,
  value: unknown,
  refuse: (place: string, expected: string, found: unknown) => never,
  place = "",
): T {
  try {
    return schema.read(value, place);
  } catch (error) {
    if (error instanceof Mismatch) return refuse(error.place, error.expected, error.found);
    throw error;
  }
}

/** A value from which `take` makes the result. Undefined from `take` means that the value is something else. */
export function like<T>(expected: string, take: (value: unknown) => T | undefined): Schema<T> {
  return {
    expected,
    read(value, place) {
      const taken = take(value);
      if (taken === undefined) throw new Mismatch(place, expected, value);
      return taken;
    },
  };
}

const when = <T>(expected: string, is: (value: unknown) => boolean): Schema<T> =>
  like(expected, (value) => (is(value) ? (value as T) : undefined));

export const text: Schema<string> = when("a text", (value) => typeof value === "string");
export const truth: Schema<boolean> = when("true or false", (value) => typeof value === "boolean");
/** An object whose fields are checked elsewhere. */
export const anyObject: Schema<Record<string, unknown>> = when("an object", isObject);
export const anything: Schema<unknown> = { expected: "anything", read: (value) => value };

/**
 * A finite number in the bounds.
 *
 * @param bounds - `minimum` and `maximum` are included, `above` and `below` are not
 */
export function number(bounds: { minimum?: number; maximum?: number; above?: number; below?: number } = {}): Schema<number> {
  const { minimum = -Infinity, maximum = Infinity, above = -Infinity, below = Infinity } = bounds;
  const fits = (value: number) => value >= minimum && value <= maximum && value > above && value < below;
  return when(
    range(bounds) === "" ? "a finite number" : `a number${range(bounds)}`,
    (value) => typeof value === "number" && Number.isFinite(value) && fits(value),
  );
}

/** A whole number that floating-point arithmetic counts exactly. */
export function whole(minimum = 0, maximum = Number.MAX_SAFE_INTEGER): Schema<number> {
  const upTo = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  const from = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const fits = (value: number) => value >= minimum && value <= maximum;
  return when(`a whole number${range({ minimum: from, maximum: upTo })}`, (value) => Number.isSafeInteger(value) && fits(value as number));
}

function range({ minimum, maximum, above, below }: { minimum?: number; maximum?: number; above?: number; below?: number }): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  const low = minimum !== undefined ? `of at least ${minimum}` : above !== undefined ? `above ${above}` : "";
  const high = maximum !== undefined ? `up to ${maximum}` : below !== undefined ? `below ${below}` : "";
  const both = [low, high].filter((part) => part !== "").join(", ");
  return both === "" ? "" : ` ${both}`;
}

export function oneOf<const T extends string | number | boolean>(allowed: readonly T[]): Schema<T> {
  const names = allowed.map((item) => JSON.stringify(item)).join(", ");
  return when(allowed.length === 1 ? names : `one of ${names}`, (value) => allowed.includes(value as T));
}

/** A list of at least `least` items. With `distinct`, no item appears twice. */
export function list<T>(item: Schema<T>, { least = 0, distinct = false }: { least?: number; distinct?: boolean } = {}): Schema<T[]> {
  const expected = least === 0 ? "a list" : `a list of at least ${least} item${least === 1 ? "" : "s"}`;
  return {
    expected,
    read(value, place) {
      if (!Array.isArray(value) || value.length < least) throw new Mismatch(place, expected, value);
      const seen = new Set<string>();
      return value.map((given: unknown, i) => {
        const at = `${place}[${i}]`;
        const taken = item.read(given, at);
        const key = distinct ? JSON.stringify(given) : "";
        if (distinct && seen.has(key)) throw new Mismatch(at, "no item twice", given);
        seen.add(key);
        return taken;
      });
    },
  };
}

type Fields = Readonly<Record<string, Schema<unknown>>>;
type ObjectOf<F extends Fields> = { -readonly [K in keyof F]: Typed<F[K]> };

/**
 * An object with these fields. A missing field is read as undefined.
 *
 * @param others - what becomes of other fields: left out, kept unchecked (a later version may write more), or refused
 */
export function object<F extends Fields>(fields: F, others: "drop" | "keep" | "refuse" = "drop"): Schema<ObjectOf<F>> {
  return {
    expected: "an object",
    read(value, place) {
      if (!isObject(value)) throw new Mismatch(place, "an object", value);
      const at = (name: string) => (place === "" ? name : `${place}.${name}`);
      const other = others === "refuse" ? Object.keys(value).find((name) => !Object.hasOwn(fields, name)) : undefined;
      if (other !== undefined) throw new Mismatch(at(other), `one of the fields ${Object.keys(fields).join(", ")}`, value[other]);
      const taken: Record<string, unknown> = others === "keep" ? { ...value } : {};
      for (const [name, field] of Object.entries(fields)) {
        taken[name] = field.read(Object.hasOwn(value, name) ? value[name] : undefined, at(name));
      }
      return taken as ObjectOf<F>;
    },
  };
}

/** An object whose keys are data. The result has no prototype, so that no key has a meaning of its own. */
export function record<T>(item: Schema<T>): Schema<Record<string, T>> {
  return {
    expected: "an object",
    read(value, place) {
      if (!isObject(value)) throw new Mismatch(place, "an object", value);
      const taken = Object.create(null) as Record<string, T>;
      for (const [name, given] of Object.entries(value)) taken[name] = item.read(given, `${place}[${JSON.stringify(name)}]`);
      return taken;
    },
  };
}

/** The schema's value, or undefined where nothing is given. */
export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return { ...schema, read: (value, place) => (value === undefined ? undefined : schema.read(value, place)) };
}

/** The schema's value, or undefined where nothing or null is given: JSON has no undefined. */
export function optionalOrNull<T>(schema: Schema<T>): Schema<T | undefined> {
  return { ...schema, read: (value, place) => (value === undefined || value === null ? undefined : schema.read(value, place)) };
}

/** A required field, with a text of its own for where it is missing. */
export function present<T>(schema: Schema<T>, expected: string): Schema<T> {
  return {
    ...schema,
    read(value, place) {
      if (value === undefined) throw new Mismatch(place, expected, value);
      return schema.read(value, place);
    },
  };
}

/** A value that one of the schemas accepts. The first that does wins. */
export function either(...schemas: readonly Schema<unknown>[]): Schema<unknown> {
  const expected = schemas.map((schema) => schema.expected).join(", or ");
  return {
    expected,
    read(value, place) {
      let inside: Mismatch | undefined;
      for (const schema of schemas) {
        try {
          return schema.read(value, place);
        } catch (error) {
          if (!(error instanceof Mismatch)) throw error;
          // One that fits as a whole but not inside says more than "neither of these".
          if (error.place !== place) inside ??= error;
        }
      }
      throw inside ?? new Mismatch(place, expected, value);
    },
  };
}

/** What `make` makes of the schema's value. Undefined from `make` means that the value is not what was expected. */
export function made<T, U>(schema: Schema<T>, expected: string, make: (value: T) => U | undefined): Schema<U> {
  return {
    expected,
    read(value, place) {
      const result = make(schema.read(value, place));
      if (result === undefined) throw new Mismatch(place, expected, value);
      return result;
    },
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
