/** The Worker's own routes, as `homeport edge` asks them. */

import { describe, expect, test } from "vitest";
import { KEY, NOON_MS, RECIPIENTS, RETAINED, World, arriving } from "../test/edge";
import { HEALTHY, ScriptedOrigin, receipt } from "../test/origin";
import type { Env } from "./environment";
import { receive } from "./receive";
import { route } from "./routes";
import { signedHeaders } from "./signature";

const EDGE = "https://homeport-mail.example.workers.dev";

async function ask(
  world: World,
  method: string,
  path: string,
  changed: Record<string, string> = {},
): Promise<Response> {
  const headers = await signedHeaders(KEY, world.nowMs / 1000, method, path.split("?")[0]!);
  for (const [name, value] of Object.entries(changed)) headers.set(name, value);
  return route(new Request(EDGE + path, { method, headers }), world);
}

describe("who may ask", () => {
  const refused: [string, Record<string, string>][] = [
    ["another key's name", { "Homeport-Key-Id": "2026-10" }],
    ["somebody else's signature", { "Homeport-Signature": `v1=${"0".repeat(64)}` }],
    ["no signature", { "Homeport-Signature": "" }],
    ["an old request", { "Homeport-Timestamp": String(NOON_MS / 1000 - 400) }],
  ];

  test.each(refused)("%s: 401, and nothing is drained", async (_, changed) => {
    const world = new World(await ScriptedOrigin.open({ messages: [receipt()] }));
    await receive(arriving(), new World(null));
    for (const [method, path] of [
      ["GET", "/status"],
      ["POST", "/drain"],
    ] as const) {
      const response = await ask(world, method, path, changed);
      expect(response.status).toBe(401);
      expect(response.headers.get("Content-Type")).toBe("application/problem+json");
      expect(response.headers.get("WWW-Authenticate")).toBe("Homeport");
      expect(await response.json()).toMatchObject({ type: "/problems/signature-refused", status: 401 });
    }
    expect(await world.keys("pending/")).toHaveLength(1);
  });

  test("a stale, otherwise good signature is refused", async () => {
    const world = new World(null);
    const headers = await signedHeaders(KEY, NOON_MS / 1000 - 301, "GET", "/status");
    expect((await route(new Request(`${EDGE}/status`, { headers }), world)).status).toBe(401);
  });

  test("a signature for one route does not open the other", async () => {
    const world = new World(null);
    const headers = await signedHeaders(KEY, NOON_MS / 1000, "GET", "/status");
    expect((await route(new Request(`${EDGE}/drain`, { method: "POST", headers }), world)).status).toBe(401);
  });

  test("a Worker without a usable key answers nobody, and says nothing of it", async () => {
    const response = await ask(new World(null, { MAIL_API_KEY: "abc" }), "GET", "/status");
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain("MAIL_API_KEY");
  });

  test.each([
    ["GET", "/"],
    ["POST", "/status"],
    ["GET", "/drain"],
    ["GET", "/status/"],
    ["GET", "/v1/health"],
    ["GET", "/toString"],
  ])("%s %s is 404", async (method, path) => {
    const response = await ask(new World(null), method, path);
    expect(response.status).toBe(404);
    expect(response.headers.get("Content-Type")).toBe("application/problem+json");
  });
});

describe("GET /status", () => {
  const status = async (world: World): Promise<Record<string, unknown>> => (await ask(world, "GET", "/status")).json();

  test("of a quiet edge", async () => {
    expect(await status(new World(null))).toEqual({
      v: 1,
      version: null,
      at: NOON_MS / 1000,
      retained: { count: 0, oldest_at: null, complete: true },
      held: { count: 0, oldest_at: null, complete: true },
      origin: { failing_since: null, alerted_at: null },
      days: {},
      bindings: { retained: true, recipients: false, alert_webhook: false, alert_mail: false, access: false },
    });
  });

  test("of one that has retained, with everything bound", async () => {
    const env: Env = {
      RECIPIENTS,
      RECIPIENTS_KEY: "00".repeat(32),
      ACCESS_CLIENT_ID: "id",
      ACCESS_CLIENT_SECRET: "hidden-1",
      ALERT_WEBHOOK: "https://hooks.example/hidden-2",
      ALERT_MAIL: { send: () => Promise.resolve() } as unknown as SendEmail,
      ALERT_MAIL_FROM: "edge@example.com",
      ALERT_MAIL_TO: "me@example.org",
      WORKER_VERSION: "1a2b3c",
    };
    const world = new World(null, env);
    for (let minute = 0; minute < 3; minute++) {
      await receive(arriving(), world);
      await world.settled();
      world.nowMs += 60_000;
    }
    await RETAINED.put(`held/1700000000000-${"a".repeat(32)}.eml`, "held");
    await RETAINED.put("state/watchdog.json", '{"v":1,"failing_since":1795000000,"alerted_at":1795000300}');

    const text = await (await ask(world, "GET", "/status")).text();
    expect(JSON.parse(text)).toEqual({
      v: 1,
      version: "1a2b3c",
      at: NOON_MS / 1000 + 180,
      retained: { count: 3, oldest_at: NOON_MS / 1000, complete: true },
      held: { count: 1, oldest_at: 1_700_000_000, complete: true },
      origin: { failing_since: 1_795_000_000, alerted_at: 1_795_000_300 },
      days: { "2026-11-22": { retained: 3 } },
      bindings: { retained: true, recipients: true, alert_webhook: true, alert_mail: true, access: true },
    });
    for (const secret of ["hidden", world.env.MAIL_API_KEY!, "0000000000000000", "bob", "alice"])
      expect(text).not.toContain(secret);
  });

  test("without R2 the rest is told", async () => {
    const world = new World(null);
    delete world.env.RETAINED;
    expect(await status(world)).toMatchObject({
      retained: null,
      held: null,
      origin: null,
      days: {},
      bindings: { retained: false },
    });
  });
});

describe("POST /drain", () => {
  test("drains now", async () => {
    const origin = await ScriptedOrigin.open({ messages: [receipt()], health: [HEALTHY] });
    await receive(arriving(), new World(null));
    await receive(arriving(), new World(null));
    const response = await ask(new World(origin), "POST", "/drain");
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ drained: 2, failed: 0, held: 0, stopped: null, more: false });
    expect((await origin.heard()).map(({ path }) => path)).toEqual(["/v1/health", "/v1/messages", "/v1/messages"]);
  });

  test("says why it stopped", async () => {
    await receive(arriving(), new World(null));
    const report = await (await ask(new World(null), "POST", "/drain")).json();
    expect(report).toMatchObject({ drained: 0, failed: 0, stopped: "the mail API does not answer", more: true });
  });

  test("without R2 there is nothing to drain", async () => {
    const world = new World(null);
    delete world.env.RETAINED;
    expect(await (await ask(world, "POST", "/drain")).json()).toEqual({
      drained: 0,
      failed: 0,
      held: 0,
      stopped: null,
      more: false,
    });
  });
});
