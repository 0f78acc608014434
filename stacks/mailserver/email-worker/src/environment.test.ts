/** Settings: what is accepted, and that a mistake in one of them never stops mail. */

import { describe, expect, test } from "vitest";
import { SECRET, World } from "../test/edge";
import { type Env, numberOf, originOf } from "./environment";

const good = (changed: Env = {}): Env => ({
  ...new World(null).env,
  MAIL_API_URL: "https://mail-api.example.com",
  ...changed,
});

describe("the origin", () => {
  test.each([
    ["https://mail-api.example.com", "https://mail-api.example.com"],
    ["https://mail-api.example.com/", "https://mail-api.example.com"],
    ["HTTPS://Mail-API.example.com:8443", "https://mail-api.example.com:8443"],
    ["http://127.0.0.1:8025", "http://127.0.0.1:8025"],
    ["http://localhost:8025", "http://localhost:8025"],
    ["http://[::1]:8025", "http://[::1]:8025"],
  ])("%s is taken", (url, origin) => {
    expect(originOf(good({ MAIL_API_URL: url })).url).toBe(origin);
  });

  test.each([
    "",
    "mail-api.example.com",
    "http://mail-api.example.com",
    "http://127.0.0.1.example.com",
    "ftp://mail-api.example.com",
    "https://mail-api.example.com/v1",
    "https://mail-api.example.com/?a=b",
    "https://user:password@mail-api.example.com",
  ])("%j is not", (url) => {
    expect(() => originOf(good({ MAIL_API_URL: url }))).toThrow(/MAIL_API_URL/);
  });

  test.each<[string, Env]>([
    ["MAIL_API_KEY", { MAIL_API_KEY: SECRET.slice(2) }],
    ["MAIL_API_KEY", { MAIL_API_KEY: `${SECRET.slice(1)}x` }],
    ["MAIL_API_KEY_ID", { MAIL_API_KEY_ID: "Key" }],
    ["MAIL_API_KEY_ID", { MAIL_API_KEY_ID: "" }],
    ["ACCESS_CLIENT_ID", { ACCESS_CLIENT_SECRET: "alone" }],
    ["ACCESS_CLIENT_ID", { ACCESS_CLIENT_ID: "alone" }],
  ])("an unusable %s is named, its value is not", (name, changed) => {
    const values = Object.values(changed) as string[];
    expect(() => originOf(good(changed))).toThrow(name);
    for (const value of values.filter(Boolean)) expect(() => originOf(good(changed))).not.toThrow(value);
  });
});

describe("a number", () => {
  test.each([
    [undefined, 5],
    ["", 5],
    ["1", 1],
    ["90", 90],
    ["0", 5],
    ["-1", 5],
    ["1.5", 5],
    ["5 minutes", 5],
    ["1e3", 5],
    ["9999999999", 5],
  ])("%j is read as %i", (text, read) => {
    expect(numberOf(good(text === undefined ? {} : { WATCHDOG_MINUTES: text }), "WATCHDOG_MINUTES")).toBe(read);
  });

  // with fewer, every tick would postpone a poisonous message, which would stand in the way of all others
  test.each([
    ["29", 50],
    ["30", 30],
    ["10000", 10_000],
  ])("%s subrequests are %d", (text, read) => {
    expect(numberOf(good({ SUBREQUESTS: text }), "SUBREQUESTS")).toBe(read);
  });
});
