// Turns the published JSON schema into a schema of the library's validator; it understands every keyword that schema.json uses.

import { describe } from "../core/checks";
import { LibtorchOodError } from "../core/errors";
import { anything, check, either, like, list, number, object, oneOf, optional, present, truth, whole, type Schema } from "../core/schema";

/** The part of JSON Schema (draft 7) that configurations are checked by; another keyword in a schema is an error, never ignored. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
  /** The definition that stands in this place. */
  readonly $ref?: string;
  /** The JSON type of the value. */
  readonly type?: string;
  /** What the value means. */
  readonly description?: string;
  /** The least number of characters. */
  readonly minLength?: number;
  /** A regular expression that a text matches. */
  readonly pattern?: string;
  /** All values that there are. */
  readonly enum?: readonly unknown[];
  /** Schemas one of which fits. */
  readonly anyOf?: readonly JsonSchema[];
  /** Schemas of the fields of an object. */
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  /** Fields that an object must have. */
  readonly required?: readonly string[];
  /** Whether an object may have other fields. */
  readonly additionalProperties?: boolean;
  /** Whether the items of a list differ. */
  readonly uniqueItems?: boolean;
  /** The schema of the items of a list. */
  readonly items?: JsonSchema;
  /** Schemas that `$ref` names. */
  readonly definitions?: Readonly<Record<string, JsonSchema>>;
  /** What an absent value counts as. */
  readonly default?: unknown;
}

const annotations = ["$schema", "$id", "title", "description", "default", "definitions"];
const understood = [
  ...["$ref", "type", "enum", "anyOf", "properties", "required", "additionalProperties", "items"],
  ...["minItems", "uniqueItems", "minLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
];

/**
 * Checks a value against a JSON schema.
 *
 * @param name - name of the value in messages
 * @throws ERR_OPTION for the first field that does not fit, with its path, what was expected there and what was found
 */
export function checkJson(value: unknown, schema: JsonSchema, name: string): void {
  check(schemaOf(schema, schema), value, (place, expected, found) => {
    const shown = found === undefined ? "none" : describe(found);
    throw new LibtorchOodError("ERR_OPTION", `${name}${place === "" ? "" : `: ${place}`}: expected ${expected}, found ${shown}`);
  });
}

/** A copy of the value with the defaults of the schema filled in, in every object that is present. */
export function withDefaults(value: unknown, schema: JsonSchema, root = schema): unknown {
  const { properties, items } = resolve(schema, root);
  if (Array.isArray(value)) return items ? value.map((item) => withDefaults(item, items, root)) : value;
  if (!isObject(value) || properties === undefined) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const [key, property] of Object.entries(properties)) {
    if (filled[key] === undefined) {
      if ("default" in property) filled[key] = structuredClone(property.default);
    } else filled[key] = withDefaults(filled[key], property, root);
  }
  return filled;
}

/** The schema of the library's validator for a JSON schema. */
function schemaOf(given: JsonSchema, root: JsonSchema): Schema<unknown> {
  const schema = resolve(given, root);
  const unknownKeyword = Object.keys(schema).find((key) => !annotations.includes(key) && !understood.includes(key));
  if (unknownKeyword !== undefined) throw new Error(`the schema has the keyword ${unknownKeyword}, which is not understood`);
  if (schema.anyOf) return either(...schema.anyOf.map((branch) => schemaOf(branch, root)));
  if (schema.enum) return oneOf(schema.enum as (string | number)[]);
  const limit = (keyword: string) => schema[keyword] as number | undefined;
  switch (schema.type) {
    case "boolean":
      return truth;
    case "integer":
      return whole(limit("minimum") ?? Number.MIN_SAFE_INTEGER, limit("maximum"));
    case "number":
      return number({
        ...{ minimum: limit("minimum"), maximum: limit("maximum") },
        ...{ above: limit("exclusiveMinimum"), below: limit("exclusiveMaximum") },
      });
    case "string":
      return textOf(schema);
    case "array":
      return list(schema.items ? schemaOf(schema.items, root) : anything, {
        least: limit("minItems"),
        distinct: schema.uniqueItems === true,
      });
    case "object":
      return objectOf(schema, root);
    default:
      return anything;
  }
}

function textOf({ minLength, pattern, description }: JsonSchema): Schema<string> {
  const expression = pattern === undefined ? undefined : new RegExp(pattern, "u");
  const described =
    description === undefined ? `a text like ${pattern}` : `${description.slice(0, 1).toLowerCase()}${description.slice(1)}`;
  const expected = expression ? described : minLength === undefined ? "a text" : "a text that is not empty";
  return like(expected, (value) => {
    const fits = typeof value === "string" && value.length >= (minLength ?? 0) && (expression?.test(value) ?? true);
    return fits ? value : undefined;
  });
}

function objectOf({ properties = {}, required = [], additionalProperties }: JsonSchema, root: JsonSchema): Schema<unknown> {
  const fields = Object.entries(properties).map(([name, property]) => {
    const field = schemaOf(property, root);
    const { description } = property;
    if (!required.includes(name)) return [name, optional(field)] as const;
    return [name, present(field, description === undefined ? "a value" : `a value (${description.toLowerCase()})`)] as const;
  });
  return object(Object.fromEntries(fields), additionalProperties === false ? "refuse" : "keep");
}

/** The definition that a reference names. Only annotations stand beside a reference here. */
function resolve(schema: JsonSchema, root: JsonSchema): JsonSchema {
  if (schema.$ref === undefined) return schema;
  const name = schema.$ref.replace("#/definitions/", "");
  const target = root.definitions?.[name];
  if (target === undefined) throw new Error(`the schema refers to ${schema.$ref}, which is not in it`);
  return target;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
