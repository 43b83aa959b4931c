// Runs a JavaScript program and reports a JSON value: the default export of a module that has one, else the value of
// the last statement where that is an expression. A promise is awaited. A program is a module when it uses import, export
// or a top-level await, and else a script. What has no JSON is {type, repr}.
// The program finds its input as globalThis.input_data. Its result leaves by descriptor 3.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const vm = require("node:vm");
const { createRequire, isBuiltin } = require("node:module");
const { pathToFileURL } = require("node:url");
const { inspect, types } = require("node:util");

const RESULT_DESCRIPTOR = 3;
const REPR_CHARACTERS = 20000;
const UNSETTLED = 13;
const HAVE_NO_JSON = [
  types.isMap, types.isSet, types.isRegExp, types.isNativeError, types.isPromise, types.isAnyArrayBuffer,
  types.isArrayBufferView, types.isWeakMap, types.isWeakSet,
  (value) => ["bigint", "function", "symbol"].includes(typeof value),
  (value) => typeof value === "number" && !Number.isFinite(value),
];

function represented(value) {
  let text;
  try {
    text = inspect(value);
  } catch {
    text = "<cannot be inspected>";
  }
  const kind = (Object(value) === value && value.constructor?.name) || typeof value;
  const shown = { type: String(kind).slice(0, 200), repr: text.slice(0, REPR_CHARACTERS) };
  return text.length > REPR_CHARACTERS ? { ...shown, truncated: true } : shown;
}

function report(value) {
  if (value === undefined || value === null) return;
  let text;
  try {
    text = JSON.stringify(value, function (key, given) {
      const original = this[key];
      return HAVE_NO_JSON.some((is) => is(original)) ? represented(original) : given;
    });
  } catch {
    // It holds itself, or breaks when it is asked.
    text = JSON.stringify(represented(value));
  }
  const bytes = Buffer.from(text ?? JSON.stringify(represented(value)));
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
  if (/^\.{0,2}\//.test(name)) return pathToFileURL(path.resolve(path.dirname(file), name)).href;
  if (isBuiltin(name) || name.includes(":")) return name;
  try {
    const found = createRequire(file).resolve(name);
    // A package that was given has files for `import` and others for `require`; from here they are chosen by the former.
    return found.startsWith("/node_modules/") ? name : pathToFileURL(found).href;
  } catch {
    return name;
  }
}

// The parser that Node.js has for its own prompt.
function parser() {
  const source = process.binding("natives")["internal/deps/acorn/acorn/dist/acorn"];
  const exports = {};
  vm.compileFunction(source, ["exports", "module"])(exports, { exports });
  return exports;
}

// The module with its last statement's value kept, or undefined where that is no expression or there is another result.
function keepingLastValue(source) {
  let body;
  try {
    body = parser().parse(source, { ecmaVersion: "latest", sourceType: "module", allowHashBang: true }).body;
  } catch {
    // Newer than the parser, or wrong: Node.js will say so itself.
    return undefined;
  }
  const last = body.at(-1);
  const exported = body.some((one) => one.type === "ExportDefaultDeclaration");
  if (exported || last?.type !== "ExpressionStatement") return undefined;
  const value = source.slice(last.start, last.end).replace(/;$/, "");
  return `${source.slice(0, last.start)}import.meta.lastValue = (${value});${source.slice(last.end)}`;
}

async function runModule(source, file) {
  const url = pathToFileURL(file).href;
  const kept = vm.SourceTextModule === undefined ? undefined : keepingLastValue(source);
  if (kept === undefined) return (await import(url)).default;
  let meta;
  const load = async (name, _, { attributes = {}, assert = attributes } = {}) => {
    const options = Object.keys(assert).length ? { assert, with: assert } : undefined;
    return options ? import(resolve(name, file), options) : import(resolve(name, file));
  };
  const module = withoutItsWarning(
    () =>
      new vm.SourceTextModule(kept, {
        identifier: url,
        initializeImportMeta: (given) => {
          meta = Object.assign(given, { url, filename: file, dirname: path.dirname(file) });
        },
        importModuleDynamically: load,
      }),
  );
  await module.link(async (name, _, extra) => {
    const loaded = await load(name, _, extra);
    const names = Object.keys(loaded);
    return new vm.SyntheticModule(names, function () {
      for (const each of names) this.setExport(each, loaded[each]);
    });
  });
  await module.evaluate();
  return meta?.lastValue;
}

// Modules made of text are called experimental on the program's standard error, which is not its doing.
function withoutItsWarning(make) {
  const emit = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return make();
  } finally {
    process.emitWarning = emit;
  }
}

async function main() {
  const file = process.argv[2];
  process.argv.splice(1, 2, file);
  globalThis.input_data = JSON.parse(fs.readFileSync(process.env.INPUT_DATA, "utf8"));
  const source = fs.readFileSync(file, "utf8");
  const script = asScript(source, file);
  if (script === undefined) {
    let settled = false;
    process.once("beforeExit", () => {
      if (settled) return;
      process._rawDebug("a top-level await never settled");
      process.exit(UNSETTLED);
    });
    const value = await runModule(source, file);
    settled = true;
    report(await value);
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
