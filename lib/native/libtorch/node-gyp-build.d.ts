// The one function of node-gyp-build that is used here; the package brings no types.

declare module "node-gyp-build" {
  const nodeGypBuild: {
    /** The first .node of the first directory that fits this platform; throws where there is none. */
    path(packageDirectory: string): string;
  };
  export default nodeGypBuild;
}
