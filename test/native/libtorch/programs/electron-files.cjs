// The part of Electron's file access that loading a library from an archive meets, under Node: files inside app.asar are read through @electron/asar,
// modules are found there, and process.dlopen gets an unpacked file's own path, or a copy in the temporary directory of a packed one. The real one is
// C++ and covers all of `fs`. Gives `opened`: what the library handed to process.dlopen, and what that became.

const fs = require("node:fs");
const Module = require("node:module");
const { tmpdir } = require("node:os");
const path = require("node:path");
const asar = require("@electron/asar");

exports.opened = [];

/** The archive and the entry of a path in one; undefined for other paths. */
function split(file) {
  const found = /^(.*\.asar)(?:\/(.*))?$/.exec(path.normalize(String(file)));
  if (found === null) return undefined;
  const [, archive, inside = ""] = found;
  let entry = asar.getRawHeader(archive).header;
  for (const name of inside.split("/").filter(Boolean)) entry = entry?.files?.[name];
  return { archive, inside, entry };
}

function override(name, inArchive) {
  const original = fs[name];
  fs[name] = function (file, ...rest) {
    const place = split(file);
    return place === undefined ? original.call(fs, file, ...rest) : inArchive(place, ...rest);
  };
}

const missing = ({ archive, inside }) => Object.assign(new Error(`ENOENT, ${inside} not found in ${archive}`), { code: "ENOENT" });

override("existsSync", ({ entry }) => entry !== undefined);
override("readdirSync", (place) => {
  if (place.entry?.files === undefined) throw missing(place);
  return Object.keys(place.entry.files);
});
override("readFileSync", (place, options) => {
  if (place.entry === undefined || place.entry.files !== undefined) throw missing(place);
  const bytes = asar.extractFile(place.archive, place.inside);
  const encoding = typeof options === "string" ? options : options?.encoding;
  return encoding ? bytes.toString(encoding) : bytes;
});
override("realpathSync", (place) => {
  if (place.entry === undefined) throw missing(place);
  return path.join(fs.realpathSync(path.dirname(place.archive)), path.basename(place.archive), place.inside);
});

const { dlopen } = process;
process.dlopen = (holder, file, ...rest) => {
  const place = split(file);
  let opened = file;
  if (place?.entry?.unpacked) opened = path.join(`${place.archive}.unpacked`, place.inside);
  else if (place !== undefined) {
    opened = path.join(fs.mkdtempSync(path.join(tmpdir(), "electron-files-")), path.basename(file));
    fs.writeFileSync(opened, fs.readFileSync(file));
    process.once("exit", () => fs.rmSync(path.dirname(opened), { recursive: true }));
  }
  exports.opened.push({ asked: file, opened });
  return dlopen.call(process, holder, opened, ...rest);
};

const resolveFilename = Module._resolveFilename;
Module._resolveFilename = function (request, parent, ...rest) {
  const from = split(request) ? request : parent?.filename;
  if (Module.isBuiltin(request) || from === undefined || split(from) === undefined)
    return resolveFilename.call(this, request, parent, ...rest);
  for (const place of candidates(request, from)) {
    const file = fileAt(place);
    if (file !== undefined) return file;
  }
  throw Object.assign(new Error(`Cannot find module '${request}' from ${from}`), { code: "MODULE_NOT_FOUND" });
};

function candidates(request, from) {
  if (path.isAbsolute(request)) return [request];
  if (request.startsWith(".")) return [path.join(path.dirname(from), request)];
  const { archive } = split(from);
  const places = [];
  for (let at = path.dirname(from); at.startsWith(archive); at = path.dirname(at)) places.push(path.join(at, "node_modules", request));
  return places;
}

function fileAt(place) {
  for (const file of [place, `${place}.js`]) {
    const entry = split(file)?.entry;
    if (entry !== undefined && entry.files === undefined) return file;
  }
  const manifest = path.join(place, "package.json");
  const main = fs.existsSync(manifest) ? (JSON.parse(fs.readFileSync(manifest, "utf8")).main ?? "index.js") : "index.js";
  const file = path.join(place, main);
  return fs.existsSync(file) ? file : undefined;
}
