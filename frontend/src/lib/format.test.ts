import { expect, test } from "vitest";

import { bytes, duration, searchable } from "./format";
import { visible } from "./hostile-text";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.00 KiB"],
  [1_300_000_000, "1.21 GiB"],
  [1023 * 1024 ** 2, "1023 MiB"],
])("%i bytes are %s", (count, text) => {
  expect(bytes(count)).toBe(text);
});

test.each([
  [0, "0s"],
  [59.6, "1m"],
  [3_661, "1h 1m"],
  [90_000, "1d 1h"],
  [-5, "0s"],
])("%d seconds last %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test("width and case do not count when searching", () => {
  expect(searchable("ｱﾗｰﾄ ＡＢＣ")).toBe("アラート abc");
});

test("what cannot be seen is shown, joiners of emoji stay", () => {
  expect(visible("a\u0000b\u007fc\u202ed\u200be")).toBe("a␀b␡c⟨U+202E⟩d⟨U+200B⟩e");
  expect(visible("👩‍🔧 キリン")).toBe("👩‍🔧 キリン");
  expect(visible("a\tb\nc", "\t")).toBe("a\tb␊c");
});
