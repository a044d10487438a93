// The part of Electron's types that examples/electron uses, so that it is type-checked where Electron is not installed. Each is as Electron 45 has
// it; where Electron's own are installed, `npm run check` in the example uses those.

import type { EventEmitter } from "node:events";

interface Event {
  preventDefault(): void;
}

interface WebContents {
  setWindowOpenHandler(handler: () => { action: "deny" }): void;
  on(event: "will-navigate" | "will-attach-webview", listener: (event: Event) => void): this;
}

interface WebFrameMain {
  readonly url: string;
  readonly parent: WebFrameMain | null;
}

interface UtilityProcess extends EventEmitter {
  postMessage(message: unknown): void;
  kill(): boolean;
}

export const app: {
  readonly isPackaged: boolean;
  enableSandbox(): void;
  whenReady(): Promise<void>;
  quit(): void;
  exit(code?: number): void;
  on(event: "web-contents-created", listener: (event: Event, contents: WebContents) => void): void;
  on(event: "window-all-closed" | "will-quit", listener: () => void): void;
};

export class BrowserWindow {
  constructor(options: {
    width?: number;
    height?: number;
    show?: boolean;
    webPreferences?: { preload?: string; contextIsolation?: boolean; sandbox?: boolean; nodeIntegration?: boolean };
  });
  once(event: "ready-to-show", listener: () => void): this;
  show(): void;
  loadURL(url: string): Promise<void>;
}

export const ipcMain: {
  handle(channel: string, listener: (event: { readonly senderFrame: WebFrameMain | null }, ...args: unknown[]) => unknown): void;
};

export const protocol: {
  registerSchemesAsPrivileged(schemes: { scheme: string; privileges?: { standard?: boolean; secure?: boolean } }[]): void;
  handle(scheme: string, handler: (request: Request) => Response | Promise<Response>): void;
};

export const session: {
  readonly defaultSession: {
    setPermissionCheckHandler(handler: (contents: WebContents | null, permission: string) => boolean): void;
    setPermissionRequestHandler(handler: (contents: WebContents, permission: string, decide: (granted: boolean) => void) => void): void;
  };
};

export const utilityProcess: {
  fork(file: string, args?: string[], options?: { serviceName?: string; env?: NodeJS.ProcessEnv }): UtilityProcess;
};

export const contextBridge: { exposeInMainWorld(key: string, api: unknown): void };
export const ipcRenderer: { invoke(channel: string, ...args: unknown[]): Promise<unknown> };

declare global {
  namespace NodeJS {
    interface Process {
      readonly resourcesPath: string;
      readonly parentPort: {
        // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as Electron has it
        on(event: "message", listener: (event: { data: any }) => void): void;
        postMessage(message: unknown): void;
      };
    }
  }
}
