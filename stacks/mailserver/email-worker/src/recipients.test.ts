/** The list of recipients: what it says, and that it says nothing unless it is complete, fresh and readable. */

import { describe, expect, test } from "vitest";
import vectors from "../../../../tests/contract/wire_vectors/recipients.json";
import { RECIPIENTS, World, arriving, never } from "../test/edge";
import { fromHex } from "./encoding";
import { hashOf, isUnlisted, normalAddress } from "./recipients";
import { receive } from "./receive";

const RECIPIENTS_KEY = vectors.key;
const KEY = fromHex(RECIPIENTS_KEY)!;

test.each(vectors.cases)("recipients.json: $name", async ({ address, delimiter, normal, hash }) => {
  expect(normalAddress(address, delimiter)).toBe(normal);
  expect(await hashOf(address, delimiter, KEY)).toBe(hash);
});

/** A Worker that knows the list `recipients/example.com`, in which bob stands alone; `changed` replaces its members. */
async function worldWith(changed: object | string | null = {}, lists: KVNamespace = RECIPIENTS): Promise<World> {
  const world = new World(null, { RECIPIENTS: lists, RECIPIENTS_KEY });
  if (changed !== null) {
    const good = { v: 1, generation: 7, at: world.nowMs / 1000 - 60, complete: true, catch_all: false, delimiter: "+" };
    const list = {
      ...good,
      hashes: [await hashOf("bob@example.com", "+", KEY)],
      ...(typeof changed === "object" ? changed : {}),
    };
    await RECIPIENTS.put("recipients/example.com", typeof changed === "string" ? changed : JSON.stringify(list));
  }
  return world;
}

const isRefused = async (world: World, to: string): Promise<boolean> =>
  isUnlisted(to, world, world.deadlines.recipientsMs);

describe("a complete and fresh list", () => {
  test.each(["bob@example.com", "Bob@EXAMPLE.com", "bob+tag@example.com", "bob+@example.com"])(
    "knows %s",
    async (to) => {
      expect(await isRefused(await worldWith(), to)).toBe(false);
    },
  );

  test.each([
    "eve@example.com",
    "bobby@example.com",
    "bob-tag@example.com",
    "+bob@example.com",
    "b\u00f6b@example.com",
  ])("does not know %s", async (to) => {
    expect(await isRefused(await worldWith(), to)).toBe(true);
  });

  test("has the delimiter that it names, or none", async () => {
    expect(await isRefused(await worldWith({ delimiter: "-" }), "bob-tag@example.com")).toBe(false);
    expect(await isRefused(await worldWith({ delimiter: "" }), "bob+tag@example.com")).toBe(true);
  });

  test("of a domain without mailboxes refuses everybody", async () => {
    expect(await isRefused(await worldWith({ hashes: [] }), "bob@example.com")).toBe(true);
  });

  test("says nothing of a quoted local part, of another domain, of a subdomain, of what is no address", async () => {
    const world = await worldWith();
    for (const to of [
      '"eve"@example.com',
      "eve@example.org",
      "eve@mail.example.com",
      "eve",
      "",
      "eve@[192.0.2.1]",
      "eve@",
    ])
      expect([to, await isRefused(world, to)]).toEqual([to, false]);
  });
});

describe("a list that says nothing", () => {
  const nowS = new World(null).nowMs / 1000;
  test.each<[string, object | string | null]>([
    ["missing", null],
    ["incomplete", { complete: false }],
    ["of unknown completeness", { complete: undefined }],
    ["complete by another word", { complete: "true" }],
    ["with a catch-all", { catch_all: true }],
    ["of unknown catch-all", { catch_all: undefined }],
    ["of another version", { v: 2 }],
    ["stale", { at: nowS - 86_401 }],
    ["without an age", { at: undefined }],
    ["with an age of another kind", { at: new Date(1000 * nowS).toISOString() }],
    ["from the future", { at: nowS + 301 }],
    ["without hashes", { hashes: undefined }],
    ["with hashes of another kind", { hashes: "none" }],
    ["with a number among its hashes", { hashes: [123] }],
    ["with null among its hashes", { hashes: [null] }],
    ["with hashes in upper case", { hashes: ["AB".repeat(32)] }],
    ["with hashes cut short", { hashes: ["ab".repeat(31)] }],
    ["without a delimiter", { delimiter: undefined }],
    ["with two delimiters", { delimiter: "+-" }],
    ["cut off", '{"v":1,"generation":7,"at":'],
    ["empty", ""],
    ["null", "null"],
    ["a list of JSON", "[]"],
  ])("%s: nobody is refused", async (_, changed) => {
    expect(await isRefused(await worldWith(changed), "eve@example.com")).toBe(false);
  });

  test.each([
    [86_400, 86_400, true],
    [86_401, 86_400, false],
    [60, 59, false],
    [60, 60, true],
  ])("%i s old where %i are allowed: refuses %s", async (ageS, allowedS, refuses) => {
    const world = await worldWith({ at: nowS - ageS });
    world.env.RECIPIENTS_MAX_AGE_S = String(allowedS);
    expect(await isRefused(world, "eve@example.com")).toBe(refuses);
  });

  test.each<[string, () => Promise<string>]>([
    ["fails", () => Promise.reject(new Error("KV GET failed: 500"))],
    ["never answers", never],
  ])("KV %s: nobody is refused", async (_, get) => {
    const world = await worldWith({}, { get } as unknown as KVNamespace);
    expect(await isUnlisted("eve@example.com", world, 100)).toBe(false);
  });

  test("no time is left: KV is not asked", async () => {
    expect(await isUnlisted("eve@example.com", await worldWith(), 0)).toBe(false);
  });

  test.each([
    { RECIPIENTS_KEY: undefined },
    { RECIPIENTS_KEY: "" },
    { RECIPIENTS_KEY: "ab" },
    { RECIPIENTS: undefined },
  ])("the Worker has %j: nobody is refused", async (missing) => {
    const world = await worldWith();
    Object.assign(world.env, missing);
    expect(await isRefused(world, "eve@example.com")).toBe(false);
  });
});

describe("in the handler", () => {
  test("an unlisted recipient is refused and counted, and nothing is retained", async () => {
    const world = await worldWith();
    const message = arriving(undefined, { to: "eve@example.com" });
    await receive(message, world);
    await world.settled();
    expect(message.rejected).toEqual(["5.1.1 Mailbox does not exist"]);
    expect(await world.keys()).toEqual([expect.stringMatching(/^stats\/events\/[0-9]{13}-unlisted-[0-9a-f]{32}$/)]);
  });

  test("a listed recipient's message is retained", async () => {
    const world = await worldWith();
    const message = arriving();
    await receive(message, world);
    expect(message.rejected).toEqual([]);
    expect(await world.keys("pending/")).toHaveLength(1);
  });

  test("KV that never answers costs a little time and no message", async () => {
    const world = await worldWith({}, { get: never } as unknown as KVNamespace);
    world.deadlines = { ...world.deadlines, recipientsMs: 100 };
    const message = arriving(undefined, { to: "eve@example.com" });
    await receive(message, world);
    expect(message.rejected).toEqual([]);
    expect(await world.keys("pending/")).toHaveLength(1);
  });
});
