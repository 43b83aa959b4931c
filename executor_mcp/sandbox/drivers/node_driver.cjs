// Runs a JavaScript program and reports a JSON value: the value of its last expression when it is a script, its
// default export when it is a module (it uses import, export or a top-level await). A promise is awaited.
// The program finds its input as globalThis.input_data. Its result leaves by descriptor 3.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");
const { createRequire } = require("node:module");
const { pathToFileURL } = require("node:url");
const { inspect } = require("node:util");

const RESULT_DESCRIPTOR = 3;

function report(value) {
  if (value === undefined || value === null) return;
  let text;
  try {
    text = JSON.stringify(value);
  } catch {
    text = undefined;
  }
  const bytes = Buffer.from(text === undefined ? JSON.stringify(inspect(value)) : text);
  try {
    for (let sent = 0; sent < bytes.length; ) sent += fs.writeSync(RESULT_DESCRIPTOR, bytes, sent);
  } catch {
    // The program closed the descriptor: it wants no result.
  }
}

// A program that is no script is a module, unless nothing in it could make it one: then its error is the script's.
function asScript(source, file) {
  try {
    return new vm.Script(source, { filename: file, importModuleDynamically: (name) => import(resolve(name, file)) });
  } catch (error) {
    if (error instanceof SyntaxError && /\b(import|export|await)\b/.test(source)) return undefined;
    throw error;
  }
}

function resolve(name, file) {
  return /^\.{0,2}\//.test(name) ? pathToFileURL(path.resolve(path.dirname(file), name)).href : name;
}

async function main() {
  const file = process.argv[2];
  process.argv.splice(1, 2, file);
  globalThis.input_data = JSON.parse(fs.readFileSync(process.env.INPUT_DATA, "utf8"));
  const script = asScript(fs.readFileSync(file, "utf8"), file);
  if (script === undefined) {
    report(await (await import(pathToFileURL(file).href)).default);
    return;
  }
  const module = { exports: {} };
  Object.assign(globalThis, {
    require: createRequire(file),
    module,
    exports: module.exports,
    __filename: file,
    __dirname: path.dirname(file),
  });
  report(await script.runInThisContext());
}

main().catch((error) => {
  process.exitCode = 1;
  process._rawDebug(error instanceof Error && error.stack ? error.stack : `Uncaught ${inspect(error)}`);
  process.exit(1);
});
