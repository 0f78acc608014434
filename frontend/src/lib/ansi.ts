/**
 * Terminal colours of a log line as spans (security.md 3.13): text and class names, never HTML.
 *
 * Select Graphic Rendition is understood; every other escape sequence is dropped, and what is left of a broken one is
 * shown by `visible`. Colours are the theme's sixteen: those of the 256 and the 24-bit palettes become the nearest of
 * them, so that text can be read in both themes. A style ends with its line, so that lines can be shown in any order.
 */

import { visible } from "./hostile-text";

export interface Span {
  text: string;
  className: string;
}

interface Style {
  colour: number | null; // 0 to 15
  background: number | null;
  marks: ReadonlySet<string>;
}

const PLAIN: Style = { colour: null, background: null, marks: new Set() };

// CSI ... final; OSC, DCS, PM, APC ... up to BEL or ST; two-character escapes
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const SEQUENCE = /\u001b\[([0-9;:]*)([\u0020-\u002f]*)([\u0040-\u007e])|\u001b[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\|$)|\u001b[\u0020-\u002f]*[\u0030-\u004f\u0051-\u0057\u0059\u005a\u005c\u0060-\u007e]/g;
const MAX_PARAMETERS = 64;

const MARKS: ReadonlyMap<number, string> = new Map([
  [1, "ansi-bold"],
  [2, "ansi-faint"],
  [3, "ansi-italic"],
  [4, "ansi-underlined"],
  [7, "ansi-inverse"],
  [9, "ansi-struck"],
]);
const UNMARKS: ReadonlyMap<number, readonly string[]> = new Map([
  [22, ["ansi-bold", "ansi-faint"]],
  [23, ["ansi-italic"]],
  [24, ["ansi-underlined"]],
  [27, ["ansi-inverse"]],
  [29, ["ansi-struck"]],
]);

export function parseAnsi(line: string): readonly Span[] {
  if (!line.includes("\u001b")) return line === "" ? [] : [{ text: visible(line, "\t"), className: "" }];
  const spans: Span[] = [];
  let style = PLAIN;
  let from = 0;
  const push = (to: number): void => {
    if (to > from) spans.push({ text: visible(line.slice(from, to), "\t"), className: classOf(style) });
  };
  for (const match of line.matchAll(SEQUENCE)) {
    push(match.index);
    from = match.index + match[0].length;
    if (match[3] === "m" && !match[2]) style = rendered(style, match[1] ?? "");
  }
  push(line.length);
  return spans;
}

/** The text alone, as it is searched and copied. */
export function withoutAnsi(line: string): string {
  return line.includes("\u001b") ? line.replace(SEQUENCE, "") : line;
}

function rendered(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/, MAX_PARAMETERS).map((each) => (each === "" ? 0 : Number(each)));
  let next = style;
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 38 || code === 48) {
      const [colour, used] = extended(codes.slice(index + 1));
      index += used;
      if (colour !== null) next = { ...next, [code === 38 ? "colour" : "background"]: colour };
    } else next = applied(next, code);
  }
  return next;
}

function applied(style: Style, code: number): Style {
  const mark = MARKS.get(code);
  if (mark) return { ...style, marks: new Set([...style.marks, mark]) };
  const unmarks = UNMARKS.get(code);
  if (unmarks) return { ...style, marks: new Set([...style.marks].filter((each) => !unmarks.includes(each))) };
  if (code === 0) return PLAIN;
  if (code === 39) return { ...style, colour: null };
  if (code === 49) return { ...style, background: null };
  if (code >= 30 && code <= 37) return { ...style, colour: code - 30 };
  if (code >= 40 && code <= 47) return { ...style, background: code - 40 };
  if (code >= 90 && code <= 97) return { ...style, colour: code - 90 + 8 };
  if (code >= 100 && code <= 107) return { ...style, background: code - 100 + 8 };
  return style;
}

/** What follows 38 or 48: the nearest of the sixteen, and how many parameters it took. */
function extended(codes: readonly number[]): readonly [number | null, number] {
  const [kind, first = 0, second = 0, third = 0] = codes;
  if (kind === 5) return [first < 16 ? first : nearest(...ofPalette(first)), 2];
  if (kind === 2) return [nearest(first, second, third), 4];
  return [null, 1];
}

function ofPalette(index: number): readonly [number, number, number] {
  if (index >= 232) {
    const grey = Math.min(255, 8 + (index - 232) * 10);
    return [grey, grey, grey];
  }
  const level = (step: number): number => (step === 0 ? 0 : 55 + step * 40);
  const cube = index - 16;
  return [level(Math.floor(cube / 36) % 6), level(Math.floor(cube / 6) % 6), level(cube % 6)];
}

/** Which of the eight hues: a channel counts when it is near the strongest one; bright when that one is strong. */
function nearest(red: number, green: number, blue: number): number {
  const strongest = Math.max(red, green, blue);
  if (strongest < 64) return 0;
  const on = (channel: number): number => (channel > strongest * 0.6 ? 1 : 0);
  return on(red) + on(green) * 2 + on(blue) * 4 + (strongest > 192 ? 8 : 0);
}

function classOf({ colour, background, marks }: Style): string {
  return [...marks, colour === null ? "" : `ansi-${colour}`, background === null ? "" : `ansi-on-${background}`].filter(Boolean).join(" ");
}
