import { beforeEach, expect, test } from "vitest";

import type { DnsPlan, OperationView } from "@/api/types.gen";
import { chosenColumns, keepColumns } from "@/lib/columns";
import { changeCount, recordProblemsIn, roomOf, undoable } from "@/lib/plans";
import { Problem } from "@/lib/problem";
import { quoted } from "@/lib/shell";

import { listCommand } from "./command-lines";
import { formatOf } from "./import-format";

const ALL = ["type", "name", "content", "tags"] as const;
const PROPOSED = ["type", "name", "content"] as const;

beforeEach(() => localStorage.clear());

test("columns are those of the address, else those chosen here, else the proposed ones, always in the table's order", () => {
  expect(chosenColumns("records", ALL, PROPOSED, undefined)).toEqual(PROPOSED);
  expect(keepColumns("records", ["name", "tags"], PROPOSED)).toBe("name,tags");
  expect(chosenColumns("records", ALL, PROPOSED, undefined)).toEqual(["name", "tags"]);
  expect(chosenColumns("records", ALL, PROPOSED, "content,name,nonsense")).toEqual(["name", "content"]);
  expect(chosenColumns("records", ALL, PROPOSED, "nonsense")).toEqual(["name", "tags"]);
  expect(keepColumns("records", ["type", "name", "content"], PROPOSED)).toBeUndefined();
  expect(chosenColumns("records", ALL, PROPOSED, undefined)).toEqual(PROPOSED);
});

test("a plan counts all its changes, also those that are not sent", () => {
  const plan = { changes: [{}, {}], counts: { create: 300, delete: 10 } } as unknown as DnsPlan;
  expect(changeCount(plan)).toBe(310);
  expect(changeCount({ changes: plan.changes })).toBe(2);
});

test("what is wrong with edits or lines is found in the problem that refused them", () => {
  const fault = { field: "content", code: "address-v4", params: {}, text: "no", severity: "error" };
  expect(recordProblemsIn(new Problem(422, { type: "/problems/record-invalid", edits: [{ index: 0, problems: [fault] }, { index: 3 }] }))).toEqual([fault]);
  expect(recordProblemsIn(new Problem(422, { type: "/problems/import-invalid", problems: [fault, fault] }))).toHaveLength(2);
  expect(recordProblemsIn(new Problem(500, { edits: "nonsense" }))).toEqual([]);
  expect(recordProblemsIn(new Error("no problem at all"))).toEqual([]);
});

test("a record of a plan is called by its type and name, without what makes its key", () => {
  const nameOf = roomOf("dns:apply")?.nameOf ?? String;
  expect(nameOf("A www.example.com 0123456789ab")).toBe("A www.example.com");
  expect(nameOf("TXT example.com 0123456789ab #2")).toBe("TXT example.com");
  expect(nameOf("A abcdefabcdef.example.com")).toBe("A abcdefabcdef.example.com");
});

test.each([
  ["/problems/dns-apply-unfinished", "plan"],
  ["/problems/dns-apply-reverted", null],
  ["/problems/dns-change-refused", null],
])("after %s what can be undone is %s", (type, id) => {
  const operation = { act: "dns:apply", state: "failed", inverse: { act: "dns:apply", target: "example.com", plan_id: "plan" }, error: { type } } as unknown as OperationView;
  expect(undoable(operation)).toBe(id);
});

test.each([
  ["zone.csv", "", "csv"],
  ["export.JSON", "", "json"],
  ["example.com.zone", "[", "bind"],
  ["", "  [{}]", "json"],
  ["", "type,name,content", "csv"],
  ["notes.txt", "$ORIGIN example.com.", "bind"],
])("the file %s that begins with %j is %s", (name, text, format) => {
  expect(formatOf(name, text)).toBe(format);
});

test("the command of a list says what its filter says, ready for a shell", () => {
  expect(listCommand("example.com", {})).toBe("homeport dns list example.com");
  expect(listCommand("example.com", { find: "a b", type: "TXT", proxied: "no", show: "drifted" })).toBe("homeport dns list example.com --find 'a b' --type TXT --no-proxied --show drifted");
  expect(quoted("it's")).toBe("'it'\\''s'");
});
