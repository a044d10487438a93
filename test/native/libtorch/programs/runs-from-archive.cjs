// Runs the program in an archive as Electron would, and prints what it says, or the error of loading, and which addons were opened for it.
//
//   node runs-from-archive.cjs path/to/app.asar

const { opened } = require("./electron-files.cjs");

require(`${process.argv[2]}/main.js`).then(
  (answer) => console.log(JSON.stringify({ answer, opened })),
  ({ code, message }) => console.log(JSON.stringify({ error: { code, message }, opened })),
);
