// `node jco.mjs COMPONENT FOLDER [MAP]`: transpiles the component with jco, loads it with the folder
// open to it, and calls what it is told to, a call to a line:
//
//   {"interface": "reporter", "function": "reportStart", "arguments": ["i1", "{}"]}
//
// It says `{"ok": …}` or `{"err": …}` for each. MAP is a module that takes the place of
// `wasi:keyvalue` and `wasi:config`, for a component that has no providers of its own.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";

import { transpile } from "@bytecodealliance/jco-transpile";
import { filesystem } from "@bytecodealliance/preview2-shim";

const [component, folder, module] = process.argv.slice(2);
const map = module && {
  "wasi:keyvalue/*": `${pathToFileURL(resolve(module))}#*`,
  "wasi:config/*": `${pathToFileURL(resolve(module))}#config`,
};
const { files } = await transpile(component, { name: "plugin", outDir: "transpiled", map });
for (const [name, bytes] of Object.entries(files)) {
  mkdirSync(dirname(name), { recursive: true });
  writeFileSync(name, bytes);
}
// Without this, the component sees no folder at all.
filesystem._setPreopens(folder ? { "/data": resolve(folder) } : {});

const plugin = await import(pathToFileURL(resolve("transpiled/plugin.js")));
const json = (value) =>
  JSON.stringify(value, (_, part) => (typeof part === "bigint" ? Number(part) : part));
for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  let answer;
  try {
    answer = { ok: plugin[call.interface][call.function](...call.arguments) ?? null };
  } catch (error) {
    // A failure that the component returns is thrown as it is; all else is a fault.
    answer = error instanceof Error ? { fault: inspect(error) } : { err: error };
  }
  console.log(json(answer));
}
