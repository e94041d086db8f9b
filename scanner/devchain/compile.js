// Reads a standard-JSON request on stdin, compiles it with the solc package below the given node_modules folder,
// resolves imports from that folder, writes the answer to stdout.
const fs = require("fs");
const path = require("path");

const modules = process.argv[2];
const solc = require(path.join(modules, "solc"));

function findImport(name) {
  try {
    return { contents: fs.readFileSync(path.join(modules, name), "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
}

const request = fs.readFileSync(0, "utf8");
process.stdout.write(solc.compile(request, { import: findImport }));
