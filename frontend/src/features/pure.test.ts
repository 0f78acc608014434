import { expect, test } from "vitest";

import { marked } from "@/components/logs/log-row";
import { matcherOf, type Matcher } from "@/components/logs/log-search";
import { Joiner } from "@/components/logs/sources";
import { parseAnsi } from "@/lib/ansi";
import type { OperationNews, OperationView } from "@/lib/operations";
import { undoable } from "@/lib/plans";

import { changed } from "./audit/audit-details";
import { rates } from "./containers/stats-panels";
import { isStepOf, merged } from "./operations/running";

test("a match is marked across colours, and colours stay", () => {
  const spans = marked(parseAnsi("a \u001b[31mfai\u001b[32mled\u001b[0m b"), matcherOf("failed", false) as Matcher);
  expect(spans.map(({ text, className, isMatch }) => [text, className, isMatch])).toEqual([
    ["a ", "", false],
    ["fai", "ansi-1", true],
    ["led", "ansi-2", true],
    [" b", "", false],
  ]);
});

test("several matches in one span are marked one by one", () => {
  const spans = marked(parseAnsi("x1x2x"), matcherOf("x", false) as Matcher);
  expect(spans.filter(({ isMatch }) => isMatch)).toHaveLength(3);
  expect(spans.map(({ text }) => text).join("")).toBe("x1x2x");
});

test("a line that came in pieces is one line, each stream for itself", () => {
  const joiner = new Joiner("blog");
  const piece = (text: string, is_partial: boolean, stream: "stdout" | "stderr" = "stdout") => ({ at: text, stream, text, is_partial });
  expect(joiner.whole([piece("one ", true), piece("err", false, "stderr")]).map(({ text }) => text)).toEqual(["err"]);
  expect(joiner.whole([piece("line", false)])).toEqual([{ at: "one ", stream: "stdout", text: "one line", container: "blog" }]);
});

test("a rate is unknown for the first sample and where the counter began anew", () => {
  expect(rates([0, 1_000, 3_000, 4_000], [10, 20, 60, 5])).toEqual([null, 10, 20, null]);
});

test("members of both documents stand side by side", () => {
  expect(changed({ role: "viewer", name: "anna" }, { role: "admin" })).toEqual([
    { field: "role", before: "viewer", after: "admin" },
    { field: "name", before: "anna", after: "" },
  ]);
  expect(changed(null, null)).toEqual([]);
  expect(changed(null, "text\u202e")).toEqual([{ field: "", before: "", after: "text⟨U+202E⟩" }]);
});

test("news of an operation add its new lines, once", () => {
  const line = (number: number) => ({ number, at: 0, text: `line ${number}` });
  const known = { state: "running", lines: [line(1), line(2)] } as OperationView;
  const after = merged(known, { state: "done", lines: [line(2), line(3)] } as OperationNews);
  expect([after.state, after.lines.map(({ number }) => number)]).toEqual(["done", [1, 2, 3]]);
});

test("a start that a plan has begun is a step of it; the plan, another name and another room are not", () => {
  const detail = { changes: [{ name: "blog-nginx", before: "stopped", after: "running" }] };
  const whole = { id: "1", act: "containers:apply", target: "plan of blog-nginx", detail } as unknown as OperationView;
  const step = { id: "2", act: "containers:start", target: "blog-nginx" };
  expect(isStepOf(step, whole)).toBe(true);
  expect(isStepOf(whole, whole)).toBe(false);
  expect(isStepOf({ ...step, target: "blog-php" }, whole)).toBe(false);
  expect(isStepOf({ ...step, act: "backups:run" }, whole)).toBe(false);
  expect(isStepOf(step, undefined)).toBe(false);
});

test("only what has applied a plan can be undone, and only when it has ended", () => {
  const inverse = { act: "containers:apply", target: "plan of blog-nginx", plan_id: "p" };
  const applied = { act: "containers:apply", state: "done", inverse, error: null } as const;
  const failed = (type: string) => ({ ...applied, state: "failed", error: { type: `/problems/${type}`, title: "", detail: "" } }) as const;
  expect([applied, failed("plan-incomplete"), failed("plan-stale"), failed("plan-applied")].map(undoable)).toEqual(["p", "p", null, null]);
  expect(undoable({ ...applied, state: "running" })).toBeNull();
  expect(undoable({ ...applied, act: "containers:start", inverse: { ...inverse, plan_id: null } })).toBeNull();
});
