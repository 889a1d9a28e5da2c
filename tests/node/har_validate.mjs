// Judges HAR files by har-schema: one line of JSON for each, the errors of its validator.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const Ajv = require("ajv");
const ajv = new Ajv({ allErrors: true, unknownFormats: "ignore" });
ajv.addMetaSchema(require("ajv/lib/refs/json-schema-draft-06.json"));
ajv.addSchema(Object.values(require("har-schema")));
const judge = ajv.getSchema("har.json#");
for (const name of process.argv.slice(2)) {
  judge(JSON.parse(readFileSync(name, "utf-8")));
  console.log(JSON.stringify(judge.errors ?? []));
}
