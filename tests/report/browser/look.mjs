// Looks at pages in Chromium and says what it saw, as JSON on standard output.
//
// The job, a JSON file named on the command line: `chromium` (the program), `pages` (name to address), `files`
// (name to a file whose HTML is validated), `shots` (a folder, and names of pages to take pictures of),
// `unjudged` (names of pages that axe does not judge, since it has judged the same page at another address),
// `outlines` (addresses of pages whose elements are listed and nothing else).
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { HtmlValidate, StaticConfigLoader } from "html-validate";
import { chromium } from "playwright-core";

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: job.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update"],
});

/** A tab that notes what the console, the page and the network complain of. */
async function tab(scheme) {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width: 1440, height: 900 } });
  page.setDefaultTimeout(120_000);
  const complaints = [];
  page.on("console", (message) => complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("dialog", (dialog) => { complaints.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()}`));
  return { page, complaints };
}

/** What somebody sees, or does not, in one page at both widths. */
async function look(page, address, scheme, complaints, judged) {
  const seen = { scrolls: [], broken: [], violations: [] };
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(address);
  for (const width of [1440, 375]) {
    await page.setViewportSize({ width, height: 900 });
    const found = await page.evaluate(() => ({
      needed: document.documentElement.scrollWidth,
      given: document.documentElement.clientWidth,
      broken: [...document.images].filter((one) => !one.naturalWidth).map((one) => one.src),
      styled: getComputedStyle(document.body).maxWidth !== "none",
    }));
    if (found.needed > found.given) seen.scrolls.push(`${width}: ${found.needed}`);
    seen.broken.push(...found.broken);
    seen.styled = found.styled;
  }
  seen.complaints = [...complaints]; // before axe, which asks for more than the page does
  if (!judged) return seen;
  await page.evaluate(axe);
  // Colours alone differ between the schemes.
  const rules = scheme === "dark" ? { runOnly: { type: "rule", values: ["color-contrast"] } } : {};
  const options = { ...rules, resultTypes: ["violations"], preload: false };
  const result = await page.evaluate((o) => globalThis.axe.run(document, o), options);
  for (const one of result.violations) seen.violations.push(`${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
  return seen;
}

const found = { pages: {}, outlines: [], invalid: {} };
for (const scheme of Object.keys(job.pages ?? {}).length ? ["light", "dark"] : []) {
  const { page, complaints } = await tab(scheme);
  for (const [name, address] of Object.entries(job.pages)) {
    complaints.length = 0;
    found.pages[`${name} ${scheme}`] = await look(page, address, scheme, complaints, !job.unjudged?.includes(name));
    if (job.shots?.names.includes(name)) {
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.screenshot({ path: `${job.shots.folder}/${name}-${scheme}.png`, fullPage: true });
    }
  }
  await page.close();
}
if (job.outlines?.length) {
  const { page, complaints } = await tab("light");
  for (const address of job.outlines) {
    complaints.length = 0;
    await page.goto(address);
    const outline = await page.evaluate(() => [...document.querySelectorAll("*")].map(
      (one) => `${one.tagName} ${one.getAttributeNames().sort().join(" ")}`).sort());
    const leads = await page.evaluate(() => [...document.querySelectorAll("[href], [src], [action]")].map(
      (one) => (one.getAttribute("href") ?? one.getAttribute("src") ?? one.getAttribute("action")).slice(0, 13)));
    found.outlines.push({ outline, leads: [...new Set(leads.map((one) => one.replace(/^#.*/, "#")))], complaints: [...complaints] });
  }
}
await browser.close();

const validator = new HtmlValidate(new StaticConfigLoader({ root: true, extends: ["html-validate:standard"] }));
for (const [name, file] of Object.entries(job.files ?? {})) {
  const report = await validator.validateString(readFileSync(file, "utf8"), name);
  const wrong = report.results.flatMap((one) => one.messages);
  found.invalid[name] = wrong.map((one) => `${one.ruleId} at line ${one.line}: ${one.message}`).slice(0, 10);
}
console.log(JSON.stringify(found));
