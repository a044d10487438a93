// Parses JSON of a file that anybody may have written. Only JSON that is small and shallow enough for whatever is done with it later is accepted.

/** Longer than any description that this library writes: 65,536 hashes and 2^20 class names are about 20 MB. */
const maxLength = 1 << 25;
/** JSON.stringify, a comparison or a copy of deeper values may not have the stack for it; ours are less than ten deep. */
const maxDepth = 64;

/**
 * JSON.parse with bounds.
 *
 * @throws SyntaxError that says in a sentence what is wrong
 */
export function parseJson(text: string): unknown {
  if (text.length > maxLength) throw new SyntaxError(`JSON of ${text.length} characters, more than ${maxLength}`);
  if (isDeep(text)) throw new SyntaxError(`JSON with more than ${maxDepth} levels of arrays and objects`);
  return JSON.parse(text);
}

function isDeep(text: string): boolean {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        i = endOfString(text, i);
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > maxDepth) return true;
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth--;
    }
  }
  return false;
}

/** The closing quote, or the end of a text that lacks it, which JSON.parse refuses. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
