// All that the page can ask of the program: two questions, answered with `{ value }` or `{ problem }`.

const { contextBridge, ipcRenderer } = require("electron");

contextBridge.exposeInMainWorld("detector", {
  about: () => ipcRenderer.invoke("detector:about"),
  /** @param {Uint8Array} bytes */
  check: (bytes) => ipcRenderer.invoke("detector:check", bytes),
});
