/** The log: one JSON line for each event, and nothing in it that is the sender's, the recipient's or a secret. */

import { afterEach, expect, test, vi } from "vitest";
import { RECIPIENTS, World, arriving } from "../test/edge";
import { SMTP, type Answer, ScriptedOrigin, problem, receipt } from "../test/origin";
import { log, reasonOf } from "./log";
import { receive } from "./receive";
import { tick } from "./tick";

afterEach(() => vi.restoreAllMocks());

function listen(): string[] {
  const lines: string[] = [];
  for (const level of ["log", "warn", "error"] as const)
    vi.spyOn(console, level).mockImplementation((line: string) => void lines.push(line));
  return lines;
}

test("an event is one line of JSON with its level and name", () => {
  const lines = listen();
  log.info("a", { size: 1 });
  log.warning("b", { why: "two\nlines" });
  log.error("c");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { level: "info", event: "a", size: 1 },
    { level: "warning", event: "b", why: "two\nlines" },
    { level: "error", event: "c" },
  ]);
  expect(lines.join("")).not.toContain("\n");
});

test("what an exception says is cut, and anything may be thrown", () => {
  expect(reasonOf(new TypeError("x".repeat(1_000))).length).toBeLessThanOrEqual(200);
  expect(reasonOf("text")).toBe("text");
  expect(reasonOf(undefined)).toBe("undefined");
});

test("whatever happens, the log has no address, subject, body, secret or webhook in it", async () => {
  const lines = listen();
  const hook = await ScriptedOrigin.open({ pages: { "/services/T0KEN": { status: 500 } } });
  const page: Answer = { headers: { "Content-Type": "text/html" }, body: "<html>stranger's words</html>" };
  const origin = await ScriptedOrigin.open({
    messages: [
      receipt(),
      page,
      problem(503, "spool-unavailable", { detail: "stranger's words" }),
      problem(404, "unknown-mailbox", { smtp: SMTP }),
      problem(400, "body-mismatch"),
    ],
    health: [page],
  });
  const secrets = { RECIPIENTS_KEY: "9d".repeat(32), ACCESS_CLIENT_ID: "cl1ent", ACCESS_CLIENT_SECRET: "s3cret" };
  const world = new World(origin, {
    ...secrets,
    RECIPIENTS,
    ALERT_WEBHOOK: `${hook.url}/services/T0KEN`,
    WATCHDOG_MINUTES: "1",
    POISON_LIMIT: "1",
  });
  const list = { v: 1, at: world.nowMs / 1000, complete: true, catch_all: false, delimiter: "+", hashes: [] };
  const raw = "Subject: Subj3ct\r\n\r\nb0dy\r\n";

  for (let count = 0; count < 4; count++)
    await receive(arriving(raw, { from: "al1ce@example.org", to: "b0b@example.com" }), world);
  for (const value of [JSON.stringify(list), "{", JSON.stringify({ ...list, at: 0 })]) {
    await RECIPIENTS.put("recipients/example.com", value);
    await origin.down();
    await receive(arriving(raw, { from: "al1ce@example.org", to: "b0b@example.com" }), world);
    await origin.up();
  }
  for (let minute = 0; minute < 3; minute++) {
    await tick(world);
    world.nowMs += 60_000;
  }
  await world.settled();

  const events = new Set(lines.map((line) => (JSON.parse(line) as { event: string }).event));
  const expected = [
    "message_accepted",
    "message_retained",
    "message_refused",
    "message_unlisted",
    "message_held",
    "alert_failed",
  ];
  for (const event of [...expected, "recipients_unreadable", "recipients_not_fresh"]) expect(events).toContain(event);
  const text = lines.join("\n");
  const hidden = [
    "al1ce",
    "b0b@",
    "Subj3ct",
    "b0dy",
    "stranger",
    "T0KEN",
    "cl1ent",
    "s3cret",
    "9d9d9d9d",
    world.env.MAIL_API_KEY!,
  ];
  for (const word of hidden) expect(text).not.toContain(word);
});
