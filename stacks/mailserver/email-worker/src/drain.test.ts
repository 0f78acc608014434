/** The drain: in order, exactly once for whoever keeps a ledger, and never at the price of a message. */

import { describe, expect, test } from "vitest";
import { NOON_MS, RETAINED, World, bucketWith, bytesOf, sha256, signatureOf } from "../test/edge";
import {
  HTML_TYPE,
  LOGIN_PAGE,
  SMTP,
  type Answer,
  type Script,
  ScriptedOrigin,
  problem,
  receipt,
} from "../test/origin";
import { drain } from "./drain";
import type { Env } from "./environment";
import { toBase64Url } from "./encoding";
import { retain } from "./retention";

const PLENTY = 1_000;

const drainAll = (world: World, bucket: R2Bucket = RETAINED) => drain(world, bucket, { left: PLENTY }, "unwell");

/** Put messages into R2 as `email()` does, a second apart, and return their ids, oldest first. */
async function retained(
  count: number,
  raw: Uint8Array<ArrayBuffer> = bytesOf("A: b\r\n\r\nhello\r\n"),
  fromMs = NOON_MS - 3_600_000,
) {
  const ids = Array.from({ length: count }, (_, at) => (at + 1).toString(16).padStart(32, "0"));
  for (const [at, id] of ids.entries()) {
    const envelope = { mailFrom: toBase64Url("alice@example.org"), rcptTo: toBase64Url("bob@example.com") };
    const message = { id, ...envelope, sizeBytes: raw.length, sha256: await sha256(raw) };
    await retain(RETAINED, message, raw, fromMs + 1_000 * at);
  }
  return ids;
}

async function worldWith(script: Script | Answer, env: Env = {}): Promise<{ world: World; origin: ScriptedOrigin }> {
  const isScript = "messages" in script || "byMessage" in script;
  const origin = await ScriptedOrigin.open(isScript ? script : { messages: [script as Answer] });
  return { world: new World(origin, env), origin };
}

const pendingIds = async (world: World): Promise<string[]> =>
  (await world.keys("pending/")).map((key) => key.slice(-36, -4));

describe("what is retained goes to the mail API", () => {
  test("oldest first, under its first id, with its envelope and the time of its receipt; then it is gone", async () => {
    const { world, origin } = await worldWith(receipt());
    const ids = await retained(5);
    expect(await drainAll(world)).toEqual({ drained: 5, failed: 0, held: 0, stopped: null, more: false });

    const heard = await origin.heard();
    expect(heard.map(({ headers }) => headers["homeport-message-id"])).toEqual(ids);
    for (const [at, request] of heard.entries()) {
      const { headers, body } = request;
      expect(headers["homeport-signature"]).toBe(await signatureOf(request));
      expect(headers["homeport-retained-at"]).toBe(String((NOON_MS - 3_600_000) / 1_000 + at));
      expect(headers["homeport-mail-from"]).toBe(toBase64Url("alice@example.org"));
      expect(headers["homeport-rcpt-to"]).toBe(toBase64Url("bob@example.com"));
      expect(headers["content-length"]).toBe("15");
      expect(atob(body!)).toBe("A: b\r\n\r\nhello\r\n");
    }
    expect(await world.keys("pending/")).toEqual([]);
    expect(await world.keys("attempts/")).toEqual([]);
    expect((await world.keys("stats/events/")).map((key) => key.slice(-40))).toEqual(ids.map((id) => `drained-${id}`));
  });

  test.each(["queued", "held"] as const)("a receipt that says %s is one", async (status) => {
    const { world } = await worldWith(receipt(status));
    await retained(1);
    expect(await drainAll(world)).toMatchObject({ drained: 1, more: false });
    expect(await world.keys("pending/")).toEqual([]);
  });

  test("byte for byte, 25 MiB too", async () => {
    const { world, origin } = await worldWith(receipt());
    const raw = new Uint8Array(25 * 1024 * 1024).map((_, at) => at * 31);
    await retained(1, raw);
    expect(await drainAll(world)).toMatchObject({ drained: 1 });
    expect((await origin.heard())[0]).toMatchObject({ size: raw.length, sha256: await sha256(raw), isComplete: true });
  });

  test("an empty message, and the null sender", async () => {
    const { world, origin } = await worldWith(receipt());
    const message = { id: "0".repeat(32), mailFrom: "", rcptTo: toBase64Url("bob@example.com"), sizeBytes: 0 };
    await retain(RETAINED, { ...message, sha256: await sha256(new Uint8Array()) }, new Uint8Array(), NOON_MS);
    expect(await drainAll(world)).toMatchObject({ drained: 1 });
    expect((await origin.heard())[0]).toMatchObject({ size: 0, isComplete: true });
  });

  test("nothing retained: nothing is asked or written", async () => {
    const { world, origin } = await worldWith(receipt());
    expect(await drainAll(world)).toEqual({ drained: 0, failed: 0, held: 0, stopped: null, more: false });
    expect(await origin.heard()).toEqual([]);
    expect(await world.keys()).toEqual([]);
  });

  test("nothing is ever deleted by age", async () => {
    const { world, origin } = await worldWith({ status: 503 });
    const ids = await retained(3, bytesOf("old"), Date.UTC(2020, 0, 1));
    for (let days = 0; days < 400; days += 100) {
      world.nowMs = NOON_MS + days * 86_400_000;
      await drainAll(world);
    }
    expect(await pendingIds(world)).toEqual(ids);
    await origin.play({ messages: [receipt()] });
    expect(await drainAll(world)).toMatchObject({ drained: 3, more: false });
  });
});

describe("an origin that does not take it", () => {
  const nobody: [string, Answer][] = [
    ["connection reset", { fault: "reset" }],
    ["reset before the body", { fault: "refuse" }],
    ["half a receipt", { ...receipt(), fault: "half" }],
    ["401", problem(401, "signature-refused", { message_id: undefined })],
    ["404 without smtp", problem(404, "not-found", { message_id: undefined })],
    ["500", { status: 500 }],
    ["503 of ours about the machine", problem(503, "spool-unavailable")],
    ["507 of ours about the machine", problem(507, "insufficient-storage")],
    ["530", { status: 530, headers: HTML_TYPE, body: "error code: 1033" }],
    ["200 with a page", LOGIN_PAGE],
    ["302 to a login page", { status: 302, headers: { Location: "/login" } }],
    ["200 without a receipt", { headers: { "Content-Type": "application/json" }, body: "{}" }],
    ["receipt for another message", receipt("delivered", { message_id: "f".repeat(32) })],
    ["receipt for another content", receipt("delivered", { sha256: "f".repeat(64) })],
  ];

  test.each(nobody)(
    "%s: everything stays, the tick ends at once, and nothing is counted against the message",
    async (_, answer) => {
      const { world, origin } = await worldWith({ messages: [answer], pages: { "/login": LOGIN_PAGE } });
      const ids = await retained(3);
      expect(await drainAll(world)).toMatchObject({
        drained: 0,
        failed: 1,
        held: 0,
        stopped: expect.any(String),
        more: true,
      });
      expect(await pendingIds(world)).toEqual(ids);
      expect(await world.keys("attempts/")).toEqual([]);
      expect((await origin.heard()).map(({ path }) => path)).toEqual(["/v1/messages"]);
    },
  );

  test("hangs: the message's deadline ends the tick", async () => {
    const { world, origin } = await worldWith({ fault: "hang" });
    world.deadlines = { ...world.deadlines, drainMs: 200 };
    const ids = await retained(2);
    expect(await drainAll(world)).toMatchObject({ drained: 0, stopped: expect.stringContaining("imeout"), more: true });
    expect(await pendingIds(world)).toEqual(ids);
    expect(await origin.posted()).toEqual(ids.slice(0, 1));
  });

  test("was found unreachable in the same tick: it is not asked again", async () => {
    const { world, origin } = await worldWith(receipt());
    await retained(1);
    const report = await drain(world, RETAINED, { left: PLENTY }, "unreachable");
    expect(report).toMatchObject({ drained: 0, stopped: expect.any(String), more: true });
    expect(await origin.heard()).toEqual([]);
  });

  test("flaps: in the end all is delivered, each message by one receipt", async () => {
    const bad: Answer[] = [
      { fault: "reset" },
      { status: 500 },
      LOGIN_PAGE,
      { fault: "refuse" },
      problem(503, "spool-unavailable"),
    ];
    const { world, origin } = await worldWith({
      messages: bad.flatMap((answer) => [receipt(), answer]).concat(receipt()),
    });
    const ids = await retained(12);
    let [drained, ticks] = [0, 0];
    for (; (await world.keys("pending/")).length > 0; ticks++) {
      expect(ticks).toBeLessThan(12);
      if (ticks === 2) await origin.down();
      if (ticks === 3) await origin.up();
      drained += (await drainAll(world)).drained;
    }
    expect(drained).toBe(12);
    expect(new Set(await origin.posted())).toEqual(new Set(ids));
    expect(await world.keys("held/")).toEqual([]);
  });

  test("is not configured: everything stays", async () => {
    const { world } = await worldWith(receipt(), { MAIL_API_KEY: "" });
    const ids = await retained(2);
    await expect(drainAll(world)).rejects.toThrow("MAIL_API_KEY");
    expect(await pendingIds(world)).toEqual(ids);
    world.env.MAIL_API_KEY = new World(null).env.MAIL_API_KEY!;
    expect(await drainAll(world)).toMatchObject({ drained: 2 });
  });
});

describe("a tick that dies", () => {
  const ended = (): Promise<never> => Promise.reject(new Error("the Worker was ended"));
  const isPending = (key: string | string[]): boolean => String(key).startsWith("pending/");

  test("between receipt and delete: the next one posts the same id and bytes, and deletes", async () => {
    const { world, origin } = await worldWith(receipt());
    const [id] = await retained(1);
    const dying = bucketWith({ delete: (key: string | string[]) => (isPending(key) ? ended() : RETAINED.delete(key)) });
    expect(await drainAll(world, dying)).toMatchObject({ drained: 0, failed: 1, stopped: "the bucket fails" });
    expect(await pendingIds(world)).toEqual([id]);

    expect(await drainAll(world)).toMatchObject({ drained: 1 });
    const [first, second] = await origin.heard();
    expect(second!.headers["homeport-message-id"]).toBe(first!.headers["homeport-message-id"]);
    expect([second!.sha256, second!.headers["homeport-retained-at"]]).toEqual([
      first!.sha256,
      first!.headers["homeport-retained-at"],
    ]);
    expect(await world.keys("pending/")).toEqual([]);
  });

  test("before its lease is given back: the next ones are busy, until the lease runs out", async () => {
    const { world, origin } = await worldWith(receipt());
    const ids = await retained(2);
    let gets = 0;
    const dying = bucketWith({
      get: (key: string) => (isPending(key) && ++gets === 2 ? ended() : RETAINED.get(key)),
      put: (key: string, value: string, options: R2PutOptions) =>
        key === "state/cursor.json" && gets > 0 ? ended() : RETAINED.put(key, value, options),
    });
    await expect(drainAll(world, dying)).rejects.toThrow("ended");
    expect(await drainAll(world)).toMatchObject({ drained: 0, stopped: "busy", more: true });

    world.nowMs += world.deadlines.tickMs + world.deadlines.drainMs + 60_000;
    expect(await drainAll(world)).toMatchObject({ drained: 1, more: false });
    expect(await origin.posted()).toEqual(ids);
  });

  test("leaves no lease that lasts for ever, even if its end was damaged", async () => {
    const { world } = await worldWith(receipt());
    await retained(1);
    await RETAINED.put("state/cursor.json", JSON.stringify({ v: 1, after: null, busy_until: 9e15 }));
    expect(await drainAll(world)).toMatchObject({ drained: 1, stopped: null });
  });

  test("over one object that the bucket does not give: the next ones go on behind it, and try it again", async () => {
    const { world, origin } = await worldWith(receipt());
    const ids = await retained(3);
    let isBroken = true;
    const broken = bucketWith({
      get: (key: string) => (isBroken && key.includes(ids[0]!) && isPending(key) ? ended() : RETAINED.get(key)),
    });
    expect(await drainAll(world, broken)).toMatchObject({ drained: 0, failed: 1, stopped: "the bucket fails" });
    expect(await drainAll(world, broken)).toMatchObject({ drained: 2, stopped: null, more: true });
    expect(await world.keys("attempts/")).toEqual([]);
    isBroken = false;
    expect(await drainAll(world, broken)).toMatchObject({ drained: 1, more: false });
    expect(await origin.posted()).toEqual([ids[1], ids[2], ids[0]]);
  });

  test("with its cursor destroyed: the next one begins with the oldest", async () => {
    const { world, origin } = await worldWith(receipt());
    const ids = await retained(2);
    await RETAINED.put("state/cursor.json", "{");
    expect(await drainAll(world)).toMatchObject({ drained: 2, more: false });
    expect(await origin.posted()).toEqual(ids);
  });
});

describe("two ticks at once", () => {
  test("deliver once: the second is busy", async () => {
    const { world, origin } = await worldWith({ ...receipt(), delayMs: 100 });
    const ids = await retained(3);
    const reports = await Promise.all([drainAll(world), drainAll(world)]);
    expect(new Set(reports.map(({ drained }) => drained))).toEqual(new Set([0, 3]));
    expect(reports.map(({ stopped }) => stopped).filter((why) => why !== null)).toEqual(["busy"]);
    expect(await origin.posted()).toEqual(ids);
  });

  test("one of which outlived its lease: what the other has deleted is no failure, and its lease stays", async () => {
    const { world, origin } = await worldWith({ messages: [{ ...receipt(), delayMs: 300 }, receipt()] });
    await retained(3);
    const late = drainAll(world);
    await expect.poll(() => origin.posted()).toHaveLength(1);
    world.nowMs += 10 * 60_000;
    const second = await drainAll(world);
    expect(second).toMatchObject({ drained: 3, stopped: null });
    expect(await late).toMatchObject({ failed: 0 });
    expect(await world.keys("pending/")).toEqual([]);
    expect(await drainAll(world)).toMatchObject({ drained: 0, stopped: null }); // nobody holds the lease
  });
});

describe("a message that is refused again and again", () => {
  const poison = problem(400, "body-mismatch");
  const INTERVAL_MS = 600_000;

  test("is counted, then held with its bytes, envelope and reason, told about once, and never dropped", async () => {
    const raw = crypto.getRandomValues(new Uint8Array(60_000));
    const [id] = await retained(2, raw);
    const hook = await ScriptedOrigin.open({ pages: { "/hook": { status: 204 } } });
    const { world } = await worldWith(
      { messages: [receipt()], byMessage: { [id!]: [poison] } },
      { POISON_LIMIT: "3", ALERT_WEBHOOK: `${hook.url}/hook` },
    );
    expect(await drainAll(world)).toMatchObject({ drained: 1, failed: 1, held: 0 });
    world.nowMs += INTERVAL_MS;
    expect(await drainAll(world)).toMatchObject({ drained: 0, failed: 1, held: 0, more: true });
    expect(await world.keys("attempts/")).toEqual([`attempts/${id}`]);
    const before = await RETAINED.head((await world.keys("pending/"))[0]!);

    world.nowMs += INTERVAL_MS;
    expect(await drainAll(world)).toMatchObject({ failed: 0, held: 1, more: false });
    const [key] = await world.keys("held/");
    expect(key).toBe(before!.key.replace("pending/", "held/"));
    const object = (await RETAINED.get(key!))!;
    expect(new Uint8Array(await object.arrayBuffer())).toEqual(raw);
    expect(object.customMetadata).toEqual({ ...before!.customMetadata, why: "body-mismatch" });
    expect(await world.keys("pending/")).toEqual([]);
    expect(await world.keys("attempts/")).toEqual([]);
    expect((await world.keys("stats/events/")).filter((name) => name.includes("-held-"))).toHaveLength(1);

    expect(await drainAll(world)).toMatchObject({ drained: 0, held: 0, more: false });
    expect(await world.keys("held/")).toEqual([key]);
    const told = (await hook.heard()).map(({ body }) => JSON.parse(atob(body!)) as { event: string; text: string });
    expect(told.map(({ event }) => event)).toEqual(["message_held"]);
    expect(told[0]!.text).not.toContain("bob");
  });

  test.each(["malformed-request", "body-mismatch", "message-id-conflict", "content-too-large"])(
    "%s counts",
    async (slug) => {
      const { world } = await worldWith(problem(400, slug), { POISON_LIMIT: "1" });
      await retained(1);
      expect(await drainAll(world)).toMatchObject({ held: 1 });
    },
  );

  test.each([
    ["a domain that is not accepted", problem(421, "domain-not-accepted")],
    ["a message under way", problem(503, "still-in-flight")],
    ["an upload that took too long", problem(408, "upload-timeout")],
    ["a refusal, which is no answer to a drain", problem(404, "unknown-mailbox", { smtp: SMTP })],
  ])("%s does not count, and does not stop the tick", async (_, answer) => {
    const [id] = await retained(3);
    const { world, origin } = await worldWith(
      { messages: [receipt()], byMessage: { [id!]: [answer] } },
      { POISON_LIMIT: "1" },
    );
    for (let ticks = 0; ticks < 3; ticks++) await drainAll(world);
    expect(await pendingIds(world)).toEqual([id]);
    expect(await world.keys("attempts/")).toEqual([]);
    expect(await world.keys("held/")).toEqual([]);
    expect(new Set(await origin.posted()).size).toBe(3);
    expect(await drainAll(world)).toMatchObject({ failed: 1, stopped: null, more: true });
  });

  test("that is taken in the end leaves no count behind", async () => {
    const { world } = await worldWith({ messages: [poison, poison, receipt()] }, { POISON_LIMIT: "3" });
    await retained(1);
    for (let ticks = 0; ticks < 3; ticks++) {
      await drainAll(world);
      world.nowMs += INTERVAL_MS;
    }
    expect(await world.keys("pending/")).toEqual([]);
    expect(await world.keys("attempts/")).toEqual([]);
    expect(await world.keys("held/")).toEqual([]);
  });

  test("within ten minutes counts once: a bad deployment holds nothing before somebody can mend it", async () => {
    const { world, origin } = await worldWith(poison, { POISON_LIMIT: "2" });
    await retained(1);
    for (let minute = 0; minute < 10; minute++) {
      expect(await drainAll(world)).toMatchObject({ failed: 1, held: 0 });
      world.nowMs += 60_000;
    }
    expect(await drainAll(world)).toMatchObject({ held: 1 });
    expect(await origin.posted()).toHaveLength(11);
  });

  test("whose count is unreadable is counted anew", async () => {
    const { world } = await worldWith(poison, { POISON_LIMIT: "2" });
    const [id] = await retained(1);
    await RETAINED.put(`attempts/${id}`, "{");
    expect(await drainAll(world)).toMatchObject({ failed: 1 });
    world.nowMs += INTERVAL_MS;
    expect(await drainAll(world)).toMatchObject({ held: 1 });
  });

  test("whose move to held/ dies half-way is moved by the next tick", async () => {
    const { world } = await worldWith(poison, { POISON_LIMIT: "1" });
    await retained(1, bytesOf("bad"));
    const dying = bucketWith({ delete: () => Promise.reject(new Error("the Worker was ended")) });
    expect(await drainAll(world, dying)).toMatchObject({ held: 0, failed: 1, stopped: "the bucket fails" });
    expect([...(await world.keys("held/")), ...(await world.keys("pending/"))]).toHaveLength(2);
    world.nowMs += INTERVAL_MS;
    await drainAll(world);
    expect(await world.keys("pending/")).toEqual([]);
    expect(await (await RETAINED.get((await world.keys("held/"))[0]!))!.text()).toBe("bad");
  });

  test("because it is no message of ours is held too, and never posted", async () => {
    const { world, origin } = await worldWith(receipt(), { POISON_LIMIT: "1" });
    await RETAINED.put("pending/strange name.eml", "what is this?");
    await RETAINED.put(`pending/1700000000000-${"a".repeat(32)}.eml`, "no envelope");
    await retained(1);
    for (let ticks = 0; ticks < 2; ticks++) await drainAll(world);
    expect(await world.keys("pending/")).toEqual([]);
    expect(await world.keys("held/")).toHaveLength(2);
    expect(await origin.posted()).toHaveLength(1);
  });
});

describe("the bounds of one tick", () => {
  /** A bucket that counts what a Worker's invocation is charged for. */
  function counting(): { bucket: R2Bucket; calls: () => number } {
    let count = 0;
    const counted =
      (name: "get" | "put" | "delete" | "list" | "head") =>
      (...given: never[]): unknown => {
        count += 1;
        return (RETAINED[name] as (...all: never[]) => unknown).apply(RETAINED, given);
      };
    const names = ["get", "put", "delete", "list", "head"] as const;
    return { bucket: bucketWith(Object.fromEntries(names.map((name) => [name, counted(name)]))), calls: () => count };
  }

  test.each<[string, Script]>([
    ["delivered", { messages: [receipt()] }],
    ["poisonous", { messages: [problem(400, "body-mismatch")] }],
  ])("subrequests: %s messages stay within what the plan allows, and the rest comes later", async (_, script) => {
    const hook = await ScriptedOrigin.open({ pages: { "/": { status: 204 } } });
    const { world, origin } = await worldWith(script, { POISON_LIMIT: "1", ALERT_WEBHOOK: hook.url });
    const ids = await retained(40);
    for (let ticks = 0; (await world.keys("pending/")).length > 0; ticks++) {
      expect(ticks).toBeLessThan(40);
      const { bucket, calls } = counting();
      const before = (await origin.heard()).length + (await hook.heard()).length;
      const report = await drain(world, bucket, { left: 50 }, "well");
      const fetches = (await origin.heard()).length + (await hook.heard()).length - before;
      expect(calls() + fetches).toBeLessThanOrEqual(50);
      expect(report.drained + report.held).toBeGreaterThan(0);
      expect(report.more).toBe((await world.keys("pending/")).length > 0);
    }
    expect([...new Set(await origin.posted())]).toEqual(ids); // in order; one that found no room to be held comes again
  });

  test("time: no further message is begun after the tick's end", async () => {
    const { world, origin } = await worldWith(receipt());
    await retained(3);
    const slow = bucketWith({
      get: (key: string) => {
        if (key.startsWith("pending/")) world.nowMs += 30_000;
        return RETAINED.get(key);
      },
    });
    expect(await drainAll(world, slow)).toMatchObject({ drained: 2, stopped: null, more: true });
    expect(await origin.posted()).toHaveLength(2);
  });

  test("a message that fails alone is passed over, and comes round again", async () => {
    const ids = await retained(12);
    const failing = ids.slice(0, 6);
    const byMessage = Object.fromEntries(failing.map((id) => [id, [problem(421, "domain-not-accepted")]]));
    const { world, origin } = await worldWith({ messages: [receipt()], byMessage });
    // room for about three messages a tick: without the cursor the six would stand in the way for ever
    for (let ticks = 0; ticks < 8; ticks++) await drain(world, RETAINED, { left: 18 }, "well");
    expect(await pendingIds(world)).toEqual(failing);
    expect((await origin.posted()).filter((id) => id === ids[0]).length).toBeGreaterThan(1);

    await origin.play({ messages: [receipt()] });
    for (let ticks = 0; ticks < 6; ticks++) await drain(world, RETAINED, { left: 18 }, "well");
    expect(await world.keys("pending/")).toEqual([]);
  });

  test("a message that breaks the connection of a well origin is passed over too", async () => {
    const ids = await retained(3);
    const { world } = await worldWith({ messages: [receipt()], byMessage: { [ids[0]!]: [{ fault: "reset" }] } });
    for (let ticks = 0; ticks < 4; ticks++) await drain(world, RETAINED, { left: PLENTY }, "well");
    expect(await pendingIds(world)).toEqual(ids.slice(0, 1));
  });

  test("R2 that fails loses nothing", async () => {
    const { world } = await worldWith(receipt());
    const ids = await retained(2);
    for (const name of ["list", "get", "put"] as const) {
      const failing = bucketWith({ [name]: () => Promise.reject(new Error("internal error")) });
      await expect(drainAll(world, failing)).rejects.toThrow("internal error");
      expect(await pendingIds(world)).toEqual(ids);
      world.nowMs += 10 * 60_000;
    }
    expect(await drainAll(world)).toMatchObject({ drained: 2, more: false });
  });

  test("statistics that cannot be written keep nothing from being drained", async () => {
    const { world } = await worldWith(receipt());
    await retained(1);
    const failing = bucketWith({
      put: (key: string, value: string, options: R2PutOptions) =>
        key.startsWith("stats/") ? Promise.reject(new Error("internal error")) : RETAINED.put(key, value, options),
    });
    expect(await drainAll(world, failing)).toMatchObject({ drained: 1 });
  });
});
