// Reads weight and bias of the last layer out of the model's bytes, or out of the file beside it that holds them, as float64.

import type { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { setImmediate as turn } from "node:timers/promises";
import { corruptFile } from "../../core/file-errors";
import { allocateBytes, openRegularFile, readExactly } from "../../formats/regular-file";
import type { HeadNumbers } from "../batch-extractor";
import { readMessage, type OnnxTensor } from "./graph";
import type { LastLayer } from "./last-layer";
import type { ProtobufWire } from "./runtime";

/** TensorProto.DataType. */
const [float32, float16, float64, bfloat16] = [1, 10, 11, 16];
const bytesOf: Readonly<Record<number, number>> = { [float32]: 4, [float16]: 2, [float64]: 8, [bfloat16]: 2 };

/** Numbers that are converted before the event loop turns: about a millisecond. */
const elementsPerTurn = 1 << 18;

/**
 * The last layer's numbers; undefined where they are computed, or of a dtype that is no float.
 *
 * @param external - gives the path of a file that holds weights
 * @throws ERR_CORRUPT_FILE where weight and bias do not fit together or are cut short; ERR_IO
 */
export async function headNumbers(
  { weight, bias, alpha, beta }: LastLayer,
  name: string,
  wire: ProtobufWire,
  external: (location: string) => string,
): Promise<HeadNumbers | undefined> {
  if (weight === undefined || bias === "unread" || weight.tensor.dims.length !== 2) return undefined;
  const [rows, columns] = weight.tensor.dims as [number, number];
  const [classes, features] = weight.transposed ? [rows, columns] : [columns, rows];
  const given = await elements(weight.tensor, name, wire, external);
  const added = bias && (await elements(bias, name, wire, external));
  if (given === undefined || (bias !== undefined && added === undefined)) return undefined;
  if (added !== undefined && added.length !== classes && added.length !== 1) {
    throw corruptFile(name, `a bias of ${classes} numbers in the last layer`, `${added.length}`);
  }
  const numbers = new Float64Array(classes * features);
  for (let label = 0; label < classes; label++) {
    if (label > 0 && (label * features) % elementsPerTurn < features) await turn();
    for (let k = 0; k < features; k++) {
      numbers[label * features + k] = alpha * (given[weight.transposed ? label * features + k : k * classes + label] as number);
    }
  }
  return {
    weight: numbers,
    bias: Float64Array.from({ length: classes }, (_, label) => (added ? beta * (added[added.length === 1 ? 0 : label] as number) : 0)),
  };
}

async function elements(
  tensor: OnnxTensor,
  name: string,
  wire: ProtobufWire,
  external: (location: string) => string,
): Promise<ArrayLike<number> | undefined> {
  const { dims, dataType } = tensor;
  const size = bytesOf[dataType];
  if (size === undefined) return undefined;
  const count = dims.reduce((product, length) => product * length, 1);
  const raw = tensor.external ? await outside(tensor, name, count * size, external) : inside(tensor, wire);
  const values = raw instanceof Uint8Array ? await fromBytes(raw, dataType) : raw;
  if (values.length !== count) throw corruptFile(name, `${count} numbers in ${tensor.name}`, `${values.length}`);
  return values;
}

/** raw_data, or one of the lists of numbers: float_data, double_data, and int32_data, which holds the bits of half floats. */
function inside({ message, dataType }: OnnxTensor, wire: ProtobufWire): Uint8Array | number[] {
  let raw: Uint8Array | undefined;
  const numbers: number[] = [];
  const list = (next: (reader: BinaryReader) => number) => {
    return (reader: BinaryReader, wireType: WireType): void => {
      const end = wireType === wire.WireType.LengthDelimited ? reader.uint32() + reader.pos : reader.pos + 1;
      while (reader.pos < end) numbers.push(next(reader));
    };
  };
  const half = dataType === float16 ? fromHalf : fromBfloat;
  readMessage(wire, message, {
    4: list((reader) => reader.float()),
    5: list((reader) => half(reader.int32())),
    9: (tensor) => (raw = tensor.bytes()),
    10: list((reader) => reader.double()),
  });
  return raw ?? numbers;
}

async function outside({ external }: OnnxTensor, name: string, bytes: number, pathOf: (location: string) => string): Promise<Uint8Array> {
  const location = external?.get("location") ?? "";
  const offset = Number(external?.get("offset") ?? 0);
  const path = pathOf(location);
  const file = await openRegularFile(path, path);
  try {
    if (!Number.isSafeInteger(offset) || offset < 0 || bytes > file.size - offset) {
      throw corruptFile(name, `weights within the ${file.size} bytes of ${location}`, `${bytes} bytes at ${offset}`);
    }
    const into = allocateBytes(bytes, path);
    await readExactly(file.handle, path, offset, into);
    return into;
  } finally {
    await file.handle.close();
  }
}

async function fromBytes(bytes: Uint8Array, dataType: number): Promise<Float64Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = bytesOf[dataType] as number;
  const read: Readonly<Record<number, (at: number) => number>> = {
    [float32]: (at) => view.getFloat32(at, true),
    [float64]: (at) => view.getFloat64(at, true),
    [float16]: (at) => fromHalf(view.getUint16(at, true)),
    [bfloat16]: (at) => fromBfloat(view.getUint16(at, true)),
  };
  const one = read[dataType] as (at: number) => number;
  const values = new Float64Array(Math.floor(bytes.length / size));
  for (let i = 0; i < values.length; i++) {
    if (i > 0 && i % elementsPerTurn === 0) await turn();
    values[i] = one(i * size);
  }
  return values;
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const bits = new DataView(new ArrayBuffer(4));

function fromBfloat(half: number): number {
  bits.setUint16(0, half & 0xffff);
  bits.setUint16(2, 0);
  return bits.getFloat32(0);
}
