// A package registry on the loopback interface that serves the tarballs in a directory, so that package managers install as
// they do from the public one: by name, with integrity, lock files and optional dependencies, and without a network.

import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

/** Starts it; a tarball put into the directory later is served as well. @returns its address and a function that ends it */
export async function startRegistry(directory) {
  const known = new Map();
  const server = http.createServer((request, response) => {
    const name = decodeURIComponent(new URL(request.url, "http://localhost").pathname.slice(1));
    if (name.startsWith("-/")) return sendFile(response, path.join(directory, path.basename(name)));
    const versions = readAll(directory, known).filter(({ manifest }) => manifest.name === name);
    if (versions.length === 0) return send(response, 404, { error: `no package ${name} here` });
    const address = `http://127.0.0.1:${server.address().port}`;
    send(response, 200, document(name, versions, address));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { address: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

function document(name, versions, address) {
  const published = "2020-01-01T00:00:00.000Z"; // long ago: package managers may refuse what is very new
  const entries = versions.map(({ file, manifest, integrity, shasum }) => [
    manifest.version,
    { ...manifest, dist: { tarball: `${address}/-/${file}`, integrity, shasum } },
  ]);
  const newest = versions.map(({ manifest }) => manifest.version).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const time = Object.fromEntries(["created", "modified", ...newest].map((version) => [version, published]));
  return { name, "dist-tags": { latest: newest.at(-1) }, versions: Object.fromEntries(entries), time };
}

function readAll(directory, known) {
  const files = fs.readdirSync(directory).filter((file) => file.endsWith(".tgz"));
  for (const file of files) if (!known.has(file)) known.set(file, readTarball(directory, file));
  return files.map((file) => known.get(file));
}

function readTarball(directory, file) {
  const bytes = fs.readFileSync(path.join(directory, file));
  const manifest = spawnSync("tar", ["-xzOf", path.join(directory, file), "package/package.json"], { encoding: "utf8" }).stdout;
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  return { file, manifest: JSON.parse(manifest), integrity, shasum: createHash("sha1").update(bytes).digest("hex") };
}

function send(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function sendFile(response, file) {
  if (!fs.existsSync(file)) return send(response, 404, { error: "no such tarball" });
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": fs.statSync(file).size });
  fs.createReadStream(file).pipe(response);
}
