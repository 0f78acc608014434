/** Events become days of a month, each counted once, whatever dies in between. */

import { describe, expect, test } from "vitest";
import { NOON_MS, RETAINED, World, bucketWith } from "../test/edge";
import { type Kind, days, note, rollUp } from "./statistics";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const world = new World(null);
let count = 0;

async function noted(kind: Kind, ...timesMs: number[]): Promise<void> {
  for (const atMs of timesMs) await note(RETAINED, kind, String(++count).padStart(32, "0"), atMs);
}

const month = async (name: string): Promise<unknown> => (await RETAINED.get(`stats/months/${name}.json`))?.json();

describe("an event", () => {
  test("is one empty object, and shows at once", async () => {
    await noted("retained", NOON_MS);
    expect(await world.keys("stats/")).toEqual([
      expect.stringMatching(/^stats\/events\/[0-9]{13}-retained-[0-9a-f]{32}$/),
    ]);
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-22": { retained: 1 } });
  });

  test("is lost without harm when R2 fails", async () => {
    await note(
      bucketWith({ put: () => Promise.reject(new Error("internal error")) }),
      "retained",
      "0".repeat(32),
      NOON_MS,
    );
    expect(await world.keys()).toEqual([]);
  });
});

describe("the roll-up", () => {
  test("counts by UTC day and kind, deletes what it counted, and keeps what may not be settled", async () => {
    await noted("retained", NOON_MS - DAY_MS, NOON_MS - DAY_MS + 1, NOON_MS - 3 * MINUTE_MS, NOON_MS - MINUTE_MS);
    await noted("drained", NOON_MS - DAY_MS + 2);
    await noted("held", Date.UTC(2026, 10, 21, 23, 59, 59, 999), Date.UTC(2026, 10, 22));

    expect(await rollUp(RETAINED, NOON_MS)).toBe(6);
    expect(await month("2026-11")).toMatchObject({
      days: { "2026-11-21": { retained: 2, drained: 1, held: 1 }, "2026-11-22": { retained: 1, held: 1 } },
    });
    expect(await world.keys("stats/events/")).toHaveLength(1);
    expect(await days(RETAINED, NOON_MS)).toEqual({
      "2026-11-21": { retained: 2, drained: 1, held: 1 },
      "2026-11-22": { retained: 2, held: 1 },
    });
  });

  test("twice counts nothing twice, and with nothing to count it writes nothing", async () => {
    await noted("drained", NOON_MS - DAY_MS);
    expect(await rollUp(RETAINED, NOON_MS)).toBe(1);
    const written = await RETAINED.head("stats/months/2026-11.json");
    expect(await rollUp(RETAINED, NOON_MS)).toBe(0);
    expect((await RETAINED.head("stats/months/2026-11.json"))?.etag).toBe(written?.etag);
  });

  test.each(["{", "null", "[]", '{"v":1}', '{"v":1,"through":7,"days":{}}'])(
    "begins a month anew that is damaged: %s",
    async (text) => {
      await RETAINED.put("stats/months/2026-11.json", text);
      await noted("retained", NOON_MS - DAY_MS);
      expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { retained: 1 } });
      expect(await rollUp(RETAINED, NOON_MS)).toBe(1);
      expect(await month("2026-11")).toMatchObject({ days: { "2026-11-21": { retained: 1 } } });
    },
  );

  test("that dies between counting and deleting counts nothing twice", async () => {
    await noted("retained", NOON_MS - DAY_MS, NOON_MS - DAY_MS + 1);
    const dying = bucketWith({ delete: () => Promise.reject(new Error("the Worker was ended")) });
    await expect(rollUp(dying, NOON_MS)).rejects.toThrow("ended");
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { retained: 2 } });

    await noted("retained", NOON_MS - DAY_MS + 2);
    await rollUp(RETAINED, NOON_MS);
    await rollUp(RETAINED, NOON_MS);
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { retained: 3 } });
    expect(await world.keys("stats/events/")).toEqual([]);
  });

  test("that dies before it wrote loses nothing", async () => {
    await noted("retained", NOON_MS - DAY_MS);
    const dying = bucketWith({ put: () => Promise.reject(new Error("the Worker was ended")) });
    await expect(rollUp(dying, NOON_MS)).rejects.toThrow("ended");
    await rollUp(RETAINED, NOON_MS);
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { retained: 1 } });
  });

  test("at once with another one counts everything once", async () => {
    await noted("drained", ...Array.from({ length: 20 }, (_, at) => NOON_MS - DAY_MS + at));
    await Promise.all([rollUp(RETAINED, NOON_MS), rollUp(RETAINED, NOON_MS), rollUp(RETAINED, NOON_MS)]);
    await rollUp(RETAINED, NOON_MS);
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { drained: 20 } });
    expect(await world.keys("stats/events/")).toEqual([]);
  });

  test("over the end of a month and of a year keeps the months apart", async () => {
    const newYear = Date.UTC(2027, 0, 1);
    await noted("retained", newYear - 1, newYear, newYear + 1);
    await rollUp(RETAINED, newYear + DAY_MS);
    await rollUp(RETAINED, newYear + DAY_MS);
    expect(await month("2026-12")).toMatchObject({ days: { "2026-12-31": { retained: 1 } } });
    expect(await month("2027-01")).toMatchObject({ days: { "2027-01-01": { retained: 2 } } });
    expect(await days(RETAINED, newYear + DAY_MS)).toEqual({
      "2026-12-31": { retained: 1 },
      "2027-01-01": { retained: 2 },
    });
    expect(await days(RETAINED, newYear + 40 * DAY_MS)).toEqual({ "2027-01-01": { retained: 2 } });
    expect(await days(RETAINED, newYear + 70 * DAY_MS)).toEqual({});
  });

  test("after a long pause takes the months in turn", async () => {
    await noted("retained", Date.UTC(2026, 7, 1), Date.UTC(2026, 8, 1), Date.UTC(2026, 9, 1));
    await rollUp(RETAINED, NOON_MS);
    await rollUp(RETAINED, NOON_MS);
    expect(await world.keys("stats/")).toEqual(
      ["2026-08", "2026-09", "2026-10"].map((name) => `stats/months/${name}.json`),
    );
  });

  test("takes more events than one page has, over several ticks", async () => {
    await Promise.all(Array.from({ length: 1_050 }, (_, at) => noted("refused", NOON_MS - DAY_MS + at)));
    expect(await rollUp(RETAINED, NOON_MS)).toBe(1_000);
    expect(await rollUp(RETAINED, NOON_MS)).toBe(50);
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { refused: 1_050 } });
  });

  test("is not stopped by a kind or a name that it does not know", async () => {
    await RETAINED.put(`stats/events/${NOON_MS - DAY_MS}-future-${"0".repeat(32)}`, "");
    await RETAINED.put("stats/events/nonsense", "");
    await noted("held", NOON_MS - DAY_MS);
    await rollUp(RETAINED, NOON_MS);
    expect(await days(RETAINED, NOON_MS)).toEqual({ "2026-11-21": { held: 1 } });
  });
});
