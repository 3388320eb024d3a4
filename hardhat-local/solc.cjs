// Speaks the part of the native solc command line that py-solc-x, forge and slither use, over npm's wasm compiler.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const COMBINED_FIELDS = {
  abi: ["abi", (c) => c.abi],
  asm: ["evm.legacyAssembly", (c) => c.evm.legacyAssembly],
  bin: ["evm.bytecode.object", (c) => c.evm.bytecode.object],
  "bin-runtime": ["evm.deployedBytecode.object", (c) => c.evm.deployedBytecode.object],
  devdoc: ["devdoc", (c) => c.devdoc],
  hashes: ["evm.methodIdentifiers", (c) => c.evm.methodIdentifiers],
  metadata: ["metadata", (c) => c.metadata],
  opcodes: ["evm.bytecode.opcodes", (c) => c.evm.bytecode.opcodes],
  srcmap: ["evm.bytecode.sourceMap", (c) => c.evm.bytecode.sourceMap],
  "srcmap-runtime": ["evm.deployedBytecode.sourceMap", (c) => c.evm.deployedBytecode.sourceMap],
  "storage-layout": ["storageLayout", (c) => c.storageLayout],
  userdoc: ["userdoc", (c) => c.userdoc],
};

const USAGE = `Usage: solc [options] [remapping=target ...] [file ...]
  --version                 print the compiler's version
  --standard-json [file]    compile a standard JSON input (from stdin without a file) to standard output
  --combined-json fields    compile files; fields from: ${Object.keys(COMBINED_FIELDS).join(",")},ast
  --base-path dir           root of source names       --include-path dir   further roots for imports
  --allow-paths dir,...     directories that may be read
  --optimize  --optimize-runs n  --via-ir  --evm-version name  --metadata-hash none|ipfs|bzzr1  --no-cbor-metadata`;

class UsageError extends Error {}

function parse(argv) {
  const options = {
    mode: null,
    basePath: "",
    includePaths: [],
    allowPaths: [],
    files: [],
    remappings: [],
    optimizer: { enabled: false },
    metadata: {},
  };
  const args = argv.flatMap((arg) => {
    const equals = arg.indexOf("=");
    return arg.startsWith("--") && equals > 0 ? [arg.slice(0, equals), arg.slice(equals + 1)] : [arg];
  });
  const value = (flag) => {
    if (args.length === 0) throw new UsageError(`${flag} needs a value`);
    return args.shift();
  };
  while (args.length > 0) {
    const arg = args.shift();
    if (arg === "--version") options.mode = "version";
    else if (arg === "--help") options.mode = "help";
    else if (arg === "--standard-json") options.mode = "standard-json";
    else if (arg === "--combined-json") [options.mode, options.fields] = ["combined-json", value(arg).split(",")];
    else if (arg === "--base-path") options.basePath = value(arg);
    else if (arg === "--include-path") options.includePaths.push(value(arg));
    else if (arg === "--allow-paths") options.allowPaths.push(...value(arg).split(",").filter(Boolean));
    else if (arg === "--optimize") options.optimizer.enabled = true;
    else if (arg === "--optimize-runs") options.optimizer.runs = Number(value(arg));
    else if (arg === "--via-ir") options.viaIR = true;
    else if (arg === "--evm-version") options.evmVersion = value(arg);
    else if (arg === "--metadata-hash") options.metadata.bytecodeHash = value(arg);
    else if (arg === "--no-cbor-metadata") options.metadata.appendCBOR = false;
    else if (arg === "-" || !arg.startsWith("-")) (arg.includes("=") ? options.remappings : options.files).push(arg);
    else throw new UsageError(`unknown option ${arg}`);
  }
  return options;
}

/** Answers the compiler's requests for a source by name, as the native compiler's file reader does. */
function sourceReader(options) {
  const roots = [options.basePath || ".", ...options.includePaths].map((root) => path.resolve(root));
  const inputs = options.files.map((file) => path.dirname(path.resolve(file)));
  const targets = options.remappings.map((remapping) => path.resolve(roots[0], remapping.split("=")[1]));
  const allowed = [...roots, ...inputs, ...targets, ...options.allowPaths.map((dir) => path.resolve(dir))]
    .filter((dir) => fs.existsSync(dir))
    .map((dir) => fs.realpathSync(dir));
  return (name) => {
    const bare = name.startsWith("file://") ? name.slice("file://".length) : name;
    const found = [...new Set(roots.map((root) => path.resolve(root, bare)))].filter((file) => fs.existsSync(file));
    if (found.length === 0) return { error: `File not found. Searched the following locations: "${roots.join('", "')}".` };
    if (found.length > 1) return { error: `Ambiguous import. Multiple matching files found: "${found.join('", "')}".` };
    const file = fs.realpathSync(found[0]);
    if (!allowed.some((dir) => file === dir || file.startsWith(dir + path.sep)))
      return { error: "File outside of allowed directories." };
    return { contents: fs.readFileSync(file, "utf8") };
  };
}

function compile(input, options) {
  return require("solc").compile(input, { import: sourceReader(options) });
}

function standardJson(options) {
  const [file] = options.files;
  const input = fs.readFileSync(file === undefined || file === "-" ? 0 : file, "utf8");
  process.stdout.write(compile(input, options) + "\n");
  return 0;
}

/** The name the native compiler gives a file of its command line: relative to the root that holds it. */
function sourceName(file, options) {
  const full = path.resolve(file);
  for (const root of [options.basePath || ".", ...options.includePaths].map((dir) => path.resolve(dir)))
    if (full.startsWith(root + path.sep)) return full.slice(root.length + 1);
  return full;
}

function combinedJson(options) {
  const { fields, files, remappings, optimizer, viaIR, evmVersion, metadata } = options;
  const unknown = fields.filter((field) => field !== "ast" && !(field in COMBINED_FIELDS));
  if (unknown.length > 0) throw new UsageError(`--combined-json does not know ${unknown.join(", ")}`);
  if (files.length === 0) throw new UsageError("no input files given");

  const contractFields = fields.filter((field) => field !== "ast");
  const output = JSON.parse(
    compile(
      JSON.stringify({
        language: "Solidity",
        sources: Object.fromEntries(
          files.map((file) => [sourceName(file, options), { content: fs.readFileSync(file, "utf8") }]),
        ),
        settings: {
          remappings,
          optimizer,
          viaIR,
          evmVersion,
          metadata,
          outputSelection: {
            "*": { "*": contractFields.map((field) => COMBINED_FIELDS[field][0]), "": fields.includes("ast") ? ["ast"] : [] },
          },
        },
      }),
      options,
    ),
  );
  const problems = output.errors ?? [];
  for (const problem of problems) process.stderr.write(problem.formattedMessage + "\n");
  if (problems.some((problem) => problem.severity === "error")) return 1;

  const contracts = {};
  for (const [source, members] of Object.entries(output.contracts ?? {}))
    for (const [name, contract] of Object.entries(members))
      contracts[`${source}:${name}`] = Object.fromEntries(
        contractFields.map((field) => [field, COMBINED_FIELDS[field][1](contract)]),
      );
  const sources = Object.entries(output.sources).sort(([, a], [, b]) => a.id - b.id);
  const combined = { contracts, sourceList: sources.map(([name]) => name) };
  if (fields.includes("ast")) combined.sources = Object.fromEntries(sources.map(([name, { ast, id }]) => [name, { AST: ast, id }]));
  combined.version = require("solc").version();
  process.stdout.write(JSON.stringify(combined) + "\n");
  return 0;
}

function main(argv) {
  const options = parse(argv);
  if (options.mode === "version") {
    const { version } = require("solc");
    process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version()}\n`);
    return 0;
  }
  if (options.mode === "standard-json") return standardJson(options);
  if (options.mode === "combined-json") return combinedJson(options);
  process.stdout.write(USAGE + "\n");
  return options.mode === "help" ? 0 : 1;
}

process.stdout.on("error", (error) => {
  if (error.code !== "EPIPE") throw error; // a reader that stops early, as in `solc ... | head`, is no fault
});
try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof UsageError) && error.code === undefined) throw error;
  process.stderr.write(`solc: ${error.message}\n`);
  process.exitCode = 1;
}
