// The example is an ES module, which Jest's realms cannot load: a Node process of its own runs it.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

const example = join(__dirname, "../../examples/terminal-image.mjs");

/** Evaluates an expression over the example's exports, with `image(size, pixel)` for a square grey image. */
function evaluate<T>(expression: string, environment: NodeJS.ProcessEnv = {}): T {
  const script = `import { colorMode, renderImages } from ${JSON.stringify(new URL(`file://${example}`).href)};
    const image = (size, pixel, caption) => ({ pixels: Uint8Array.from({ length: size * size }, (_, i) => pixel(i % size, Math.floor(i / size))), shape: [1, size, size], caption });
    process.stdout.write(JSON.stringify(${expression}));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
  return JSON.parse(output) as T;
}

test("what a stream can show", () => {
  const modes = evaluate<string[]>(`[
    colorMode({ isTTY: true, getColorDepth: () => 24 }, {}), colorMode({ isTTY: true, getColorDepth: () => 8 }, {}),
    colorMode({ isTTY: true, getColorDepth: () => 4 }, {}), colorMode({ isTTY: true }, {}),
    colorMode({ isTTY: true, getColorDepth: () => 24 }, { NO_COLOR: "1" }), colorMode({ isTTY: true, getColorDepth: () => 24 }, { NO_COLOR: "" }),
    colorMode({ isTTY: false, getColorDepth: () => 24 }, {}), colorMode()]`);
  expect(modes).toEqual(["truecolor", "256", "shades", "shades", "ascii", "truecolor", "ascii", "ascii"]);
});

test("half blocks: the upper pixel in the foreground, the lower in the background", () => {
  const text = evaluate<string>(
    `renderImages([image(2, (x, y) => [[0, 255], [128, 8]][y][x], ["hi"])], { columns: 80, mode: "truecolor" })`,
  );
  expect(text).toBe("\x1b[38;2;0;0;0;48;2;128;128;128m▀\x1b[38;2;255;255;255;48;2;8;8;8m▀\x1b[0m\nhi\n");
  const few = evaluate<string>(`renderImages([image(2, (x, y) => [[0, 255], [128, 8]][y][x])], { columns: 80, mode: "256" })`);
  expect(few).toBe("\x1b[38;5;16;48;5;244m▀\x1b[38;5;231;48;5;232m▀\x1b[0m\n");
});

test("colour images: three planes", () => {
  const text = evaluate<string>(
    `renderImages([{ pixels: Uint8Array.of(255, 0, 10, 20, 0, 255), shape: [3, 2, 1] }], { columns: 80, mode: "truecolor" })`,
  );
  expect(text).toBe("\x1b[38;2;255;10;0;48;2;0;20;255m▀\x1b[0m\n");
});

test("plain characters: brighter is denser, nothing but ASCII", () => {
  const text = evaluate<string>(`renderImages([image(10, (x) => 28 * x)], { columns: 80, mode: "ascii" })`);
  expect(text).toBe(" .:-=+*#%@\n".repeat(5));
  expect(evaluate<string>(`renderImages([image(4, (x) => 85 * x)], { columns: 80, mode: "shades" })`)).toBe(" ░▓█\n".repeat(2));
});

test("a smaller picture has the mean of each area: a checkerboard becomes grey, and the mean brightness stays", () => {
  const text = evaluate<string>(`renderImages([image(28, (x, y) => 255 * ((x + y) % 2))], { columns: 14, mode: "truecolor" })`);
  const colors = [...text.matchAll(/[34]8;2;(\d+);/g)].map((match) => Number(match[1]));
  expect(colors).toHaveLength(14 * 14);
  expect(new Set(colors)).toEqual(new Set([128]));
  const ramp = evaluate<string>(`renderImages([image(28, (x, y) => 9 * x)], { columns: 18, mode: "truecolor" })`);
  const levels = [...ramp.matchAll(/[34]8;2;(\d+);/g)].map((match) => Number(match[1]));
  expect(Math.abs(levels.reduce((a, b) => a + b) / levels.length - 121.5)).toBeLessThan(0.5);
});

test.each([
  ["truecolor", 5],
  ["ascii", 3],
])("%s: %d images of 28 pixels fit side by side in 80 columns, none wider than it", (mode, perLine) => {
  const text = evaluate<string>(
    `renderImages(Array.from({ length: 7 }, (_, i) => image(28, () => 100, ["n" + i])), { columns: 80, mode: "${mode}" })`,
  );
  // eslint-disable-next-line no-control-regex -- the escapes of the terminal are what is looked for
  const lines = text.replace(/\x1b\[[\d;]*m/g, "").split("\n");
  expect(Math.max(...lines.map((line) => [...line].length))).toBeLessThanOrEqual(80);
  const captions = lines.filter((line) => line.includes("n")).map((line) => line.split(/ +/).length);
  expect(captions).toEqual(mode === "truecolor" ? [perLine, 2] : [perLine, 3, 1]);
});

test("captions: lines under each image, cut with a mark where they are too long", () => {
  const text = evaluate<string>(
    `renderImages([image(4, () => 0, ["abcdefg", "xy"]), image(4, () => 0, ["ab"])], { columns: 80, mode: "ascii" })`,
  );
  expect(text).toBe("\n\nabc~  ab\nxy\n");
  expect(evaluate<string>(`renderImages([], { columns: 80, mode: "ascii" })`)).toBe("");
});

test("a terminal narrower than an image still shows one a line", () => {
  const text = evaluate<string>(`renderImages([image(28, () => 255), image(28, () => 255)], { columns: 6, mode: "ascii" })`);
  expect(text).toBe(`${"@@@@@@\n".repeat(3)}\n${"@@@@@@\n".repeat(3)}`);
});
