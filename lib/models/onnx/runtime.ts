// The two optional peers of ONNX models, found at first use: onnxruntime-node, which runs them, and @bufbuild/protobuf, which reads their graph.

import type * as Wire from "@bufbuild/protobuf/wire";
import { LibtorchOodError } from "../../core/errors";
import { systemCode } from "../../core/file-errors";

export type ProtobufWire = typeof Wire;

/** The reader and writer of protobuf messages. @throws ERR_ONNXRUNTIME_NOT_FOUND */
export function loadWire(): ProtobufWire {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- at first use, since most programs run no ONNX model
    return require("@bufbuild/protobuf/wire") as ProtobufWire;
  } catch (cause) {
    throw missing("@bufbuild/protobuf", cause);
  }
}

/** Path of onnxruntime-node, which a process of its own loads. @throws ERR_ONNXRUNTIME_NOT_FOUND */
export function resolveRuntime(): string {
  try {
    return require.resolve("onnxruntime-node");
  } catch (cause) {
    throw missing("onnxruntime-node", cause);
  }
}

/** @param cause - why it cannot be loaded */
export function missing(name: string, cause: unknown): LibtorchOodError {
  const reason = systemCode(cause) === "MODULE_NOT_FOUND" ? "it is not installed" : (cause as Error).message;
  return new LibtorchOodError(
    "ERR_ONNXRUNTIME_NOT_FOUND",
    `ONNX models need ${name}: ${reason}; "npm install onnxruntime-node @bufbuild/protobuf" installs what they need`,
    { cause },
  );
}
