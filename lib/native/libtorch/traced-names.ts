// The packages that carry the addons and libtorch, as directories with literal names. They are found by computed names (addon-files.ts,
// discover.ts), which no tool can follow that copies only what a program names: the standalone output of Next.js, @vercel/nft. Those read
// these lines and copy what is there; nothing here uses them.

import { join } from "node:path";

export const tracedDirectories: readonly string[] = [
  join(__dirname, "../../../../@libtorch-ood/addon-linux-x64"),
  join(__dirname, "../../../../@libtorch-ood/addon-linux-arm64"),
  join(__dirname, "../../../../@libtorch-ood/addon-darwin-arm64"),
  join(__dirname, "../../../../@libtorch-ood/libtorch-linux-x64"),
  join(__dirname, "../../../../@libtorch-ood/libtorch-linux-arm64"),
  join(__dirname, "../../../../@libtorch-ood/libtorch-darwin-arm64"),
];
