// Any path is one line of text and comes back from it; any path is a file: URL.

import { parsePathText, pathOfUrl, pathText, urlOfPath } from "../../lib/formats/path-text";
import { libraryFailureOf } from "../models/resnet/tiny-network";

const latin1 = Buffer.from([0x64, 0x2f, 0xe9, 0x2e, 0x6a, 0x70, 0x67]);

test.each<[string | Buffer, string]>([
  ["plain/ü 日本 🙂.jpg", "plain/ü 日本 🙂.jpg"],
  ["back\\slash.jpg", "back\\slash.jpg"],
  ["a\nb.jpg", '"a\\nb.jpg"'],
  ["carriage\r", '"carriage\\r"'],
  ['"quoted".jpg', '"\\"quoted\\".jpg"'],
  ["\u001b[31mred\\n.jpg", '"\\033[31mred\\\\n.jpg"'],
  ["right\u202eleft.jpg", '"right\\342\\200\\256left.jpg"'],
  ["\u0085next.jpg", '"\\302\\205next.jpg"'],
  [latin1, '"d/\\351.jpg"'],
  [Buffer.from([0xe6, 0x97, 0xa5, 0xff, 0xe6, 0x97]), '"日\\377\\346\\227"'],
  ["", ""],
])("%j on one line is %j", (path, line) => {
  expect(pathText(path)).toBe(line);
  expect(line).not.toMatch(/[\n\r]/);
  expect(parsePathText(Buffer.from(line))).toEqual(path);
  if (path !== "") expect(pathOfUrl(urlOfPath(typeof path === "string" ? `/${path}` : path), "x")).toEqual(typeof path === "string" ? `/${path}` : Buffer.concat([Buffer.from(`${process.cwd()}/`), path])); // prettier-ignore
});

test("a line that is no quotation is the path itself", () => {
  for (const line of ['"a".jpg', '"', '"\\q"', '"a"b"', '"\\400"']) expect(parsePathText(Buffer.from(line))).toBe(line);
});

test("only file: URLs of this machine are paths", async () => {
  for (const url of [
    "https://example.org/x.jpg",
    "data:image/png;base64,AAAA",
    "file:///a%2Fb",
    "file:///a%00b",
    "file://elsewhere/x%E9",
  ]) {
    expect(await libraryFailureOf(() => pathOfUrl(new URL(url), "images"))).toMatchObject({ code: "ERR_OPTION" });
  }
});
