// Which room of lib/ may import which: arrows point downwards, and `npm run lint` fails on any other. A room not named in a line imports nothing
// of the others; types count like values.

const rooms = {
  core: [],
  protocols: ["core"],
  metrics: ["core", "protocols"],
  native: ["core"],
  formats: ["core", "native"],
  images: ["core", "native", "formats"],
  statistics: ["core", "protocols", "native", "formats"],
  data: ["core", "native", "formats", "images"],
  models: ["core", "protocols", "native", "formats", "images", "data"],
  scores: ["core", "protocols", "metrics", "native", "formats", "statistics"],
  detector: ["core", "protocols", "metrics", "native", "formats", "images", "statistics", "data", "models", "scores"],
  experiment: ["core", "formats"],
};
const everyRoom = [...Object.keys(rooms), "cli"];

// The public interface, lib/index.ts, serves the two programmes on top: experiment knows nothing else but the foundation, cli knows experiment by its
// own interface alone.
const fromIndex = ["experiment", "cli"];

const forbidden = Object.entries(rooms).map(([room, allowed]) => ({
  name: `${room}-imports-downwards`,
  comment: `lib/${room}/ may import ${allowed.length > 0 ? allowed.join(", ") : "nothing"} of the other rooms`,
  severity: "error",
  from: { path: `^lib/${room}/` },
  to: { path: `^lib/(${everyRoom.filter((other) => other !== room && !allowed.includes(other)).join("|")})/` },
}));

export default {
  forbidden: [
    ...forbidden,
    {
      name: "index-is-for-programmes",
      comment: "lib/index.ts is what users see; rooms below it would make a circle",
      severity: "error",
      from: { path: "^lib/", pathNot: `^lib/(${fromIndex.join("|")})/` },
      to: { path: "^lib/index\\.ts$" },
    },
    {
      name: "cli-knows-experiments-by-their-interface",
      severity: "error",
      from: { path: "^lib/cli/" },
      to: { path: "^lib/experiment/", pathNot: "^lib/experiment/index\\.ts$" },
    },
    { name: "no-circles", severity: "error", from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } } },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
  },
};
