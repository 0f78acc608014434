import { describe, expect, test } from "vitest";

import type { OperationView } from "@/api/types.gen";
import { membersOf } from "@/components/operation-result";
import { folderIn, restoreOf } from "@/lib/restore";
import { quoted } from "@/lib/shell";

import full from "../../../../tests/contract/catalog/full.json";
import { drillCommand, previewCommand, runCommand } from "./command-lines";
import { ageTone, assetKey, assetOf, attention, byUrgency, dayOf, isHole, originsOf, timeTone, troubleOf, weeksUpTo } from "./judge";
import { isKnown, type Known } from "./requests";

const HOUR = 3_600_000;
const catalogue = { ...full, state: "fresh", detail: "", pending: [] } as unknown as Known;
const now = Date.parse(full.written_at);
const matters = (overview: Known, at = now): string[] => attention(overview, at).map(({ matter, tone }) => `${matter} ${tone}`);

describe("meters", () => {
  test.each([
    [24, "good"],
    [24.01, "warn"],
    [26, "warn"],
    [26.01, "bad"],
  ])("a copy of %d hours ago is %s", (hours, tone) => {
    expect(ageTone(new Date(now - hours * HOUR).toISOString(), now, 86_400, 93_600)).toBe(tone);
  });

  test("no copy at all is an alarm; a restore that nobody measured is unknown, never good", () => {
    expect(ageTone(null, now, 86_400, 93_600)).toBe("bad");
    expect([timeTone(null, 60), timeTone(60, 60), timeTone(61, 60)]).toEqual(["unknown", "good", "bad"]);
  });
});

describe("what needs somebody", () => {
  test("the example says what is missing, damaged and not proved", () => {
    expect(matters(catalogue)).toEqual(["missing bad", "damaged bad", "drill-failed bad"]);
  });

  test("time alone makes copies old, drills due and locks run short", () => {
    expect(matters(catalogue, now + 24 * HOUR)).toEqual(["missing bad", "damaged bad", "drill-failed bad", "local-old warn", "vault-old warn"]);
    expect(matters(catalogue, now + 10 * 24 * HOUR)).toEqual(["missing bad", "local-old bad", "vault-old bad", "damaged bad", "margin bad", "drill-failed bad", "drill-due warn"]);
  });

  test("a vault that is not set up is never too old, and never runs short", () => {
    const off = { ...catalogue, vault: { ...catalogue.vault, state: "off" }, meters: { ...catalogue.meters, vault_at: null } } as Known;
    expect(matters(off, now + 10 * 24 * HOUR).filter((each) => /vault|margin/.test(each))).toEqual([]);
  });

  test("an attack that got through, a budget and an unconfirmed sheet are said, the sheet last", () => {
    const cost = { month_usd: 11, budget_usd: 10, egress_usd: 1, at: full.written_at };
    const found = matters({ ...catalogue, vault: { ...catalogue.vault, attack_ok: false, cost }, recovery_sheet_confirmed_at: null });
    expect(found.slice(-1)).toEqual(["sheet warn"]);
    expect(found).toEqual(expect.arrayContaining(["attack bad", "budget bad"]));
  });

  test("what is missing comes before what is kept", () => {
    const [first, second] = byUrgency(catalogue.assets);
    expect([first && assetKey(first), second && assetKey(second)]).toEqual(["site:shop", "mailbox:anna@home.test"]);
  });
});

describe("the calendar", () => {
  test.each([
    [7, "2026-10-25"],
    [1, "2026-10-26"],
  ])("has five whole weeks that begin on day %i of the week", (first, begin) => {
    const weeks = weeksUpTo("2026-11-25", 5, first);
    expect([weeks.length, weeks.every((week) => week.length === 7), weeks[0]?.[0]]).toEqual([5, true, begin]);
    expect(weeks[4]).toContain("2026-11-25");
  });

  test("the first day of a week is in the last row alone", () => {
    expect(weeksUpTo("2026-11-22", 1, 7)[0]?.[0]).toBe("2026-11-22");
    expect(weeksUpTo("2026-11-22", 1, 1)[0]?.[6]).toBe("2026-11-22");
  });

  test("a point stands on its scheduled date, an on-demand one where its start was in the backup's zone", () => {
    expect(dayOf({ id: "daily/2026-11-22", kind: "daily", started_at: "2026-11-21T18:00:00Z" }, "Asia/Tokyo")).toBe("2026-11-22");
    expect(dayOf({ id: "manual/20261121T181500Z-all", kind: "manual", started_at: "2026-11-21T18:15:00Z" }, "Asia/Tokyo")).toBe("2026-11-22");
  });

  test("a day without a point is a hole within what is kept, not before the first point and not today", () => {
    const days = new Set(["2026-11-17", "2026-11-19", "2026-11-21"]);
    const holes = weeksUpTo("2026-11-22", 2, 7).flat().filter((day) => isHole(day, days, "2026-11-22", 7));
    expect(holes).toEqual(["2026-11-18", "2026-11-20"]);
    expect(isHole("2026-11-21", new Set(), "2026-11-22", 7)).toBe(false);
  });
});

test("damage is graver than what was known when the point was made", () => {
  const good = { damage: "", is_incomplete: false, verified: true };
  expect([good, { ...good, verified: false }, { ...good, verified: false, is_incomplete: true }, { ...good, damage: "x" }].map(troubleOf)).toEqual([null, "unverified", "incomplete", "damaged"]);
});

test("names keep their colons, and what has no name is its kind", () => {
  for (const key of ["mailbox:anna@home.test", "files:a:b", "everything"]) expect(assetKey(assetOf(key))).toBe(key);
  expect(assetOf("files:a:b")).toEqual({ kind: "files", name: "a:b" });
});

test("a point is restored from where it lies, the quickest first", () => {
  const copies = { is_local: true, repository: { snapshot: "1" }, vault: null };
  expect(originsOf(copies)).toEqual(["local", "repository"]);
  expect(originsOf({ ...copies, is_local: false, repository: null })).toEqual([]);
});

test("a catalogue that is not there is known as that", () => {
  expect(isKnown(catalogue)).toBe(true);
  expect(isKnown({ ...catalogue, meters: null })).toBe(false);
});

describe("command lines", () => {
  test("can be pasted into a shell, whatever a name holds", () => {
    expect(["blog", "it's", "a b", "$(reboot)", "-x y", ""].map(quoted)).toEqual(["blog", "'it'\\''s'", "'a b'", "'$(reboot)'", "'-x y'", "''"]);
    expect([runCommand("all"), runCommand("site:my blog"), drillCommand("", "vault")]).toEqual(["homeport backups run", "homeport backups run 'site:my blog'", "homeport backups drill --origin vault"]);
  });

  test("say what is not as it is by default", () => {
    const wish = { point: "daily/2026-11-22", asset: { kind: "mailbox", name: "anna@home.test" }, folder: "", origin: "vault", where: "in-place" } as const;
    expect(previewCommand(wish)).toBe("homeport backups preview daily/2026-11-22 mailbox:anna@home.test --folder '' --origin vault --in-place");
    expect(previewCommand({ point: "daily/2026-11-22", asset: { kind: "everything", name: "" } })).toBe("homeport backups preview daily/2026-11-22 everything");
  });
});

describe("the way from an operation to its wish", () => {
  const detail = { point: "daily/2026-11-22", asset: "mailbox:anna@home.test", folder: "", origin: "local", where: "beside" };
  const operation = (act: string, state: OperationView["state"]) => ({ id: "7", act, state, detail });

  test("leads to what a preview has found, and from a failed one to the same wish", () => {
    expect(restoreOf(operation("backups:preview", "done"))).toEqual({ ...detail, folder: "INBOX", preview: "7" });
    expect(restoreOf(operation("backups:preview", "failed"))?.preview).toBeUndefined();
    expect(restoreOf(operation("containers:stop", "done"))).toBeNull();
  });

  test("INBOX is no folder's name on disk", () => {
    expect([folderIn(undefined), folderIn("INBOX"), folderIn(".Sent")]).toEqual([null, "", ".Sent"]);
  });
});

test("of a result those members are shown that say something, in their order", () => {
  expect(membersOf({ bytes: 0, target: "/r", undo: null, safety_copy: "", plan: "5f", damage: [] }).map(([name]) => name)).toEqual(["target", "bytes", "damage"]);
  expect([membersOf(null), membersOf("x"), membersOf({ results: [] })]).toEqual([[], [], []]);
});
