// Characters that XML does not know, such as the control characters, wherever a name may hold them.

/** The text with U+FFFD in their place. */
export function xmlCharacters(text: string): string {
  return text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
}
