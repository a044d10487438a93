// Stands in for Electron's main process under Node: keeps what it is given, for drive.mjs to look at, and runs a utility process as a child of Node's.

import { fork } from "node:child_process";
import { EventEmitter } from "node:events";

/** What the example has set up. */
export const seen = {
  schemes: [],
  windows: [],
  protocols: new Map(), // by scheme
  handlers: new Map(), // by channel
  permission: undefined,
  permissionCheck: undefined,
  children: [],
  sandbox: false,
  quit: false,
};
globalThis.electronStandIn = seen;

export const app = Object.assign(new EventEmitter(), {
  isPackaged: false,
  enableSandbox: () => (seen.sandbox = true),
  whenReady: () => new Promise((resolve) => setImmediate(resolve)),
  quit() {
    seen.quit = true;
    this.emit("will-quit");
  },
  exit: (code) => process.exit(code),
});

export class BrowserWindow extends EventEmitter {
  shown = false;
  webContents = Object.assign(new EventEmitter(), { setWindowOpenHandler: (handler) => (this.openHandler = handler) });

  constructor(options) {
    super();
    this.options = options;
    seen.windows.push(this);
    app.emit("web-contents-created", {}, this.webContents);
  }

  async loadURL(url) {
    const { protocol: scheme } = new URL(url);
    const response = await seen.protocols.get(scheme.slice(0, -1))({ url, method: "GET" });
    if (response.status !== 200) throw new Error(`${url}: ${response.status}`);
    this.emit("ready-to-show");
  }

  show() {
    this.shown = true;
  }
}

export const ipcMain = { handle: (channel, handler) => seen.handlers.set(channel, handler) };

export const protocol = {
  registerSchemesAsPrivileged: (schemes) => seen.schemes.push(...schemes),
  handle: (scheme, handler) => seen.protocols.set(scheme, handler),
};

export const session = {
  defaultSession: {
    setPermissionRequestHandler: (handler) => (seen.permission = handler),
    setPermissionCheckHandler: (handler) => (seen.permissionCheck = handler),
  },
};

export const utilityProcess = {
  fork(file, args, { env, serviceName }) {
    const port = new URL("parent-port.mjs", import.meta.url).href;
    const child = fork(file, args, { env, execArgv: ["--import", port], serialization: "advanced" });
    seen.children.push({ child, serviceName });
    return Object.assign(child, { postMessage: (message) => child.send(message) });
  },
};
