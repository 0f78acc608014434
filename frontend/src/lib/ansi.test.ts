import { expect, test } from "vitest";

import { parseAnsi, withoutAnsi } from "./ansi";

const ESC = "\u001b";

test("text without escapes is one plain span", () => {
  expect(parseAnsi("GET /wp-login.php 200")).toEqual([{ text: "GET /wp-login.php 200", className: "" }]);
});

test("an empty line has no spans", () => {
  expect(parseAnsi("")).toEqual([]);
});

test.each([
  [`${ESC}[31mred${ESC}[0m plain`, [["red", "ansi-1"], [" plain", ""]]],
  [`${ESC}[1;32mok${ESC}[22m thin`, [["ok", "ansi-bold ansi-2"], [" thin", "ansi-2"]]],
  [`${ESC}[97;44mx${ESC}[39;49my`, [["x", "ansi-15 ansi-on-4"], ["y", ""]]],
  [`${ESC}[mreset by nothing`, [["reset by nothing", ""]]],
  [`${ESC}[38;5;196mcube`, [["cube", "ansi-9"]]],
  [`${ESC}[38;5;3mlow`, [["low", "ansi-3"]]],
  [`${ESC}[38;5;244mgrey`, [["grey", "ansi-7"]]],
  [`${ESC}[38;2;20;200;30mtrue`, [["true", "ansi-10"]]],
  [`${ESC}[48:2:0:0:140mcolons`, [["colons", "ansi-on-4"]]],
  [`${ESC}[38;9;1mignored`, [["ignored", "ansi-bold"]]],
])("%j is coloured", (line, spans) => {
  expect(parseAnsi(line).map(({ text, className }) => [text, className])).toEqual(spans);
});

test.each([
  [`${ESC}[2J${ESC}[Hcleared`, "cleared"],
  [`${ESC}]0;title\u0007after`, "after"],
  [`${ESC}]8;;https://evil.example${ESC}\\link${ESC}]8;;${ESC}\\`, "link"],
  [`${ESC}(Bcharset`, "charset"],
  [`${ESC}Pq#0;2;0;0;0${ESC}\\sixel`, "sixel"],
  [`${ESC}]never ends`, ""],
])("%j is no colour and leaves nothing behind", (line, text) => {
  expect(parseAnsi(line).map((span) => span.text).join("")).toBe(text);
  expect(withoutAnsi(line)).toBe(text);
});

test("what is left of a broken sequence, and other controls, are visible", () => {
  expect(parseAnsi(`a${ESC}[31`).map((span) => span.text).join("")).toBe("a␛[31");
  expect(parseAnsi("a\rb\u0000\u202ec\td")).toEqual([{ text: "a␍b␀⟨U+202E⟩c\td", className: "" }]);
});

test("markup is text", () => {
  expect(parseAnsi(`${ESC}[1m<img src=x onerror=alert(1)>`)).toEqual([{ text: "<img src=x onerror=alert(1)>", className: "ansi-bold" }]);
});

test("a hostile number of parameters takes no time", () => {
  expect(parseAnsi(`${ESC}[${"1;".repeat(100_000)}mx`)).toEqual([{ text: "x", className: "ansi-bold" }]);
});
