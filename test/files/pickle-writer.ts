// Pickles for tests, opcode by opcode, as Python 2 wrote those of CIFAR.

const uint32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
export const text = (value: string): Buffer => Buffer.concat([Buffer.from("U"), Buffer.from([value.length]), Buffer.from(value)]);
export const list = (items: Buffer[]): Buffer => Buffer.concat([Buffer.from("]("), ...items, Buffer.from("e")]);
export const byte = (value: number): Buffer => Buffer.from([0x4b, value]);
export const dictionary = (entries: Record<string, Buffer>): Buffer =>
  Buffer.concat([
    Buffer.from("\x80\x02}(", "latin1"),
    ...Object.entries(entries).flatMap(([key, value]) => [text(key), value]),
    Buffer.from("u."),
  ]);

/** As Python 2 pickled it: uint8 [rows, 3072], row by row. */
export function array(rows: number, data: Uint8Array): Buffer {
  const start = "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01";
  const type = "cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T";
  const shape = Buffer.concat([Buffer.from("J"), uint32(rows), Buffer.from("J"), uint32(3072), Buffer.from("\x86", "latin1")]);
  return Buffer.concat([Buffer.from(start, "latin1"), shape, Buffer.from(type, "latin1"), uint32(data.length), data, Buffer.from("tb")]);
}
