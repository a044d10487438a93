// Replaces characters that XML does not allow, such as control characters, which a name may hold.

/** The text with U+FFFD in place of such characters. */
export function xmlCharacters(text: string): string {
  return text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
}
