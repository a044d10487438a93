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

const typeOf = (kind: string, order: string): Buffer =>
  Buffer.from(`cnumpy\ndtype\nU\x02${kind}K\x00K\x01\x87R(K\x03U\x01${order}NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb`, "latin1");

/** A numpy array of another type, such as ("i8", "<"). */
export function typedArray(kind: string, order: string, shape: number[], data: Uint8Array): Buffer {
  const start = "cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01(";
  const sizes = shape.flatMap((size) => [Buffer.from("J"), uint32(size)]);
  const content = [Buffer.from("\x89T", "latin1"), uint32(data.length), data, Buffer.from("tb")];
  return Buffer.concat([Buffer.from(start, "latin1"), ...sizes, Buffer.from("t"), typeOf(kind, order), ...content]);
}

/** A numpy scalar. */
export function scalar(kind: string, order: string, data: Uint8Array): Buffer {
  const parts = [Buffer.from("cnumpy._core.multiarray\nscalar\n"), typeOf(kind, order), Buffer.from("U"), Buffer.from([data.length]), data];
  return Buffer.concat([...parts, Buffer.from("\x86R", "latin1")]);
}
