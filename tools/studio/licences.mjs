// The licences of what is in the bundle, to be shipped beside it.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const MODULES = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const MAP = `world.json is made from Natural Earth's map (naturalearthdata.com), which is in the public domain, as the npm
package world-atlas ships it.`;

/** Returns the licence of every package that one of these inputs of the bundler belongs to. */
export function licences(inputs) {
  const packages = new Set(inputs.map((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1]).filter(Boolean));
  const texts = [...packages].sort().map((name) => {
    const folder = join(MODULES, name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}`;
  });
  const rule = `\n\n${"-".repeat(80)}\n\n`;
  return ["studio.js holds the packages below.", MAP, ...texts].join(rule) + "\n";
}
