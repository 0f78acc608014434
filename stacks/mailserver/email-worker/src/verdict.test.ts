/** What an answer means, against the vectors that both sides share, and where one member decides. */

import { describe, expect, test } from "vitest";
import vectors from "../../../../tests/contract/wire_vectors/answers.json";
import { rejection, verdictOf } from "./verdict";

const MESSAGE = { id: vectors.message_id, sha256: vectors.sha256 };

/** As `post` reads it: null when the body is no UTF-8. */
function textOf(base64: string): string | null {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    return null;
  }
}

test.each(vectors.cases)("answers.json: $name", ({ status, content_type, body, verdict }) => {
  expect(verdictOf({ status, contentType: content_type, text: textOf(body) }, MESSAGE)).toMatchObject(verdict);
});

describe("a final refusal under every status", () => {
  const text = JSON.stringify({ message_id: MESSAGE.id, smtp: { code: 554, enhanced: "5.7.1", text: "no" } });
  const kindUnder = (status: number): string =>
    verdictOf({ status, contentType: "application/problem+json", text }, MESSAGE).kind;

  test("is final exactly where wire.md does not say that it never is", () => {
    const never = new Set([400, 401, 403, 408, 409, 429]);
    for (let status = 200; status < 600; status++)
      expect([status, kindUnder(status)]).toEqual([
        status,
        status >= 400 && !never.has(status) ? "refused" : "undecided",
      ]);
  });
});

describe("what the sender gets to hear", () => {
  test.each([
    ["5.1.1", "Mailbox does not exist", "5.1.1 Mailbox does not exist"],
    ["5.1.1", "two\r\nlines\0", "5.1.1 two lines"],
    ["5.1.1", "\u{1F4EB} na\u00efve", "5.1.1   na ve"],
    ["5.1.1", "", "5.1.1"],
  ])("%s %j is one line of printable ASCII", (enhanced, given, heard) => {
    expect(rejection(enhanced, given)).toBe(heard);
  });

  test("an endless text is cut to fit an SMTP reply", () => {
    expect(rejection("5.1.1", "x".repeat(10_000)).length).toBeLessThanOrEqual(500);
  });

  test.each([
    { enhanced: "4.1.1" },
    { enhanced: "5.1" },
    { enhanced: "5.1.1 250 OK" },
    { enhanced: 5 },
    { text: 5 },
    { text: null },
  ])("smtp with %j decides nothing", (wrong) => {
    const smtp = { code: 550, enhanced: "5.1.1", text: "no", ...wrong };
    const text = JSON.stringify({ message_id: MESSAGE.id, smtp });
    expect(verdictOf({ status: 404, contentType: "application/problem+json", text }, MESSAGE).kind).toBe("undecided");
  });
});

describe("the slug that a drain counts by", () => {
  const slugOf = (document: object, status = 400): unknown => {
    const verdict = verdictOf(
      { status, contentType: "application/problem+json", text: JSON.stringify(document) },
      MESSAGE,
    );
    return verdict.kind === "undecided" ? verdict.problem : verdict.kind;
  };

  test("is that of a problem which speaks of this message, and of no other", () => {
    expect(slugOf({ type: "/problems/body-mismatch", message_id: MESSAGE.id })).toBe("body-mismatch");
    expect(slugOf({ type: "about:blank", message_id: MESSAGE.id })).toBe("unknown");
    expect(slugOf({ type: "/problems/x\u0000y", message_id: MESSAGE.id })).toBe("unknown");
    expect(slugOf({ type: "/problems/body-mismatch" })).toBe("");
    expect(slugOf({ type: "/problems/body-mismatch", message_id: "0".repeat(32) })).toBe("");
  });
});
