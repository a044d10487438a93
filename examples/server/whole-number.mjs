// Parses a command-line option that is a whole number, for commander.

import { InvalidArgumentError } from "commander";

/** A parser of whole numbers from `minimum` to `maximum`, which refuses anything else. */
export function wholeNumber(minimum, maximum = Number.MAX_SAFE_INTEGER) {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= minimum && value <= maximum && text.trim() !== "") return value;
    const range = maximum === Number.MAX_SAFE_INTEGER ? `from ${minimum} on` : `from ${minimum} to ${maximum}`;
    throw new InvalidArgumentError(`expected a whole number ${range}`);
  };
}
