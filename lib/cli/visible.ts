// Makes hidden characters of foreign text (names of classes, files, data sets; messages that quote them) visible: with escape codes, line ends and
// marks that turn the direction of writing, a file could forge the lines that people read.

import type { LibtorchOodError } from "../core/errors";

/**
 * Control characters (C0, C1, DEL), line and paragraph separators, halves of surrogate pairs, and what is invisible and shapes the text around it
 * (Unicode's format characters: marks of direction, the byte order mark, tags). The two joiners stay: emoji and several scripts are written with them.
 */
const hidden = /(?!\u200c|\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
const hiddenButLineEnds = /(?!\u200c|\u200d|\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** On one line: each hidden character as `\u001b`, one beyond U+FFFF as two of these. */
export function visible(text: string): string {
  return text.replace(hidden, escaped);
}

/** As {@link visible}, but with the line ends of a text of our own. What it quotes must have been made visible before. */
export function visibleLines(text: string): string {
  return text.replace(hiddenButLineEnds, escaped);
}

/** JSON of the same value, in which nothing is hidden: `JSON.stringify` escapes C0 characters only. */
export function visibleJson(value: unknown, indent?: number): string {
  return visibleLines(JSON.stringify(value, null, indent));
}

/** Code and message on one line. How libtorch was looked for takes several, which quote paths of this machine only. */
export function errorText({ code, message }: Pick<LibtorchOodError, "message"> & { readonly code: string }): string {
  return `${code}: ${code.startsWith("ERR_LIBTORCH_") ? visibleLines(message) : visible(message)}`;
}

function escaped(character: string): string {
  return character.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
