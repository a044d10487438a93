// The validator of values from outside: it names the place, what was expected and what was found, and looks at nothing that is not in the value itself.

import { anyObject, check, either, like, list, made, number, object, oneOf, optional, optionalOrNull, record, text, truth, whole, type Schema } from "../../lib/core/schema"; // prettier-ignore

const refusal = (schema: Schema<unknown>, value: unknown): string | undefined => {
  try {
    check(schema, value, (place, expected, found) => {
      throw new RangeError(`${place}: ${expected}; ${JSON.stringify(found)}`);
    });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

test.each<[string, Schema<unknown>, unknown, string | undefined]>([
  ["a text", text, 1, ": a text; 1"],
  ["true or false", truth, "true", ': true or false; "true"'],
  ["a number", number(), Infinity, ": a finite number; null"],
  ["within bounds", number({ minimum: 0, maximum: 1 }), 1.1, ": a number from 0 to 1; 1.1"],
  ["at a bound", number({ minimum: 0, maximum: 1 }), 1, undefined],
  ["above and up to", number({ above: 0, maximum: 1 }), 0, ": a number above 0, up to 1; 0"],
  ["below", number({ above: 0, below: 1 }), 1, ": a number above 0, below 1; 1"],
  ["a whole number", whole(1), 1.5, ": a whole number of at least 1; 1.5"],
  ["a whole number that is exact", whole(), 2 ** 53, ": a whole number of at least 0; 9007199254740992"],
  ["one of", oneOf(["a", "b"]), "c", ': one of "a", "b"; "c"'],
  ["the only one", oneOf([18]), 50, ": 18; 50"],
  ["a list", list(text), {}, ": a list; {}"],
  ["an item", list(text), ["a", 1], "[1]: a text; 1"],
  ["too few items", list(text, { least: 2 }), ["a"], ': a list of at least 2 items; ["a"]'],
  ["no item twice", list(text, { distinct: true }), ["a", "b", "a"], '[2]: no item twice; "a"'],
  ["an object", object({}), [], ": an object; []"],
  ["a field", object({ a: object({ b: list(text) }) }), { a: { b: [1] } }, "a.b[0]: a text; 1"],
  ["a field that is not there", object({ a: text }), {}, "a: a text; undefined"],
  ["a field too many", object({ a: optional(text) }, "refuse"), { c: 1 }, "c: one of the fields a; 1"],
  ["null is not nothing", object({ a: optional(text) }), { a: null }, "a: a text; null"],
  ["null is nothing", object({ a: optionalOrNull(text) }), { a: null }, undefined],
  ["a record's item", record(whole()), { "x y": -1 }, '["x y"]: a whole number of at least 0; -1'],
  ["neither", either(text, list(text)), 1, ": a text, or a list; 1"],
  ["the place inside one", either(text, list(text)), ["a", 2], "[1]: a text; 2"],
  ["what makes nothing", made(text, "a text of digits", (given) => (/^\d+$/.test(given) ? Number(given) : undefined)), "x", ': a text of digits; "x"'], // prettier-ignore
  ["what is like nothing", like("seven", (value) => (value === 7 ? "VII" : undefined)), 8, ": seven; 8"],
])("%s", (_, schema, value, message) => {
  expect(refusal(schema, value)).toBe(message);
});

test("what is taken: fields that are named, or all; numbers as they are made; nothing of what does not fit", () => {
  const schema = object({ a: made(text, "digits", Number), b: optional(anyObject) });
  expect(schema.read({ a: "7", more: 1 }, "")).toEqual({ a: 7, b: undefined });
  expect(object({ a: text }, "keep").read({ a: "7", more: 1 }, "")).toEqual({ a: "7", more: 1 });
});

test("no name means anything of its own, and a prototype has no fields", () => {
  const names = JSON.parse('{ "constructor": 1, "__proto__": 2, "svhn": 3 }') as object;
  const taken = record(whole()).read(names, "");
  expect([Object.keys(taken), Object.getPrototypeOf(taken)]).toEqual([["constructor", "__proto__", "svhn"], null]);
  const inherited = Object.create({ a: "of the prototype" }) as object;
  expect(refusal(object({ a: text }), inherited)).toBe("a: a text; undefined");
  expect(refusal(object({ toString: text }), {})).toBe("toString: a text; undefined");
});
