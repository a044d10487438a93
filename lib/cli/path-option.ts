// Parses paths as values of options. It is a file of its own since `experiment report` works without the native addon.

import { InvalidArgumentError } from "commander";

/** A path, as what: "a file to write". "" is what a shell makes of a variable that is not set. */
export function pathTo(what: string): (text: string) => string {
  return (text) => {
    if (text === "") throw new InvalidArgumentError(`Expected the path of ${what}, found none.`);
    return text;
  };
}
