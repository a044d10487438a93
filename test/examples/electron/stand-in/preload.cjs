// Stands in for what a sandboxed preload script gets of Electron. Messages are cloned on their way, as between processes.

const frame = { url: "detector://page/", parent: null };

exports.contextBridge = { exposeInMainWorld: (key, api) => (globalThis[key] = api) };
exports.ipcRenderer = {
  invoke: async (channel, ...args) => {
    const handler = globalThis.electronStandIn.handlers.get(channel);
    return structuredClone(await handler({ senderFrame: frame }, ...structuredClone(args)));
  },
};
