// The main process: window, page, messages. It opens no image and computes nothing; detector-process.mjs does, in a process of its own.

import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { app, BrowserWindow, ipcMain, protocol, session, utilityProcess } from "electron";
import { DetectorClient } from "./detector-client.mjs";
import { isOfThePage, pageAddress, scheme, servePage } from "./page.mjs";
import { inPlainWords } from "./plain-words.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
const resources = app.isPackaged ? process.resourcesPath : here;
/** Of an image file. */
const maxBytes = 20 * 2 ** 20;

const detector = new DetectorClient(() => {
  // The file goes by the environment: it is the same under Electron and Node, which differ in where arguments begin.
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, DETECTOR_FILE: path.join(resources, "detector.safetensors") };
  const libtorch = path.join(resources, "libtorch");
  if (existsSync(libtorch)) env.LIBTORCH_OOD_HOME = libtorch;
  return utilityProcess.fork(path.join(here, "detector-process.mjs"), [], { serviceName: "Detector", env });
});

app.enableSandbox();
// A scheme of our own: pages of file:// may read files.
protocol.registerSchemesAsPrivileged([{ scheme, privileges: { standard: true, secure: true } }]);

answer("detector:about", async () => ({ ...(await detector.about()), maxBytes }));

answer("detector:check", async (bytes) => {
  if (Object.prototype.toString.call(bytes) !== "[object Uint8Array]") throw coded("NOT_BYTES", "expected a Uint8Array");
  const image = /** @type {Uint8Array} */ (bytes);
  if (image.byteLength === 0) throw coded("EMPTY", "expected the bytes of an image");
  if (image.byteLength > maxBytes) throw coded("TOO_LARGE", `expected at most ${maxBytes} bytes, found ${image.byteLength}`);
  return detector.check(image);
});

/**
 * Answers a message of the page with `{ value }` or `{ problem }`, the latter in words for its user.
 *
 * @param {string} channel
 * @param {(argument: unknown) => Promise<unknown>} handle
 */
function answer(channel, handle) {
  ipcMain.handle(channel, async (event, argument) => {
    if (!isOfThePage(event.senderFrame)) throw new Error(`${channel}: refused to ${event.senderFrame?.url ?? "a frame that is gone"}`);
    try {
      return { value: await handle(argument) };
    } catch (error) {
      console.error(error); // for who looks into it; the user gets plain words
      return { problem: inPlainWords(error) };
    }
  });
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { code });
}

// Whatever a page may try: it stays where it is, opens nothing, embeds nothing.
app.on("web-contents-created", (_event, contents) => {
  contents.setWindowOpenHandler(() => ({ action: "deny" }));
  contents.on("will-navigate", (event) => event.preventDefault());
  contents.on("will-attach-webview", (event) => event.preventDefault());
});

async function openWindow() {
  const window = new BrowserWindow({
    width: 560,
    height: 680,
    show: false,
    webPreferences: { preload: path.join(here, "preload.cjs"), contextIsolation: true, sandbox: true, nodeIntegration: false },
  });
  window.once("ready-to-show", () => window.show());
  await window.loadURL(pageAddress);
}

async function start() {
  await app.whenReady();
  protocol.handle(scheme, servePage);
  session.defaultSession.setPermissionRequestHandler((_contents, _permission, decide) => decide(false));
  session.defaultSession.setPermissionCheckHandler(() => false); // what a page reads without asking
  await openWindow();
}

app.on("window-all-closed", () => app.quit());
app.on("will-quit", () => detector.stop());
start().catch((error) => {
  console.error(error);
  app.exit(1);
});
