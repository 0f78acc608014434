/**
 * Which lines of a log match. Each line is looked at once, however often the log grows. Width and case do not count in
 * plain text; a regular expression is taken as it is, without regard to case.
 */

import { withoutAnsi } from "@/lib/ansi";
import { searchable } from "@/lib/format";

import type { LogBuffer } from "./log-buffer";

const MAX_SEARCHED = 10_000; // characters of one line: an expression must not hang the page on a line of megabytes

export interface Matcher {
  isMatch: (text: string) => boolean;
  /** Where the matches of a line are: from and to, in order. */
  ranges: (text: string) => readonly (readonly [number, number])[];
}

/** Given what was typed, return what it looks for, null for nothing, or "invalid" for an expression that is none. */
export function matcherOf(wanted: string, isExpression: boolean): Matcher | null | "invalid" {
  if (wanted === "") return null;
  if (isExpression) {
    try {
      const expression = new RegExp(wanted, "giu");
      return {
        isMatch: (text) => text.slice(0, MAX_SEARCHED).search(expression) >= 0,
        ranges: (text) =>
          Array.from(text.slice(0, MAX_SEARCHED).matchAll(expression))
            .filter((match) => match[0] !== "")
            .map((match) => [match.index, match.index + match[0].length] as const),
      };
    } catch {
      return "invalid";
    }
  }
  const needle = searchable(wanted);
  return {
    isMatch: (text) => searchable(text.slice(0, MAX_SEARCHED)).includes(needle),
    ranges: (text) => {
      const haystack = searchable(text.slice(0, MAX_SEARCHED));
      if (haystack.length !== Math.min(text.length, MAX_SEARCHED)) return []; // places moved: the line is marked as a whole
      const found: [number, number][] = [];
      for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + needle.length)) found.push([at, at + needle.length]);
      return found;
    },
  };
}

export class LogSearch {
  #next = 0;
  #matches: number[] = [];

  constructor(
    private readonly buffer: LogBuffer,
    readonly matcher: Matcher,
  ) {}

  /** Numbers of the lines that match, oldest first. */
  matches(): readonly number[] {
    for (let number = Math.max(this.#next, this.buffer.first); number < this.buffer.end; number += 1) {
      const line = this.buffer.line(number);
      if (line && this.matcher.isMatch(withoutAnsi(line.text))) this.#matches.push(number);
    }
    this.#next = this.buffer.end;
    const gone = this.#matches.findIndex((number) => number >= this.buffer.first);
    if (gone !== 0) this.#matches = gone < 0 ? [] : this.#matches.slice(gone);
    return this.#matches;
  }

  /** Numbers of the lines that match and of those around them, in order. */
  withContext(lines: number): readonly number[] {
    const numbers: number[] = [];
    let next = this.buffer.first;
    for (const match of this.matches()) {
      for (let number = Math.max(next, match - lines); number <= Math.min(match + lines, this.buffer.end - 1); number += 1) numbers.push(number);
      next = Math.max(next, match + lines + 1);
    }
    return numbers;
  }
}
