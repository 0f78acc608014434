/** The watchdog: one alert after so many minutes, one recovery, and nothing lost when nobody can be told. */

import { describe, expect, test } from "vitest";
import { RETAINED, World, bucketWith } from "../test/edge";
import { HEALTHY, JSON_TYPE, LOGIN_PAGE, type Answer, ScriptedOrigin, problem } from "../test/origin";
import type { Env } from "./environment";
import { readWatch, check, watch } from "./watchdog";

const MINUTE_MS = 60_000;
const DOWN: Answer = { status: 503 };

class Watched {
  puts = 0;
  private readonly bucket = bucketWith({
    put: (key: string, value: string, options?: R2PutOptions) => {
      this.puts += 1;
      return RETAINED.put(key, value, options);
    },
  });

  private constructor(
    readonly origin: ScriptedOrigin,
    readonly hook: ScriptedOrigin,
    readonly world: World,
  ) {}

  static async open(env: Env = {}): Promise<Watched> {
    const origin = await ScriptedOrigin.open({ health: [HEALTHY] });
    const hook = await ScriptedOrigin.open({ pages: { "/hook/secret-token": { status: 204 } } });
    const url = `${hook.url}/hook/secret-token`;
    return new Watched(origin, hook, new World(origin, { ALERT_WEBHOOK: url, WATCHDOG_MINUTES: "5", ...env }));
  }

  /** So many ticks, a minute apart, with the origin as it is. */
  async minutes(count: number): Promise<void> {
    for (let minute = 0; minute < count; minute++) {
      await watch(this.world, this.bucket, await check(this.world));
      this.world.nowMs += MINUTE_MS;
    }
  }

  async turns(answer: Answer): Promise<void> {
    await this.origin.play({ health: [answer] });
  }

  async told(): Promise<string[]> {
    return (await this.hook.heard()).map(({ body }) => (JSON.parse(atob(body!)) as { event: string }).event);
  }
}

describe("an outage", () => {
  test("is told once after the minutes of the setting, and its end once", async () => {
    const watched = await Watched.open();
    await watched.minutes(3);
    expect(watched.puts).toBe(0);

    await watched.turns(DOWN);
    await watched.minutes(5);
    expect(await watched.told()).toEqual([]);
    await watched.minutes(20);
    expect(await watched.told()).toEqual(["origin_failing"]);
    expect(watched.puts).toBe(2); // the first failure, and the alert

    await watched.turns(HEALTHY);
    await watched.minutes(10);
    expect(await watched.told()).toEqual(["origin_failing", "origin_recovered"]);
    expect(watched.puts).toBe(3);
    expect(await readWatch(RETAINED)).toEqual({ failing_since: null, alerted_at: null });
  });

  test("that ends before the minutes are over is told to nobody", async () => {
    const watched = await Watched.open();
    for (let time = 0; time < 5; time++) {
      await watched.turns(DOWN);
      await watched.minutes(4);
      await watched.turns(HEALTHY);
      await watched.minutes(1);
    }
    expect(await watched.told()).toEqual([]);
  });

  test("and the next one are two", async () => {
    const watched = await Watched.open({ WATCHDOG_MINUTES: "1" });
    for (let time = 0; time < 2; time++) {
      await watched.turns(DOWN);
      await watched.minutes(3);
      await watched.turns(HEALTHY);
      await watched.minutes(3);
    }
    expect(await watched.told()).toEqual(["origin_failing", "origin_recovered", "origin_failing", "origin_recovered"]);
  });

  test.each<[string, Answer]>([
    ["no answer", { fault: "hang" }],
    ["a reset", { fault: "reset" }],
    ["500", { status: 500 }],
    ["401", problem(401, "signature-refused")],
    ["200 with a page", LOGIN_PAGE],
    ["302 to a login page", { status: 302, headers: { Location: "/login" } }],
    ["JSON that does not say ok", { headers: JSON_TYPE, body: '{"status":"degraded"}' }],
    ["JSON that is null", { headers: JSON_TYPE, body: "null" }],
    ["half an answer", { ...HEALTHY, fault: "half" }],
  ])("is %s too", async (_, answer) => {
    const watched = await Watched.open({ WATCHDOG_MINUTES: "1" });
    watched.world.deadlines = { ...watched.world.deadlines, healthMs: 200 };
    await watched.turns(answer);
    await watched.minutes(2);
    expect(await watched.told()).toEqual(["origin_failing"]);
  });

  test("is a badly configured Worker too", async () => {
    const watched = await Watched.open({ WATCHDOG_MINUTES: "1", MAIL_API_KEY: "" });
    await watched.minutes(2);
    expect(await watched.told()).toEqual(["origin_failing"]);
  });
});

describe("the question", () => {
  test("is signed, and asks for nothing but health", async () => {
    const watched = await Watched.open();
    await watched.minutes(1);
    const [heard] = await watched.origin.heard();
    expect(heard).toMatchObject({ method: "GET", path: "/v1/health", size: 0 });
    expect(heard!.headers["homeport-signature"]).toMatch(/^v1=[0-9a-f]{64}$/);
    expect(heard!.headers).not.toHaveProperty("homeport-message-id");
  });

  test.each<[Answer, string]>([
    [HEALTHY, "well"],
    [DOWN, "unwell"],
    [{ fault: "reset" }, "unreachable"],
  ])("answered by %j: the origin is %s", async (answer, health) => {
    const watched = await Watched.open();
    await watched.turns(answer);
    expect((await check(watched.world)).health).toBe(health);
  });
});

describe("telling somebody", () => {
  test.each<[string, Answer]>([
    ["fails", { status: 500 }],
    ["redirects", { status: 302, headers: { Location: "/" } }],
    ["breaks off", { fault: "reset" }],
    ["never answers", { fault: "hang" }],
  ])("the webhook %s: the alert is tried again at each tick, until it is heard", async (_, answer) => {
    const watched = await Watched.open({ WATCHDOG_MINUTES: "1" });
    watched.world.deadlines = { ...watched.world.deadlines, alertMs: 100 };
    await watched.hook.play({ pages: { "/hook/secret-token": answer } });
    await watched.turns(DOWN);
    await watched.minutes(4);
    expect(await watched.told()).toEqual(["origin_failing", "origin_failing", "origin_failing"]);
    expect((await readWatch(RETAINED)).alerted_at).toBeNull();

    await watched.hook.play({ pages: { "/hook/secret-token": { status: 200, body: "ok" } } });
    await watched.minutes(3);
    expect(await watched.told()).toHaveLength(4);
    await watched.turns(HEALTHY);
    await watched.minutes(3);
    expect((await watched.told()).filter((event) => event === "origin_recovered")).toHaveLength(1);
  });

  test("a recovery that nobody heard is told again", async () => {
    const watched = await Watched.open({ WATCHDOG_MINUTES: "1" });
    await watched.turns(DOWN);
    await watched.minutes(2);
    await watched.turns(HEALTHY);
    await watched.hook.down();
    await watched.minutes(2);
    await watched.hook.up();
    await watched.minutes(2);
    expect(await watched.told()).toEqual(["origin_failing", "origin_recovered"]);
  });

  test("by mail, to the verified address, where the binding is", async () => {
    const sent: EmailMessage[] = [];
    const mail = { send: (message: EmailMessage) => (sent.push(message), Promise.resolve()) } as unknown as SendEmail;
    const watched = await Watched.open({
      WATCHDOG_MINUTES: "1",
      ALERT_MAIL: mail,
      ALERT_MAIL_FROM: "edge@example.com",
      ALERT_MAIL_TO: "me@example.org",
    });
    await watched.turns(DOWN);
    await watched.minutes(3);
    expect(sent.map(({ from, to }) => [from, to])).toEqual([["edge@example.com", "me@example.org"]]);
    expect(await watched.told()).toEqual(["origin_failing"]);
  });

  test("one channel that works is enough", async () => {
    const mail = {
      send: () => Promise.reject(new Error("destination address is not verified")),
    } as unknown as SendEmail;
    const watched = await Watched.open({
      WATCHDOG_MINUTES: "1",
      ALERT_MAIL: mail,
      ALERT_MAIL_FROM: "edge@example.com",
      ALERT_MAIL_TO: "me@example.org",
    });
    await watched.turns(DOWN);
    await watched.minutes(4);
    expect(await watched.told()).toEqual(["origin_failing"]);
  });

  test("without any channel the state is kept all the same", async () => {
    const watched = await Watched.open({ WATCHDOG_MINUTES: "1" });
    delete watched.world.env.ALERT_WEBHOOK;
    await watched.turns(DOWN);
    const since = watched.world.nowMs / 1000;
    await watched.minutes(3);
    expect(await readWatch(RETAINED)).toEqual({ failing_since: since, alerted_at: since + 60 });
  });
});

describe("state/watchdog.json", () => {
  test.each(["{", "null", '{"failing_since":"yesterday"}', ""])("%j is read as well", async (text) => {
    await RETAINED.put("state/watchdog.json", text);
    expect(await readWatch(RETAINED)).toEqual({ failing_since: null, alerted_at: null });
  });
});
