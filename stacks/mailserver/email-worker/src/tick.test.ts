/** The cron handler: watch, drain, roll up; each part whatever became of the others, within what the plan allows. */

import { describe, expect, test } from "vitest";
import { NOON_MS, RETAINED, World, arriving, bucketWith } from "../test/edge";
import { HEALTHY, ScriptedOrigin, problem, receipt } from "../test/origin";
import { receive } from "./receive";
import { note } from "./statistics";
import { tick } from "./tick";

async function retainOne(): Promise<void> {
  await receive(arriving(), new World(null));
}

describe("a tick", () => {
  test("asks for health, drains, and rolls up", async () => {
    const origin = await ScriptedOrigin.open({ messages: [receipt()], health: [HEALTHY] });
    await retainOne();
    await note(RETAINED, "retained", "0".repeat(32), NOON_MS - 600_000);
    await tick(new World(origin));
    expect((await origin.heard()).map(({ path }) => path)).toEqual(["/v1/health", "/v1/messages"]);
    const world = new World(null);
    expect(await world.keys("pending/")).toEqual([]);
    expect(await world.keys("stats/months/")).toEqual(["stats/months/2026-11.json"]);
  });

  test("with the origin down keeps everything, and the next one delivers it", async () => {
    const origin = await ScriptedOrigin.open({ messages: [receipt()], health: [HEALTHY] });
    const world = new World(origin);
    await retainOne();
    await origin.down();
    await tick(world);
    expect(await world.keys("pending/")).toHaveLength(1);
    await origin.up();
    await tick(world);
    expect(await world.keys("pending/")).toEqual([]);
    expect(await origin.posted()).toHaveLength(1);
  });

  test("with an unwell origin tries a message all the same", async () => {
    const origin = await ScriptedOrigin.open({ messages: [receipt("queued")], health: [problem(503, "x")] });
    await retainOne();
    await tick(new World(origin));
    expect(await new World(null).keys("pending/")).toEqual([]);
  });

  test("and another one at the same time deliver once, and roll up once", async () => {
    const origin = await ScriptedOrigin.open({ messages: [{ ...receipt(), delayMs: 100 }], health: [HEALTHY] });
    const world = new World(origin);
    for (let count = 0; count < 5; count++) await retainOne();
    await note(RETAINED, "retained", "0".repeat(32), NOON_MS - 600_000);
    await Promise.all([tick(world), tick(world), tick(world)]);
    const posted = await origin.posted();
    expect(posted).toHaveLength(5);
    expect(new Set(posted).size).toBe(5);
    const month = await (await RETAINED.get("stats/months/2026-11.json"))!.json();
    expect(month).toMatchObject({ days: { "2026-11-22": { retained: 1 } } });
  });

  test("without R2 does nothing, and says so", async () => {
    const origin = await ScriptedOrigin.open({ health: [HEALTHY] });
    const world = new World(origin);
    delete world.env.RETAINED;
    await tick(world);
    expect(await origin.heard()).toEqual([]);
  });

  test.each(["state/watchdog.json", "state/cursor.json", "stats/months/"])(
    "whose R2 fails at %s does the rest",
    async (broken) => {
      const origin = await ScriptedOrigin.open({ messages: [receipt()], health: [HEALTHY] });
      await retainOne();
      await note(RETAINED, "retained", "0".repeat(32), NOON_MS - 600_000);
      const bucket = bucketWith({
        get: (key: string) =>
          key.startsWith(broken) ? Promise.reject(new Error("internal error")) : RETAINED.get(key),
      });
      await tick(new World(origin, { RETAINED: bucket }));
      const world = new World(null);
      expect(await world.keys("pending/")).toHaveLength(broken === "state/cursor.json" ? 1 : 0);
      expect(await world.keys("stats/months/")).toHaveLength(broken === "stats/months/" ? 0 : 1);
    },
  );

  test.each([30, 50, 1_000])("with %i subrequests to spend stays within them", async (limit) => {
    const origin = await ScriptedOrigin.open({ messages: [receipt()], health: [HEALTHY] });
    for (let count = 0; count < 20; count++) await retainOne();
    await note(RETAINED, "retained", "0".repeat(32), NOON_MS - 600_000);
    await note(RETAINED, "retained", "0".repeat(32), Date.UTC(2026, 9, 1));
    let calls = 0;
    const names = ["get", "put", "delete", "list", "head"] as const;
    const counted = names.map((name) => [
      name,
      (...given: never[]): unknown => (
        (calls += 1),
        (RETAINED[name] as (...all: never[]) => unknown).apply(RETAINED, given)
      ),
    ]);
    const world = new World(origin, { RETAINED: bucketWith(Object.fromEntries(counted)), SUBREQUESTS: String(limit) });
    await tick(world);
    expect(calls + (await origin.heard()).length).toBeLessThanOrEqual(limit);
    expect((await origin.posted()).length).toBeGreaterThan(0);
  });
});
