// Writes native/third_party/wuffs.c from a release of Wuffs (https://github.com/google/wuffs, release/c/wuffs-v0.4.c): the modules that decode JPEG, PNG
// and GIF, with the changes below. By them the JPEG decoder notices damaged pixels as libjpeg's warnings do.
//   node scripts/vendor-wuffs.mjs path/to/wuffs-v0.4.c

import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The release that the changes were written for: 0.4.0-alpha.9. */
const sha256 = "51d2f73b757adfab105386fd3641aebd69dabc3a19126d5e060b6996ede94714";
const kept = new Set(["BASE", "ADLER32", "CRC32", "DEFLATE", "ZLIB", "GIF", "JPEG", "PNG"]);

const source = fs.readFileSync(process.argv[2], "utf8");
const found = createHash("sha256").update(source).digest("hex");
if (found !== sha256) throw new Error(`expected the file of SHA-256 ${sha256}, found ${found}`);

// A module is one section of the header and one of the implementation. The layer for C++ is of no use here.
const ifModule = String.raw`!defined\(WUFFS_CONFIG__MODULES\) \|\| defined\(WUFFS_CONFIG__MODULE__`;
const module = new RegExp(String.raw`^#if ${ifModule}(\w+)\)[^\n]*\n[^]*?^#endif  // ${ifModule}\1\)[^\n]*\n`, "gm");
const ifUnique = String.raw`defined\(__cplusplus\) && defined\(WUFFS_BASE__HAVE_UNIQUE_PTR\)`;
const auxiliary = new RegExp(String.raw`^#if ${ifUnique}\n\n// -+ Auxiliary[^]*?^#endif  // ${ifUnique}[^\n]*\n`, "gm");
let text = source
  .replace(auxiliary, "")
  .replace(module, (whole, name) => (kept.has(name) ? whole : ""))
  .replace(/\n{3,}/g, "\n\n");

/** Replaces `from`, which has to be there `times` times. */
function change(times, from, to) {
  const count = text.split(from).length - 1;
  if (count !== times) throw new Error(`expected ${times} of ${JSON.stringify(from)}, found ${count}`);
  text = text.replaceAll(from, to);
}

// Whether coded pixels are damaged, though they could be decoded somehow.
change(1, "    uint32_t f_scan_count;\n", "    uint32_t f_scan_count;\n    bool f_damaged;\n");
// A code that no Huffman table has.
for (const kind of ["dc", "ac"]) {
  const count = { dc: 2, ac: 3 }[kind];
  change(count, `if (v_${kind}_blm1 == 0u) {\n`, `if (v_${kind}_blm1 == 0u) {\n self->private_impl.f_damaged = true;\n`);
}
// At a restart and at the end of a scan all coded bits are used but for less than a byte. More: pixels were added or changed; fewer: some are missing.
// `f_bitstream_padding` began as 12345 and counts down with the zeros that follow the coded bytes in the buffer.
const used = (most) => `{
      int64_t unused = 8 * ((int64_t)self->private_impl.f_bitstream_wi - (int64_t)self->private_impl.f_bitstream_ri) + self->private_impl.f_bitstream_n_bits -
                       8 * (12345 - (int64_t)self->private_impl.f_bitstream_padding);
      if (unused < 0 || unused > ${most}) self->private_impl.f_damaged = true;
    }
`;
change(
  1,
  "          if (self->private_impl.f_restarts_remaining == 0u) {\n",
  `          if (self->private_impl.f_restarts_remaining == 0u && (v_mx + 1u < self->private_impl.f_scan_width_in_mcus || v_my + 1u < self->private_impl.f_scan_height_in_mcus)) {\n${used(7)}`,
);
// Where the coded bits have run out, decoding ends: the pixels of this block were made of zeros, as libjpeg does, and the others stay grey.
change(
  1,
  "        if (self->private_impl.f_restarts_remaining > 0u) {\n",
  `        {
          int64_t left = 8 * ((int64_t)self->private_impl.f_bitstream_wi - (int64_t)self->private_impl.f_bitstream_ri) + self->private_impl.f_bitstream_n_bits -
                         8 * (12345 - (int64_t)self->private_impl.f_bitstream_padding);
          if (left < 0) {
            status = wuffs_base__make_status(wuffs_jpeg__error__short_sos_bitstream);
            goto exit;
          }
        }
        if (self->private_impl.f_restarts_remaining > 0u) {
`,
);
// The zeros that follow the end of a file count as those before a marker, and there are enough for the block.
change(
  1,
  "} else if ((a_src && a_src->meta.closed) &&  ! self->private_impl.f_bitstream_is_closed) {\n",
  "} else if (a_src && a_src->meta.closed) {\n",
);
change(
  1,
  "                self->private_impl.f_bitstream_wi += 264u;\n",
  "                self->private_impl.f_bitstream_wi += 264u;\n                wuffs_private_impl__u32__sat_sub_indirect(&self->private_impl.f_bitstream_padding, 264u);\n",
);
const scanEnd = "    wuffs_private_impl__u32__sat_add_indirect(&self->private_impl.f_scan_count, 1u);\n";
// Some writers end a scan with bytes of no meaning. libjpeg notices them from the ninth on.
change(1, scanEnd, used(8 * 8 + 7) + scanEnd);
// Restart markers count from 0 to 7, and some writers count wrongly. Whether one is missing, or one too many, shows by the bits.
change(
  1,
  "      v_c8 &= 7u;\n      if ((self->private_impl.f_next_restart_marker ==",
  "      iop_a_src += 2u;\n      break;\n      v_c8 &= 7u;\n      if ((self->private_impl.f_next_restart_marker ==",
);
const marker = "        if (v_marker <= 215u) {\n          continue;\n";
const second = text.lastIndexOf(marker);
text = `${text.slice(0, second)}        if (v_marker <= 215u) {\n          self->private_impl.f_damaged = true;\n${text.slice(second + "        if (v_marker <= 215u) {\n".length)}`;

const note = `// Wuffs 0.4.0-alpha.9 (https://github.com/google/wuffs), Apache License 2.0 or MIT: see the notice below. Modules that are not
// used were left out, and the JPEG decoder was changed, by scripts/vendor-wuffs.mjs, which says how and why.

`;
const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
fs.writeFileSync(path.join(root, "native/third_party/wuffs.c"), note + text);
