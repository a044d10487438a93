// 10,000 damaged safetensors files: each is read or refused with a typed error, in memory and from the disk alike.

import { isLibtorchOodError } from "../../lib/core/errors";
import {
  parseSafetensors,
  readSafetensors,
  serializeSafetensors,
  type SafetensorsContent,
  type SafetensorsInput,
} from "../../lib/formats/safetensors";
import { bytesPerElement } from "../../lib/core/dtype";
import { dtypeIn, safetensorsDtypes } from "../../lib/formats/safetensors-data";
import { figures } from "../reliability/campaign";
import { draws } from "./damage";
import { temporaryDirectory } from "../support/temporary-directory";

const directory = temporaryDirectory();
const { below, pick } = draws(20240214);

const dtypes = safetensorsDtypes.filter((dtype) => bytesPerElement(dtypeIn(dtype)) >= 1);

function soundFile(): Uint8Array {
  const tensors = Array.from({ length: 1 + below(4) }, (_, index): SafetensorsInput => {
    const dtype = pick(dtypes);
    const shape = Array.from({ length: below(4) }, () => below(4));
    const data = new Uint8Array(shape.reduce((a, b) => a * b, bytesPerElement(dtypeIn(dtype)))).map(() => below(256));
    return { name: `layer${index}.weight`, dtype, shape, data };
  });
  return serializeSafetensors(tensors, { metadata: { format: "pt", config: '{"depth":18}' } });
}

/** Damage to the bytes: the header often no longer parses, or its length is wrong. */
function damageBytes(file: Uint8Array): Uint8Array {
  let bytes = Uint8Array.from(file);
  for (let times = 1 + below(3); times > 0; times--) {
    const at = below(bytes.length || 1);
    const kind = below(6);
    if (kind === 0) bytes[at] = (bytes[at] as number) ^ (1 << below(8));
    else if (kind === 1) bytes = bytes.slice(0, at);
    else if (kind === 2) bytes = Uint8Array.from([...bytes, ...Array.from({ length: 1 + below(9) }, () => below(256))]);
    else if (kind === 3) bytes[below(8)] = below(256);
    else if (kind === 4) bytes = Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1 + below(4))]);
    else bytes = Uint8Array.from([...bytes.slice(0, at), below(256), ...bytes.slice(at)]);
  }
  return bytes;
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const strange: Json[] = [
  null,
  true,
  -1,
  0,
  1,
  1.5,
  1e21,
  2 ** 53,
  2 ** 53 - 1,
  "",
  "F32",
  "U8",
  [],
  [0],
  [0, 0],
  [2 ** 53 - 1, 2 ** 53 - 1],
  {},
];

/** A copy: it may be put into itself. */
const strangeValue = (): Json => structuredClone(pick(strange));

/** Damage to what the header says: it still parses as JSON, and its length is right. */
function damageMeaning(file: Uint8Array): Uint8Array {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<string, Record<string, Json>>;
  let data = file.subarray(8 + length);
  let extra = "";
  for (let times = 1 + below(2); times > 0; times--) {
    const name = pick(Object.keys(header));
    if (name === undefined) break;
    const entry = header[name] as Record<string, Json>;
    const kind = typeof entry === "object" && entry !== null ? below(10) : 3 + 2 * below(2);
    if (kind === 0) entry[pick(["dtype", "shape", "data_offsets"])] = strangeValue();
    else if (kind === 1 && Array.isArray(entry.data_offsets)) entry.data_offsets[below(2)] = strangeValue();
    else if (kind === 2 && Array.isArray(entry.shape)) entry.shape.splice(below(entry.shape.length + 1), below(2), strangeValue());
    else if (kind === 3) header[name] = strangeValue() as never;
    else if (kind === 4) entry.dtype = pick(dtypes);
    else if (kind === 5) delete header[name];
    else if (kind === 6)
      extra = `,${JSON.stringify(pick([name, "__proto__", "__metadata__", "new"]))}:${JSON.stringify(pick([entry, ...strange]))}`;
    else if (kind === 7) entry[pick(["__proto__x", "extra", "constructor"])] = strangeValue();
    else if (kind === 8) data = below(2) ? data.subarray(below(data.length + 1)) : Uint8Array.from([...data, 0]);
    else if (Array.isArray(entry.data_offsets))
      entry.data_offsets = entry.data_offsets.map((offset) => (offset as number) + pick([-1, 1, 8]));
  }
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(json === "{}" ? json : json.slice(0, -1) + extra + "}" + " ".repeat(below(3)));
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function outcome(result: SafetensorsContent | Error): string {
  if (!(result instanceof Error)) return "success";
  if (!isLibtorchOodError(result)) throw result;
  return `${result.code} ${result.message}`;
}

/** What every accepted file must be, whatever its reader thought. */
function expectSound(bytes: Uint8Array, { tensors }: SafetensorsContent): void {
  let total = 0;
  for (const { dtype, shape, data } of tensors.values()) {
    expect(data.length).toBe(shape.reduce((a, b) => a * b, bytesPerElement(dtypeIn(dtype))));
    total += data.length;
  }
  const header = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  expect(8 + header + total).toBe(bytes.length);
}

test("10,000 damaged files: success or ERR_CORRUPT_FILE, the same in memory and from the disk, none of them slowly", async () => {
  const counts: Record<string, Record<string, number>> = {};
  let slowest = 0;
  for (let i = 0; i < 10_000; i++) {
    const kind = i % 2 ? "header still JSON" : "bytes";
    const bytes = i % 2 ? damageMeaning(soundFile()) : damageBytes(soundFile());
    if (i % 2) {
      const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
      JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
    }
    const path = directory.put("fuzzed", bytes);
    let inMemory: SafetensorsContent | Error;
    const started = performance.now();
    try {
      inMemory = parseSafetensors(bytes, path);
    } catch (error) {
      inMemory = error as Error;
    }
    slowest = Math.max(slowest, performance.now() - started);
    if (!(inMemory instanceof Error)) expectSound(bytes, inMemory);
    const fromDisk = await readSafetensors(path).catch((error: unknown) => error as Error);
    expect(outcome(fromDisk)).toBe(outcome(inMemory));
    const code = outcome(inMemory).split(" ")[0] as string;
    const tally = (counts[kind] ??= {});
    tally[code] = (tally[code] ?? 0) + 1;
  }
  figures("hostile files, safetensors", { files: 10_000, ...counts, slowestMilliseconds: Math.round(slowest) });
  expect(slowest).toBeLessThan(1000); // of a few hundred bytes: what a length or a depth in the file can make it do

  for (const tally of Object.values(counts)) {
    expect(Object.keys(tally).sort()).toEqual(["ERR_CORRUPT_FILE", "success"]);
    expect((tally.success ?? 0) + (tally.ERR_CORRUPT_FILE ?? 0)).toBe(5000);
    expect(tally.ERR_CORRUPT_FILE).toBeGreaterThan(2500);
  }
});
