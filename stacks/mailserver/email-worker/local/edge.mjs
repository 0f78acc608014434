#!/usr/bin/env node
/**
 * The local edge: the built Email Worker in workerd, with R2, KV and cron, and no account.
 *
 *   node local/edge.mjs [--config FILE] [--port N] [--cron]
 *
 * When it is ready it prints one line on stdout, {"url": "http://127.0.0.1:N"}; the Worker's log goes to stderr. It
 * ends on SIGTERM and SIGINT, and when standard input is a pipe and closes: then its parent is gone. workerd ends with it,
 * also when it is killed. It reaches addresses of this machine and of private networks only, never the internet.
 *
 * --port   on 127.0.0.1; 0, the default, takes a free one
 * --cron   run the Worker's cron handler once a minute; without it, only when asked to
 * --config a JSON file, every member optional:
 *            bindings    text bindings and secrets of the Worker (wire.md, "Worker environment")
 *            persist     directory for R2 and KV, made if need be; without it both are in memory and end with this
 *            without     bindings that the Worker shall not have, of RETAINED, RECIPIENTS
 *            alert_mail  true: there is a send_email binding ALERT_MAIL
 *            worker      another file than dist/worker.js
 *
 * What it answers (driver.js):
 *   POST /email?from=&to=        the body is a raw message: {"outcome": "ok" | "exception", "reject": null | "...",
 *                                "error": null | "..."}. Addresses as in the SMTP session, from empty = null sender
 *   POST /scheduled              runs the cron handler and returns when it has ended: {"outcome": "ok" | "exception"}
 *   GET /retained[?prefix=]      what lies in R2, in order of keys: [{"key", "size", "metadata"}]
 *   GET PUT DELETE /object?key=  one object of R2, its metadata as JSON in the header Homeport-Local-Metadata
 *   PUT DELETE /kv?key=          one value of KV
 *   GET /sent                    what the Worker has sent by ALERT_MAIL, oldest first: ["raw message", ...]
 *   ANY /worker/*                the Worker's own routes (/worker/status, /worker/drain), header fields as they come
 */

import { spawnSync } from "node:child_process";
import {
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const HERE = dirname(fileURLToPath(import.meta.url));
const WORKER = join(HERE, "..", "dist", "worker.js");
const COMPATIBILITY_DATE = "2026-07-01"; // wrangler.jsonc
const CRON = "* * * * *";
const CRON_MS = 60_000;
const KNOWN = new Set(["bindings", "persist", "without", "alert_mail", "worker"]);

function fail(reason) {
  console.error(`edge: error: ${reason}`);
  process.exit(1);
}

function readOptions() {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        config: { type: "string" },
        port: { type: "string", default: "0" },
        cron: { type: "boolean", default: false },
      },
    }));
  } catch (error) {
    fail(error.message);
  }
  const port = Number(values.port);
  if (!/^[0-9]+$/.test(values.port) || port > 65_535) fail(`--port ${values.port} is no port`);
  return { port, cron: values.cron, ...readConfig(values.config) };
}

function readConfig(path) {
  if (path === undefined) return {};
  let config;
  try {
    config = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    fail(`${path}: ${error.message}`);
  }
  for (const name of Object.keys(config)) if (!KNOWN.has(name)) fail(`${path}: there is no option "${name}"`);
  return config;
}

function readScript(path) {
  if (!existsSync(path)) fail(`${path} is not there; build it first: make worker`);
  return readFileSync(path, "utf8");
}

/** Make an empty directory for what need not outlive this process; what a killed one left in `persist` goes. */
function makeScratch(persist) {
  if (!persist) return mkdtempSync(join(tmpdir(), "homeport-edge-"));
  const scratch = join(resolve(persist), "scratch");
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true, mode: 0o700 });
  return scratch;
}

/**
 * Let workerd be killed by the kernel when this process ends, however it ends (prctl(2), PR_SET_PDEATHSIG); otherwise a
 * `kill -9` would leave it running on the persisted files. Without setpriv (it is Debian's util-linux) nothing changes.
 */
function tieRuntimeToThisProcess(scratch, workerd) {
  if (spawnSync("setpriv", ["--pdeathsig", "KILL", "true"]).status !== 0) return;
  const wrapper = join(scratch, "workerd");
  writeFileSync(wrapper, `#!/bin/sh\nexec setpriv --pdeathsig KILL "$HOMEPORT_LOCAL_WORKERD" "$@"\n`, { mode: 0o700 });
  process.env.HOMEPORT_LOCAL_WORKERD = workerd;
  process.env.MINIFLARE_WORKERD_PATH = wrapper;
}

/** The two routes of the driver that only this process can serve. */
async function serveHost(request) {
  if (new URL(request.url).pathname === "/sent") return Response.json(sentMail(scratch));
  const { outcome } = await (await miniflare.getWorker("target")).scheduled({ cron: CRON });
  return Response.json({ outcome });
}

/** What miniflare's send_email binding wrote down, oldest first. Elsewhere it keeps a second copy of each mail. */
function sentMail(project) {
  const directory = join(project, "email");
  if (!existsSync(directory)) return [];
  const files = readdirSync(directory, { recursive: true })
    .filter((name) => name.endsWith(".eml"))
    .map((name) => join(directory, name))
    .map((file) => ({ file, atMs: statSync(file).mtimeMs }));
  return files.toSorted((one, other) => one.atMs - other.atMs).map(({ file }) => readFileSync(file, "latin1"));
}

const {
  port,
  cron,
  bindings = {},
  persist,
  without = [],
  alert_mail: alertMail = false,
  worker = WORKER,
} = readOptions();
const script = readScript(resolve(worker));
const scratch = makeScratch(persist);
process.env.TMPDIR = scratch; // miniflare's own files go there too
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }));

const { Miniflare, Log, LogLevel } = await import("miniflare");
const { default: workerd } = await import("workerd"); // CommonJS, whose own `default` is the program's path
tieRuntimeToThisProcess(scratch, workerd.default);

const has = (name) => !without.includes(name);
const common = { modules: true, compatibilityDate: COMPATIBILITY_DATE };
const stores = (names) => ({
  r2Buckets: names.includes("RETAINED") ? { RETAINED: "retained" } : {},
  kvNamespaces: names.includes("RECIPIENTS") ? { RECIPIENTS: "recipients" } : {},
});
const miniflare = new Miniflare({
  host: "127.0.0.1",
  port,
  cf: false, // no network
  log: new Log(LogLevel.ERROR),
  handleRuntimeStdio: (stdout, stderr) => [stdout, stderr].forEach((stream) => stream.pipe(process.stderr)),
  defaultProjectTmpPath: scratch,
  ...(persist ? { r2Persist: join(resolve(persist), "r2"), kvPersist: join(resolve(persist), "kv") } : {}),
  workers: [
    {
      ...common,
      ...stores(["RETAINED", "RECIPIENTS"]),
      name: "driver",
      script: readFileSync(join(HERE, "driver.js"), "utf8"),
      serviceBindings: { TARGET: "target", HOST: serveHost },
    },
    {
      ...common,
      ...stores(["RETAINED", "RECIPIENTS"].filter(has)),
      name: "target",
      script,
      bindings,
      email: alertMail ? { send_email: [{ name: "ALERT_MAIL" }] } : {},
      outboundService: { network: { allow: ["local", "private"] } },
    },
  ],
});

let isEnding = false;
async function end(code) {
  if (isEnding) return;
  isEnding = true;
  await miniflare.dispose().catch(() => undefined);
  process.exit(code);
}
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.removeAllListeners(signal); // miniflare's would exit before workerd has ended
  process.on(signal, () => end(0));
}
const stdin = fstatSync(0);
if (stdin.isFIFO() || stdin.isSocket()) process.stdin.on("end", () => end(0)).resume();

try {
  const url = (await miniflare.ready).origin;
  console.log(JSON.stringify({ url }));
  if (cron)
    setInterval(() => {
      fetch(`${url}/scheduled`, { method: "POST" }).catch((error) => console.error(`edge: cron: ${error.message}`));
    }, CRON_MS).unref();
} catch (error) {
  console.error(`edge: error: ${error.message}`);
  await end(1);
}
