// Checks a value against a JSON schema, the keywords that schema.json uses, and says where it does not fit: the published schema is the validator.

import { describe } from "../core/checks";
import { LibtorchOodError } from "../core/errors";

/** The part of JSON Schema (draft 7) that {@link check} understands; another keyword in a schema is an error, never ignored. */
export interface JsonSchema {
  readonly [keyword: string]: unknown;
  readonly $ref?: string;
  readonly type?: string;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly items?: JsonSchema;
  readonly definitions?: Readonly<Record<string, JsonSchema>>;
  readonly default?: unknown;
}

const annotations = ["$schema", "$id", "title", "description", "default", "definitions"];
const understood = [
  ...["$ref", "type", "enum", "anyOf", "properties", "required", "additionalProperties", "items"],
  ...["minItems", "uniqueItems", "minLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
];

/** What is wrong, and where: "cells[0].depth". */
interface Problem {
  readonly path: string;
  readonly expected: string;
  readonly found: unknown;
}

/**
 * @param name - stands for the value itself in the message where the problem is not inside it
 * @throws ERR_OPTION: the path to the first field that does not fit, what was expected there and what was found
 */
export function check(value: unknown, schema: JsonSchema, name: string): void {
  const problem = firstProblem(value, schema, schema, "");
  if (problem === undefined) return;
  const { path, expected, found } = problem;
  throw new LibtorchOodError("ERR_OPTION", `${name}${path === "" ? "" : `: ${path}`}: expected ${expected}, found ${shown(found)}`);
}

/** The value with the defaults of the schema filled in, wherever an object is there to hold them; the value itself is not changed. */
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

function firstProblem(value: unknown, given: JsonSchema, root: JsonSchema, path: string): Problem | undefined {
  const schema = resolve(given, root);
  const unknownKeyword = Object.keys(schema).find((key) => !annotations.includes(key) && !understood.includes(key));
  if (unknownKeyword !== undefined) throw new Error(`${path}: the schema has the keyword ${unknownKeyword}, which is not understood`);
  const expect = (expected: string, found: unknown = value): Problem => ({ path, expected, found });
  if (schema.anyOf) {
    const problems = schema.anyOf.map((branch) => firstProblem(value, branch, root, path));
    if (problems.includes(undefined)) return undefined;
    // A branch that fits as a whole but not inside says more than "neither of these".
    const inside = problems.find((problem) => problem && problem.path !== path);
    return inside ?? expect(problems.map((problem) => (problem as Problem).expected).join(", or "));
  }
  if (schema.enum && !schema.enum.includes(value)) return expect(`one of ${schema.enum.map((item) => JSON.stringify(item)).join(", ")}`);
  if (schema.type !== undefined && !hasType(value, schema.type)) return expect(typeNames[schema.type] as string);
  if (typeof value === "number") return numberProblem(value, schema, expect);
  if (typeof value === "string") return stringProblem(value, schema, expect);
  if (Array.isArray(value)) return arrayProblem(value, schema, root, path, expect);
  return isObject(value) ? objectProblem(value, schema, root, path) : undefined;
}

function stringProblem(value: string, schema: JsonSchema, expect: (expected: string) => Problem): Problem | undefined {
  if (value.length < limit(schema, "minLength", 0)) return expect("a text that is not empty");
  const { pattern, description } = schema;
  if (pattern === undefined || new RegExp(pattern, "u").test(value)) return undefined;
  return expect(description === undefined ? `a text like ${pattern}` : lowerFirst(description as string));
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function numberProblem(value: number, schema: JsonSchema, expect: (expected: string) => Problem): Problem | undefined {
  if (value < limit(schema, "minimum", -Infinity)) return expect(`at least ${limit(schema, "minimum", 0)}`);
  if (value > limit(schema, "maximum", Infinity)) return expect(`at most ${limit(schema, "maximum", 0)}`);
  if (value <= limit(schema, "exclusiveMinimum", -Infinity)) return expect(`more than ${limit(schema, "exclusiveMinimum", 0)}`);
  if (value >= limit(schema, "exclusiveMaximum", Infinity)) return expect(`less than ${limit(schema, "exclusiveMaximum", 0)}`);
  return undefined;
}

function arrayProblem(
  value: readonly unknown[],
  schema: JsonSchema,
  root: JsonSchema,
  path: string,
  expect: (expected: string, found?: unknown) => Problem,
): Problem | undefined {
  const least = limit(schema, "minItems", 0);
  if (value.length < least) return expect(`at least ${least} item${least === 1 ? "" : "s"}`);
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    const problem = schema.items && firstProblem(item, schema.items, root, `${path}[${index}]`);
    if (problem) return problem;
    const text = JSON.stringify(item);
    if (schema.uniqueItems === true && seen.has(text)) return { path: `${path}[${index}]`, expected: "no item twice", found: item };
    seen.add(text);
  }
  return undefined;
}

function objectProblem(value: Record<string, unknown>, schema: JsonSchema, root: JsonSchema, path: string): Problem | undefined {
  const { properties = {}, required = [], additionalProperties } = schema;
  const at = (key: string): string => (path === "" ? key : `${path}.${key}`);
  const missing = required.find((key) => value[key] === undefined);
  if (missing !== undefined) {
    const description = properties[missing]?.description;
    const expected = typeof description === "string" ? `a value (${description.toLowerCase()})` : "a value";
    return { path: at(missing), expected, found: undefined };
  }
  for (const [key, item] of Object.entries(value)) {
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (property === undefined) {
      if (additionalProperties === false)
        return { path: at(key), expected: `one of the fields ${Object.keys(properties).join(", ")}`, found: item };
    } else if (item !== undefined) {
      const problem = firstProblem(item, property, root, at(key));
      if (problem) return problem;
    }
  }
  return undefined;
}

/** A reference with what stands beside it: only annotations do here. */
function resolve(schema: JsonSchema, root: JsonSchema): JsonSchema {
  if (schema.$ref === undefined) return schema;
  const name = schema.$ref.replace("#/definitions/", "");
  const target = root.definitions?.[name];
  if (target === undefined) throw new Error(`the schema refers to ${schema.$ref}, which is not in it`);
  return target;
}

const typeNames: Readonly<Record<string, string>> = {
  object: "an object",
  array: "a list",
  string: "a text",
  boolean: "true or false",
  number: "a number",
  integer: "an integer",
};

function hasType(value: unknown, type: string): boolean {
  if (type === "object") return isObject(value);
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "number") return Number.isFinite(value);
  return typeof value === type;
}

function limit(schema: JsonSchema, keyword: string, otherwise: number): number {
  return (schema[keyword] as number | undefined) ?? otherwise;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return value === undefined ? "none" : describe(value);
}
