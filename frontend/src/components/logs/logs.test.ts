import { expect, test } from "vitest";

import { LogBuffer, MAX_LINES, type LogLine } from "./log-buffer";
import { LogSearch, matcherOf, type Matcher } from "./log-search";

function lines(count: number, text: (index: number) => string = (index) => `line ${index}`, from = 0): LogLine[] {
  return Array.from({ length: count }, (_, index) => ({
    at: `2026-11-22T00:00:00.${String(from + index).padStart(9, "0")}Z`,
    stream: "stdout",
    text: text(from + index),
    container: "blog-nginx",
  }));
}

function matcher(wanted: string, isExpression = false): Matcher {
  const found = matcherOf(wanted, isExpression);
  if (found === null || found === "invalid") throw new Error(`${wanted} looks for nothing`);
  return found;
}

test("a buffer keeps the newest lines under their numbers", () => {
  const buffer = new LogBuffer();
  for (let from = 0; from < MAX_LINES * 1.2; from += 1_000) buffer.append(lines(1_000, undefined, from));
  expect(buffer.end).toBe(MAX_LINES * 1.2);
  expect(buffer.length).toBeLessThan(MAX_LINES * 1.1);
  expect(buffer.length).toBeGreaterThanOrEqual(MAX_LINES);
  expect(buffer.line(buffer.end - 1)?.text).toBe("line 119999");
  expect(buffer.line(buffer.first - 1)).toBeUndefined();
});

test("lines that a resumed stream repeats are kept once, equal lines of other moments are not lost", () => {
  const buffer = new LogBuffer();
  buffer.append(lines(10, () => "same"));
  buffer.append(lines(5, () => "same", 5));
  buffer.append(lines(2, () => "same", 10));
  expect(buffer.length).toBe(12);
});

test("listeners hear of lines and of nothing else", () => {
  const buffer = new LogBuffer();
  let calls = 0;
  const leave = buffer.subscribe(() => (calls += 1));
  buffer.append(lines(3));
  buffer.append(lines(3)); // all known
  leave();
  buffer.append(lines(3, undefined, 3));
  expect(calls).toBe(1);
  expect(buffer.version()).toBe(2);
});

test("a search follows a growing log and forgets what was dropped", () => {
  const buffer = new LogBuffer();
  const search = new LogSearch(buffer, matcher("ERROR"));
  buffer.append([...lines(3, (index) => (index === 1 ? "an error" : "fine"))]);
  expect(search.matches()).toEqual([1]);
  buffer.append(lines(2, () => "Error again", 3));
  expect(search.matches()).toEqual([1, 3, 4]);
  buffer.clear();
  expect(search.matches()).toEqual([]);
});

test("context lines of near matches are not doubled", () => {
  const buffer = new LogBuffer();
  buffer.append(lines(20, (index) => (index === 5 || index === 7 ? "hit" : "miss")));
  expect(new LogSearch(buffer, matcher("hit")).withContext(2)).toEqual([3, 4, 5, 6, 7, 8, 9]);
});

test("width, case and colours do not hide a match", () => {
  expect(matcher("アラート").isMatch("ｱﾗｰﾄ: disk")).toBe(true);
  const buffer = new LogBuffer();
  buffer.append([{ at: "", stream: "stderr", text: "\u001b[31mfa\u001b[1mtal", container: "a" }]);
  expect(new LogSearch(buffer, matcher("FATAL")).matches()).toEqual([0]);
});

test("expressions are taken as they are, and a broken one is said to be one", () => {
  expect(matcher("4\\d\\d$", true).isMatch("GET / 404")).toBe(true);
  expect(matcher("o+", true).ranges("foo boo")).toEqual([[1, 3], [5, 7]]);
  expect(matcherOf("(", true)).toBe("invalid");
  expect(matcherOf("", true)).toBeNull();
  expect(matcher("x*", true).ranges("aaa")).toEqual([]);
});

test("100,000 lines are searched well within one frame budget of patience", () => {
  const buffer = new LogBuffer();
  buffer.append(lines(MAX_LINES, (index) => `2026 INFO request ${index} handled in 12 ms by worker`));
  expect(new LogSearch(buffer, matcher("99999")).matches()).toHaveLength(1);
});
