// Runs the main process of examples/electron, in a copy beside this file, with the stand-in for Electron; does what a user and what an attacker
// would do, and prints what came of it as JSON.
//
//   node drive.mjs image.png…

import { copyFileSync, readFileSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { seen } from "electron";
import { parseHTML } from "linkedom";

const images = process.argv.slice(2).map((path) => new Uint8Array(readFileSync(path)));
const result = {};

await import("./main.mjs");
while (!seen.windows[0]?.shown) await pause(5);
const [window] = seen.windows;

const ours = { url: "detector://page/", parent: null };
const ask = (channel, argument, senderFrame = ours) =>
  seen.handlers
    .get(channel)({ senderFrame }, argument)
    .catch((error) => ({ thrown: error.message }));
const check = (bytes, frame) => ask("detector:check", bytes, frame);

// Without a detector the user hears of it, and once it is there it serves.
renameSync("detector.safetensors", "aside.safetensors");
result.missing = await ask("detector:about");
copyFileSync("aside.safetensors", "detector.safetensors");
result.about = await ask("detector:about");

result.verdicts = [];
for (const image of images) result.verdicts.push(await check(image));
result.garbage = await check(new TextEncoder().encode("no image"));
result.refused = [
  await check("text"),
  await check([1, 2, 3]),
  await check(new Uint8Array(0)),
  await check(new Uint8Array(20 * 2 ** 20 + 1)),
];
result.foreign = [
  await check(images[0], { url: "https://example.org/", parent: null }),
  await check(images[0], { url: ours.url, parent: {} }),
  await check(images[0], null),
];
result.many = await Promise.all(Array.from({ length: 9 }, () => check(images[0])));

// The detector's process is killed in the middle of a check, and the next check has another.
const interrupted = check(images[0]);
seen.children.at(-1).child.kill("SIGKILL");
result.interrupted = await interrupted;
result.afterwards = await check(images[0]);
result.children = seen.children.map(({ serviceName }) => serviceName);

const serve = async (url) => {
  const response = await seen.protocols.get("detector")(new Request(url));
  return { status: response.status, type: response.headers.get("content-type"), policy: response.headers.get("content-security-policy") };
};
result.page = await serve("detector://page/");
result.script = await serve("detector://page/page.js");
result.elsewhere = [];
for (const path of ["page/other", "page/../main.mjs", "page/%2e%2e/main.mjs", "page/constructor", "other/", "page/style.css/"]) {
  result.elsewhere.push((await serve(`detector://${path}`)).status);
}

const { preload, ...preferences } = window.options.webPreferences;
result.window = { preferences, preload: preload.endsWith("preload.cjs"), sandbox: seen.sandbox, schemes: seen.schemes };
result.open = window.openHandler({ url: "https://example.org/" });
result.prevented = ["will-navigate", "will-attach-webview"].map((name) => {
  let prevented = false;
  window.webContents.emit(name, { preventDefault: () => (prevented = true) });
  return prevented;
});
seen.permission({}, "camera", (granted) => (result.permission = granted));
result.permissionCheck = seen.permissionCheck(null, "geolocation");

// The page itself, with the real preload script: a drop, a file that is too large, one that is no image.
createRequire(import.meta.url)("./preload.cjs");
const { document, Event } = parseHTML(readFileSync("renderer/index.html", "utf8"));
Object.assign(globalThis, { document, window: { detector: globalThis.detector } });
await import("./renderer/page.js");
const text = (id) => document.getElementById(id).textContent;
const drop = async (file) => {
  const event = Object.assign(new Event("drop", { bubbles: true, cancelable: true }), { dataTransfer: { files: [file] } });
  document.getElementById("target").dispatchEvent(event);
  const looking = text("verdict");
  while (text("verdict").startsWith("Looking")) await pause(5);
  return { looking, verdict: text("verdict"), problem: text("problem"), stays: event.defaultPrevented };
};
result.pageAbout = text("about");
result.drops = [
  await drop(new File([images[0]], "digit.png")),
  await drop(new File(["no image"], "text.png")),
  await drop(new File([new Uint8Array(20 * 2 ** 20 + 1)], "large.png")),
];

seen.windows.length = 0;
const { app } = await import("electron");
app.emit("window-all-closed");
result.quit = seen.quit;
console.log(JSON.stringify(result)); // and the process ends by itself: nothing is left running
