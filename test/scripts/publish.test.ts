// scripts/publish.mjs refuses before it publishes anything: a tarball that was changed, a release without a platform.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../lib/core/package-root";

let directory: string;
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "publish-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const platforms = (JSON.parse(readFileSync(join(packageRoot, "packages", "platforms.json"), "utf8")) as { name: string }[]).map(
  ({ name }) => name,
);

// An npm that would say so if it were asked to publish.
function publish(...options: string[]) {
  writeFileSync(join(directory, "npm"), "#!/bin/sh\necho npm was called: $@\nexit 1\n", { mode: 0o755 });
  const program = join(packageRoot, "scripts", "publish.mjs");
  const PATH = `${directory}:${process.env.PATH}`;
  return spawnSync(process.execPath, [program, directory, ...options], { encoding: "utf8", env: { ...process.env, PATH } });
}

function folder(
  platform: string,
  names: string[],
  { content = "tarball", repository }: { content?: string; repository?: string } = {},
): void {
  const place = join(directory, `packages-${platform}`);
  mkdirSync(place);
  const integrity = `sha512-${createHash("sha512").update("tarball").digest("base64")}`;
  const list = names.map((name, i) => ({ name, version: "0.1.0", file: `${i}.tgz`, integrity, repository }));
  for (const { file } of list) writeFileSync(join(place, file), content);
  writeFileSync(join(place, "packages.json"), JSON.stringify(list));
}

test("a tarball that is not the one that was packed", () => {
  folder(platforms[0]!, ["libtorch-ood"], { content: "changed" });
  const { status, stdout, stderr } = publish("--dry-run");
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toMatch(/^publish: .*0\.tgz: expected sha512-.* as packages\.json says, found sha512-/);
});

test("a package of another platform than the folder's", () => {
  const [first, second] = platforms as [string, string];
  folder(first, [`@libtorch-ood/addon-${second}`]);
  const { status, stdout, stderr } = publish("--dry-run");
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(`expected some of libtorch-ood, @libtorch-ood/addon-${first}, @libtorch-ood/libtorch-${first}, found`);
});

test("a release that lacks a platform's addon names it", () => {
  const [missing, ...built] = platforms;
  for (const platform of built) folder(platform, ["libtorch-ood", `@libtorch-ood/addon-${platform}`]);
  const { status, stdout, stderr } = publish("--dry-run");
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(`no tarball of @libtorch-ood/addon-${missing}`);
});

test("a whole release: libtorch and the addons before the library, and it ends where npm fails", () => {
  for (const platform of platforms)
    folder(platform, ["libtorch-ood", `@libtorch-ood/addon-${platform}`, `@libtorch-ood/libtorch-${platform}`]);
  const { status, stdout, stderr } = publish("--dry-run");
  expect(status).toBe(1);
  expect(stdout).toMatch(new RegExp(`^npm was called: publish \\S+2\\.tgz --access public --dry-run\\n$`));
  expect(stderr).toContain("what is missing is published when this is run again");
});

test("a tarball that names the placeholder of package.json as its repository", () => {
  const { repository } = JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { repository: { url: string } };
  for (const platform of platforms) folder(platform, ["libtorch-ood", `@libtorch-ood/addon-${platform}`], { repository: repository.url });
  const { status, stdout, stderr } = publish();
  if (!repository.url.includes("OWNER")) return; // a release has named it
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("no repository in the package.json of");
});

test("a tarball that names no repository, which provenance needs, before any is published", () => {
  const [first, ...others] = platforms as [string, ...string[]];
  const repository = "git+https://example.org/owner/name.git";
  folder(first, ["libtorch-ood", `@libtorch-ood/addon-${first}`], { repository });
  for (const platform of others) folder(platform, [`@libtorch-ood/addon-${platform}`]);
  const { status, stdout, stderr } = publish();
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain(`no repository in the package.json of ${others.map((name) => `@libtorch-ood/addon-${name}`).join(", ")}`);
});
