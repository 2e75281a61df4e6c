// Bundles the studio's page into the Python package. `make studio` runs it; what it writes is committed.
//
// The bundle begins with a stamp, the digest of all sources: a test tells by it whether the bundle is theirs.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { licences } from "./licences.mjs";
import { world } from "./world.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const OUT = join(HERE, "../../proxy/modelfence/workbench/studio/static");

const result = await build({
  absWorkingDir: HERE,
  entryPoints: { studio: "src/main.ts" },
  outdir: OUT,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: `/* sources: ${stamp()} */`, css: `/* sources: ${stamp()} */` },
  metafile: true,
});
writeFileSync(join(OUT, "index.html"), readFileSync(join(HERE, "src/index.html")));
writeFileSync(join(OUT, "icon.svg"), readFileSync(join(HERE, "src/icon.svg")));
writeFileSync(join(OUT, "world.json"), JSON.stringify(world()) + "\n");
writeFileSync(join(OUT, "licences.txt"), licences(Object.keys(result.metafile.inputs)));

/** Returns the digest of all sources: of each file its path, a zero byte, its bytes and a zero byte, by path. */
function stamp() {
  const hash = createHash("sha256");
  const files = readdirSync(HERE, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath, entry.name)))
    .filter((path) => !path.startsWith("node_modules"));
  for (const path of files.sort()) {
    hash.update(path).update("\0").update(readFileSync(join(HERE, path))).update("\0");
  }
  return hash.digest("hex");
}
