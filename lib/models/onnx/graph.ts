// Reads the outline of an ONNX graph: nodes, names and where the constants lie. Weights stay bytes of the file, so that a large model costs nothing.

import type { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { corruptFile } from "../../core/file-errors";
import { contentKind } from "../../formats/content-kind";
import type { ProtobufWire } from "./runtime";

/** A TensorProto: its header, and the bytes of the message for whoever wants the numbers. */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: number;
  /** Where the elements lie outside the model's file: "location", "offset", "length". */
  readonly external: ReadonlyMap<string, string> | undefined;
  readonly message: Uint8Array;
}

/** A NodeProto. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxAttribute>;
}

/** The parts of an AttributeProto that are looked at. */
export interface OnnxAttribute {
  readonly float: number;
  readonly integer: number;
  readonly integers: readonly number[];
  readonly tensor: OnnxTensor | undefined;
}

/** What a graph says of itself. */
export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly constants: ReadonlyMap<string, OnnxTensor>;
  /** Names of the graph's outputs. */
  readonly outputs: readonly string[];
  /** Files that hold weights, as the model names them, each once. */
  readonly externalFiles: readonly string[];
}

type Fields = Readonly<Record<number, (reader: BinaryReader, wireType: WireType) => void>>;

/**
 * Reads the graph of a model.
 *
 * @param bytes - a ModelProto
 * @param name - what errors call the model
 * @throws ERR_CORRUPT_FILE for bytes that are no ModelProto with a graph
 */
export function readGraph(bytes: Uint8Array, name: string, wire: ProtobufWire): OnnxGraph {
  try {
    const graph = new GraphReader(wire).read(bytes);
    if (graph !== undefined) return graph;
  } catch (cause) {
    throw corruptFile(name, "an ONNX model", contentKind(bytes) ?? `a damaged one (${(cause as Error).message})`, cause);
  }
  throw corruptFile(name, "an ONNX model", contentKind(bytes) ?? "a message without a graph");
}

/** Field numbers are those of onnx.proto. */
class GraphReader {
  readonly #nodes: OnnxNode[] = [];
  readonly #constants = new Map<string, OnnxTensor>();
  readonly #outputs: string[] = [];
  readonly #externalFiles = new Set<string>();

  constructor(private readonly wire: ProtobufWire) {}

  read(bytes: Uint8Array): OnnxGraph | undefined {
    let found = false;
    this.#message(bytes, {
      7: (model) => {
        found = true;
        this.#graph(model.bytes());
      },
    });
    if (!found || this.#outputs.length === 0) return undefined;
    return { nodes: this.#nodes, constants: this.#constants, outputs: this.#outputs, externalFiles: [...this.#externalFiles] };
  }

  #graph(bytes: Uint8Array): void {
    this.#message(bytes, {
      1: (graph) => this.#node(graph.bytes()),
      5: (graph) => {
        const tensor = this.#tensor(graph.bytes());
        this.#constants.set(tensor.name, tensor);
      },
      12: (graph) => this.#message(graph.bytes(), { 1: (value) => this.#outputs.push(value.string()) }),
    });
  }

  #node(bytes: Uint8Array): void {
    let op = "";
    const inputs: string[] = [];
    const outputs: string[] = [];
    const attributes = new Map<string, OnnxAttribute>();
    this.#message(bytes, {
      1: (node) => inputs.push(node.string()),
      2: (node) => outputs.push(node.string()),
      4: (node) => (op = node.string()),
      5: (node) => attributes.set(...this.#attribute(node.bytes())),
    });
    this.#nodes.push({ op, inputs, outputs, attributes });
    const value = attributes.get("value")?.tensor;
    if (op === "Constant" && value !== undefined && outputs[0] !== undefined) this.#constants.set(outputs[0], value);
  }

  #attribute(bytes: Uint8Array): [string, OnnxAttribute] {
    let name = "";
    let [float, integer] = [0, 0];
    const integers: number[] = [];
    let tensor: OnnxTensor | undefined;
    this.#message(bytes, {
      1: (attribute) => (name = attribute.string()),
      2: (attribute) => (float = attribute.float()),
      3: (attribute) => (integer = Number(attribute.int64())),
      5: (attribute) => (tensor = this.#tensor(attribute.bytes())),
      8: (attribute, wireType) => this.#integers(attribute, wireType, integers),
    });
    return [name, { float, integer, integers, tensor }];
  }

  #tensor(message: Uint8Array): OnnxTensor {
    let name = "";
    let dataType = 0;
    let outside = false;
    const dims: number[] = [];
    const external = new Map<string, string>();
    this.#message(message, {
      1: (tensor, wireType) => this.#integers(tensor, wireType, dims),
      2: (tensor) => (dataType = tensor.int32()),
      8: (tensor) => (name = tensor.string()),
      13: (tensor) => external.set(...this.#entry(tensor.bytes())),
      14: (tensor) => (outside = tensor.int32() === 1),
    });
    const location = external.get("location");
    if (outside && location !== undefined) this.#externalFiles.add(location);
    return { name, dims, dataType, external: outside ? external : undefined, message };
  }

  #entry(bytes: Uint8Array): [string, string] {
    let [key, value] = ["", ""];
    this.#message(bytes, { 1: (entry) => (key = entry.string()), 2: (entry) => (value = entry.string()) });
    return [key, value];
  }

  /** Repeated int64, packed or not. */
  #integers(reader: BinaryReader, wireType: WireType, into: number[]): void {
    if (wireType !== this.wire.WireType.LengthDelimited) {
      into.push(Number(reader.int64()));
      return;
    }
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) into.push(Number(reader.int64()));
  }

  #message(bytes: Uint8Array, fields: Fields): void {
    readMessage(this.wire, bytes, fields);
  }
}

/** Calls the function of each field that has one, in the order of the bytes, and skips the others. */
export function readMessage(wire: ProtobufWire, bytes: Uint8Array, fields: Fields): void {
  const reader = new wire.BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const read = fields[field];
    if (read === undefined) reader.skip(wireType, field);
    else read(reader, wireType);
  }
}

/**
 * Bytes that, behind those of a model, make the named values outputs of its graph too: fields of one message may come in pieces, so that a model is
 * edited without being written anew.
 */
export function moreOutputs({ BinaryWriter, WireType }: ProtobufWire, names: readonly string[]): Uint8Array {
  const { LengthDelimited } = WireType;
  const model = new BinaryWriter().tag(7, LengthDelimited).fork();
  for (const name of names) model.tag(12, LengthDelimited).fork().tag(1, LengthDelimited).string(name).join();
  return model.join().finish();
}
