// Shows small grey or RGB images side by side in a terminal, with a caption under each.
//
// Two pixels share a character: the upper half block takes the foreground colour for the upper pixel and the background colour for the
// lower. npm's image printers want encoded files (and bring a decoder each); raw bytes side by side with captions need these few lines.

/** @typedef {"truecolor" | "256" | "shades" | "ascii"} ColorMode */
/**
 * @typedef {object} CaptionedImage
 * @property {Uint8Array} pixels C·H·W bytes, channel after channel, row by row, as Dataset.image(i) gives them
 * @property {readonly number[]} shape [C, H, W]; C is 1 (grey) or 3 (RGB)
 * @property {readonly string[]} [caption] lines of text under the image
 */

const gap = 2;
/** Columns below which a 28-pixel image is hard to recognise: half blocks have twice the rows. */
const narrowest = { truecolor: 14, 256: 14, shades: 24, ascii: 24 };
const ramps = { ascii: " .:-=+*#%@", shades: " ░▒▓█" };

/**
 * What the stream can show: plain ASCII where NO_COLOR is set or it is no terminal, otherwise as many colours as Node says it has.
 *
 * @param {{ isTTY?: boolean, getColorDepth?: () => number }} [stream]
 * @param {Record<string, string | undefined>} [environment]
 * @returns {ColorMode}
 */
export function colorMode(stream = process.stdout, environment = process.env) {
  if (environment.NO_COLOR || !stream.isTTY) return "ascii";
  const depth = stream.getColorDepth?.() ?? 1;
  return depth >= 24 ? "truecolor" : depth >= 8 ? "256" : "shades";
}

/**
 * The images as text, as many a line as fit with their captions, each at most as wide as it has pixels. A caption line that is longer is cut
 * and marked.
 *
 * @param {readonly CaptionedImage[]} images
 * @param {{ columns?: number, mode?: ColorMode }} [options] columns of the terminal (default: its own, or 80) and what it can show
 * @returns {string} lines, each ended by a newline
 */
export function renderImages(images, options = {}) {
  const { columns = process.stdout.columns ?? 80, mode = colorMode() } = options;
  if (images.length === 0) return "";
  const widest = Math.max(...images.map(({ shape }) => shape[2]));
  const longest = Math.max(...images.flatMap(({ caption = [] }) => caption.map((line) => [...line].length)));
  const least = Math.min(Math.max(narrowest[mode], longest), widest);
  const perLine = Math.max(1, Math.min(images.length, Math.floor((columns + gap) / (least + gap))));
  const width = Math.max(1, Math.min(widest, Math.floor((columns + gap) / perLine) - gap));
  const lines = [];
  for (let first = 0; first < images.length; first += perLine) {
    if (first > 0) lines.push("");
    const blocks = images.slice(first, first + perLine).map((image) => block(image, width, mode));
    const height = Math.max(...blocks.map((rows) => rows.length));
    for (let row = 0; row < height; row++) {
      lines.push(
        blocks
          .map((rows) => rows[row] ?? " ".repeat(width))
          .join(" ".repeat(gap))
          .trimEnd(),
      );
    }
  }
  return lines.map((line) => line + "\n").join("");
}

/** One image and its caption, as lines that are `width` columns wide. */
function block(image, width, mode) {
  const [, height, sourceWidth] = image.shape;
  // A character is about twice as high as wide, so it holds two pixel rows.
  const rows = Math.max(1, Math.round((width * height) / sourceWidth / 2));
  const picture =
    mode === "truecolor" || mode === "256" ? halfBlocks(image, width, rows, mode) : characters(image, width, rows, ramps[mode]);
  const caption = (image.caption ?? []).map((line) => fitted(line, width, mode === "ascii" ? "~" : "…"));
  return [...picture, ...caption];
}

function fitted(line, width, mark) {
  const characters = [...line];
  return characters.length <= width ? line + " ".repeat(width - characters.length) : characters.slice(0, width - 1).join("") + mark;
}

function halfBlocks(image, width, rows, mode) {
  const pixels = resampled(image, width, 2 * rows);
  const code = mode === "truecolor" ? ([r, g, b]) => `2;${r};${g};${b}` : (color) => `5;${nearestOf256(color)}`;
  return Array.from({ length: rows }, (_, row) => {
    const cells = Array.from({ length: width }, (_, column) => {
      const [upper, lower] = [pixels(column, 2 * row), pixels(column, 2 * row + 1)];
      return `\x1b[38;${code(upper)};48;${code(lower)}m▀`;
    });
    return cells.join("") + "\x1b[0m";
  });
}

function characters(image, width, rows, ramp) {
  const pixels = resampled(image, width, rows);
  const glyphs = [...ramp];
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: width }, (_, column) => {
      const [r, g, b] = pixels(column, row);
      const luminance = (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255; // Rec. 709
      return glyphs[Math.min(glyphs.length - 1, Math.floor(luminance * glyphs.length))];
    }).join(""),
  );
}

/** The image at another size: each new pixel is the mean of the area that it covers. Gives [r, g, b] at (x, y). */
function resampled({ pixels, shape: [channels, height, width] }, newWidth, newHeight) {
  const columns = coverage(width, newWidth);
  const rows = coverage(height, newHeight);
  return (x, y) =>
    [0, 1, 2].map((rgb) => {
      const plane = (channels === 1 ? 0 : rgb) * height * width;
      let sum = 0;
      for (const [row, rowShare] of rows[y]) {
        for (const [column, columnShare] of columns[x]) sum += pixels[plane + row * width + column] * rowShare * columnShare;
      }
      return Math.round(sum);
    });
}

/** For each of `to` equal stretches of `from` pixels: the pixels under it with their shares, which add up to 1. */
function coverage(from, to) {
  const step = from / to;
  return Array.from({ length: to }, (_, index) => {
    const [start, end] = [index * step, (index + 1) * step];
    const shares = [];
    for (let pixel = Math.floor(start); pixel < Math.min(from, end); pixel++) {
      const share = (Math.min(end, pixel + 1) - Math.max(start, pixel)) / step;
      if (share > 0) shares.push([pixel, share]);
    }
    return shares;
  });
}

/** The nearest of xterm's 24 greys and 6×6×6 colours. */
function nearestOf256([r, g, b]) {
  const levels = [0, 95, 135, 175, 215, 255];
  const nearest = (value) => levels.reduce((best, level, i) => (Math.abs(level - value) < Math.abs(levels[best] - value) ? i : best), 0);
  const distance = (other) => (r - other[0]) ** 2 + (g - other[1]) ** 2 + (b - other[2]) ** 2;
  const cube = [nearest(r), nearest(g), nearest(b)];
  const greyIndex = Math.max(0, Math.min(23, Math.round(((r + g + b) / 3 - 8) / 10)));
  const grey = 8 + 10 * greyIndex;
  return distance([grey, grey, grey]) < distance(cube.map((i) => levels[i])) ? 232 + greyIndex : 16 + 36 * cube[0] + 6 * cube[1] + cube[2];
}
