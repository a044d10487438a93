// The page, served under a scheme of its own with a strict policy: three files, nothing else, nothing from outside.

import { readFile } from "node:fs/promises";

export const scheme = "detector";
export const pageAddress = `${scheme}://page/`;

/** @type {Record<string, [file: string, type: string]>} */
const files = {
  "/": ["index.html", "text/html"],
  "/page.js": ["page.js", "text/javascript"],
  "/sentences.js": ["sentences.js", "text/javascript"],
  "/style.css": ["style.css", "text/css"],
};

/** Scripts and styles of these files only; images that the user chose (blob:); no connections, frames, forms, plug-ins or text made into markup. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join("; ");

/** @param {{ url: string, method?: string }} request */
export async function servePage(request) {
  const { host, pathname } = new URL(request.url);
  const entry = host === "page" && Object.hasOwn(files, pathname) ? files[pathname] : undefined;
  if (entry === undefined) return new Response("not found", { status: 404, headers: { "content-type": "text/plain" } });
  const [file, type] = entry;
  const headers = { "content-type": `${type}; charset=utf-8`, "content-security-policy": policy, "x-content-type-options": "nosniff" };
  return new Response(await readFile(new URL(`renderer/${file}`, import.meta.url)), { headers });
}

/**
 * Whether a message comes from our page itself, not from a frame in it or from anywhere else.
 *
 * @param {{ url: string, parent: unknown } | null} frame
 */
export function isOfThePage(frame) {
  return frame !== null && frame.parent === null && frame.url === pageAddress;
}
