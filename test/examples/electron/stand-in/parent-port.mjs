// process.parentPort of Electron's utility processes, over the channel that Node's fork has. As there, messages wait until somebody listens.

import { EventEmitter } from "node:events";

const port = Object.assign(new EventEmitter(), { postMessage: (message) => process.send(message) });
port.once("newListener", () => process.on("message", (data) => port.emit("message", { data, ports: [] })));
process.parentPort = port;
