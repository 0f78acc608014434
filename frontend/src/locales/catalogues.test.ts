// @vitest-environment node

import { expect, test } from "vitest";

import { catalogues, faults, sources } from "../../scripts/catalogues.ts";

const SOURCE = '"a.one" t(`b.${kind}.verb`)';
const texts = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));

test("both catalogues are complete, alike and used", () => {
  expect(faults(catalogues(), sources())).toEqual([]);
});

test.each([
  [{ "a.one": "一" }, {}, "en: a.one is missing"],
  [{}, { "a.one": "one" }, "ja: a.one is missing"],
  [{ "a.one": "一" }, { "a.one": " " }, "en: a.one is empty"],
  [{ "a.one": "{{count}} 個" }, { "a.one": "{{number}}" }, "a.one: the languages have different placeholders"],
  [{ "a.one_other": "{{count}} 個" }, { "a.one_other": "{{count}} things" }, "en: a.one_one is missing"],
  [{ "a.two": "二" }, { "a.two": "two" }, "a.two is not used"],
])("ja %j with en %j fails", (ja, en, fault) => {
  expect(faults({ ja: texts(ja as Record<string, string>), en: texts(en as Record<string, string>) }, SOURCE)).toContain(fault);
});

test.each(["確認メール", "ダッシュボード"])("Japanese has one word for a thing, which is not %s", (other) => {
  expect([...catalogues().ja].filter(([, text]) => text.includes(other))).toEqual([]);
});

test("a route is 経路 in Japanese, and ルート a root", () => {
  const rooms = ["act.", "dns.", "domain.", "plan.", "posture.", "problem.", "probe.", "tunnel."];
  expect([...catalogues().ja].filter(([key, text]) => rooms.some((room) => key.startsWith(room)) && text.includes("ルート"))).toEqual([]);
});

test("a key that a template makes is used, its neighbours are not", () => {
  const both = texts({ "b.stop.verb": "x", "b.stop.noun": "y" });
  expect(faults({ ja: both, en: both }, SOURCE)).toEqual(["b.stop.noun is not used"]);
});
