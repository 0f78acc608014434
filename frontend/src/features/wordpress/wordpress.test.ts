import { expect, test } from "vitest";

import { newPlanIn, roomOf, siteChangeName, sitePlan } from "@/lib/plans";
import { Problem } from "@/lib/problem";

import { wpWords } from "./wp-line";

test.each([
  ["wp plugin list --status=active", { command: ["plugin", "list"], arguments: [], options: { status: "active" } }],
  ["cron event run --due-now", { command: ["cron", "event", "run"], arguments: [], options: { "due-now": "" } }],
  [`option update blogname "Anna's \\"garden\\""`, { command: ["option", "update"], arguments: ["blogname", `Anna's "garden"`], options: {} }],
  ["search-replace 'old text' new --dry-run", { command: ["search-replace"], arguments: ["old text", "new"], options: { "dry-run": "" } }],
  ["option update blogdescription a=b; rm -rf $(x)", { command: ["option", "update"], arguments: ["blogdescription", "a=b;", "rm", "-rf", "$(x)"], options: {} }],
])("%s is taken apart without a shell", (line, words) => {
  expect(wpWords(line)).toEqual(words);
});

test.each([
  ["plugin:quay-forms@any", "plugin quay-forms"],
  ["theme:garden", "theme garden"],
  ["core", "core"],
  [`search-replace:["http://a.example","https://b.example",["guid"]]`, "http://a.example → https://b.example"],
  ["search-replace:not JSON", "search-replace:not JSON"],
])("the change %s is called %s", (name, shown) => {
  expect(siteChangeName(name)).toBe(shown);
});

const PLAN = {
  id: "01J",
  act: "wordpress:apply",
  target: "alder",
  changes: [{ name: "core", kind: "core" as const, subject: "", before: { version: "6.8" }, after: { version: "6.9" }, source: "wordpress.org", has_way_back: false, suffers: ["no-way-back"] }],
  unchanged: [],
  restore_point: "none" as const,
  created_at: "2026-11-01T00:00:00Z",
  expires_at: "2026-11-01T00:15:00Z",
  undoes: null,
  operation_id: null,
};

test("a stale plan of a site is shown as the dialog wants it", () => {
  const found = newPlanIn(new Problem(409, { type: "/problems/plan-stale", plan: PLAN }));
  expect(found).toEqual(sitePlan(PLAN));
  expect(found?.changes[0]).toMatchObject({ is_protected: false, used_by: [], suffers: ["no-way-back"] });
});

test("configuring mail is permitted by the act that has it in the policy table", () => {
  expect(roomOf("wordpress:mail")?.permission).toBe("wordpress:configure");
});
