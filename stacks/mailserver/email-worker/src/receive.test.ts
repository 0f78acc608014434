/** `email()`: what arrives is posted, refused, retained or handed back to the sender, and never anything else. */

import { describe, expect, test } from "vitest";
import {
  type Arriving,
  KEY_ID,
  RETAINED,
  World,
  arriving,
  bucketWith,
  bytesOf,
  inChunks,
  never,
  sha256,
  signatureOf,
} from "../test/edge";
import {
  HTML_TYPE,
  LOGIN_PAGE,
  PROBLEM_TYPE,
  SMTP,
  ScriptedOrigin,
  type Answer,
  problem,
  receipt,
} from "../test/origin";
import { toBase64Url, toHex } from "./encoding";
import { NotTaken, readRaw, receive } from "./receive";

const PENDING = /^pending\/[0-9]{13}-[0-9a-f]{32}\.eml$/;

async function open(...messages: Answer[]): Promise<ScriptedOrigin> {
  return ScriptedOrigin.open({ messages, pages: { "/login": LOGIN_PAGE } });
}

/** Expect that the message lies in R2 as it came, and that the sender heard nothing against it. */
async function expectRetained(world: World, message: Arriving, raw: Uint8Array<ArrayBuffer>): Promise<R2ObjectBody> {
  expect(message.rejected).toEqual([]);
  const keys = await world.keys("pending/");
  expect(keys).toEqual([expect.stringMatching(PENDING)]);
  const object = (await RETAINED.get(keys[0]!))!;
  expect(object.size).toBe(raw.length);
  expect(object.customMetadata?.["sha256"]).toBe(await sha256(raw));
  expect(toHex(object.checksums.sha256!)).toBe(await sha256(raw));
  return object;
}

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, at) => at);
const KINDS: [string, Uint8Array<ArrayBuffer>][] = [
  ["usual", bytesOf("From: a@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n")],
  ["of every byte value, no line end", ALL_BYTES],
  [
    "8-bit that is no UTF-8",
    Uint8Array.from([...bytesOf("Subject: caf"), 0xe9, 0x0d, 0x0a, 0x0d, 0x0a, 0xff, 0xfe, 0x80]),
  ],
  ["with NUL in a header", bytesOf("Subject: a\0b\r\n\r\n\0\0")],
  ["with bare CR, bare LF and dot lines", bytesOf("A: b\r\n\r\n.\r\n..\r\n.\n\r.\r\r\n")],
  ["without Message-ID, From or any header", bytesOf("\r\nbody alone\r\n")],
  ["empty", new Uint8Array()],
  ["of 25 MiB", new Uint8Array(25 * 1024 * 1024).fill(0xe9)],
];

describe("the message travels byte for byte", () => {
  test.each(KINDS)("a message %s reaches the mail API and is left to it", async (_, raw) => {
    const origin = await open(receipt());
    const world = new World(origin);
    const message = arriving(raw);
    await receive(message, world);
    await world.settled();

    const [heard] = await origin.heard();
    expect(heard).toMatchObject({ method: "POST", path: "/v1/messages", size: raw.length, isComplete: true });
    expect(heard!.sha256).toBe(await sha256(raw));
    expect(heard!.headers["homeport-content-sha256"]).toBe(await sha256(raw));
    expect(heard!.headers["homeport-content-length"]).toBe(String(raw.length));
    expect(heard!.headers["content-type"]).toBe("message/rfc822");
    expect(message.rejected).toEqual([]);
    expect(await world.keys()).toEqual([]); // nothing is retained, and delivered mail is counted by the mail API
  });

  test.each(KINDS)("a message %s is retained as it came while the mail API is down", async (_, raw) => {
    const world = new World(null);
    const message = arriving(raw);
    await receive(message, world);
    const object = await expectRetained(world, message, raw);
    expect(await sha256(new Uint8Array(await object.arrayBuffer()))).toBe(await sha256(raw));
  });

  describe.each<[string, (raw: Uint8Array<ArrayBuffer>) => ReadableStream<Uint8Array>]>([
    ["of the runtime", (raw) => new Response(raw).body!],
    ["that comes through a pipe", (raw) => inChunks(raw, 1_009).pipeThrough(new IdentityTransformStream())],
    ["of JavaScript's own", (raw) => inChunks(raw, 1_009)],
  ])("a stream %s", (_, streamOf) => {
    const raw = crypto.getRandomValues(new Uint8Array(40_000));

    test.each([0, 1, 1_009, 39_999, 40_000, 40_001, 1_000_000, -1, Number.NaN])(
      "is read whole when %d bytes were announced",
      async (hint) => {
        expect(await readRaw(streamOf(raw), hint)).toEqual(raw);
      },
    );

    test("may be empty, whatever was announced", async () => {
      for (const hint of [0, 1, 1_000])
        expect(await readRaw(streamOf(new Uint8Array()), hint)).toEqual(new Uint8Array());
    });
  });
});

describe("the envelope", () => {
  test.each([
    ["usual", "alice@example.org", "bob@example.com", "alice@example.org"],
    ["null sender", "", "bob@example.com", ""],
    ["null sender as <>", "<>", "bob@example.com", ""],
    [
      "not ASCII",
      "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@example.org",
      "\u7528\u6237@example.com",
      "\u03b4\u03bf\u03ba\u03b9\u03bc\u03ae@example.org",
    ],
    ["in quotes", '"a b"@example.org', '"c@d"@example.com', '"a b"@example.org'],
  ])("%s: posted and retained as given", async (_, from, to, sender) => {
    const origin = await open(problem(503, "spool-unavailable"));
    const world = new World(origin);
    await receive(arriving(undefined, { from, to }), world);

    const [heard] = await origin.heard();
    expect(heard!.headers["homeport-mail-from"]).toBe(toBase64Url(sender));
    expect(heard!.headers["homeport-rcpt-to"]).toBe(toBase64Url(to));
    const [key] = await world.keys("pending/");
    const metadata = (await RETAINED.head(key!))!.customMetadata!;
    expect(metadata["mail-from"] ?? "").toBe(toBase64Url(sender));
    expect(metadata["rcpt-to"]).toBe(toBase64Url(to));
    expect(metadata["received-at"]).toBe(String(world.nowMs / 1000));
    expect(key).toBe(`pending/${world.nowMs}-${heard!.headers["homeport-message-id"]}.eml`);
  });
});

describe("the request", () => {
  test("is signed for its own id and content, with Access's token where there is one", async () => {
    const origin = await open(receipt());
    const world = new World(origin, { ACCESS_CLIENT_ID: "id.access", ACCESS_CLIENT_SECRET: "hidden" });
    await Promise.all([receive(arriving(), world), receive(arriving(), world)]);

    const heard = await origin.heard();
    expect(new Set(heard.map(({ headers }) => headers["homeport-message-id"])).size).toBe(2);
    for (const request of heard) {
      const { headers } = request;
      expect(headers["homeport-key-id"]).toBe(KEY_ID);
      expect(headers["homeport-timestamp"]).toBe(String(world.nowMs / 1000));
      expect(headers["homeport-signature"]).toBe(await signatureOf(request));
      expect(headers["homeport-message-id"]).toMatch(/^[0-9a-f]{32}$/);
      expect(headers).not.toHaveProperty("homeport-retained-at");
      expect(headers["cf-access-client-id"]).toBe("id.access");
      expect(headers["cf-access-client-secret"]).toBe("hidden");
    }
  });
});

describe("a receipt", () => {
  test.each(["delivered", "queued", "held"] as const)("%s: nothing is left to do", async (status) => {
    const world = new World(await open(receipt(status)));
    const message = arriving();
    await receive(message, world);
    await world.settled();
    expect(message.rejected).toEqual([]);
    expect(await world.keys()).toEqual([]);
  });
});

describe("the mail API decides nothing", () => {
  const page: Answer = { headers: HTML_TYPE, body: "<html>It works!</html>" };
  const cases: [string, Answer][] = [
    ["500", { status: 500 }],
    ["503 with a problem", problem(503, "ledger-unavailable")],
    ["401", problem(401, "signature-refused", { message_id: undefined })],
    ["403 of Access", { status: 403, headers: HTML_TYPE, body: "<html>Forbidden</html>" }],
    ["404 of somebody else", { status: 404, headers: HTML_TYPE, body: "<html>Not found</html>" }],
    ["404 with a problem, no smtp", problem(404, "not-found")],
    ["530 of Cloudflare", { status: 530, headers: HTML_TYPE, body: "error code: 1033" }],
    ["302 to a login page", { status: 302, headers: { Location: "/login" } }],
    ["307, which would repeat the body", { status: 307, headers: { Location: "/v1/messages" } }],
    ["200 with a page", page],
    ["200 with nothing", { status: 200 }],
    ["200 with JSON of another kind", { headers: { "Content-Type": "application/json" }, body: '{"ok":true}' }],
    ["receipt for another message", receipt("delivered", { message_id: "0".repeat(32) })],
    ["receipt for another content", receipt("delivered", { sha256: "0".repeat(64) })],
    ["refusal without smtp", problem(404, "unknown-mailbox")],
    ["refusal of another message", problem(404, "unknown-mailbox", { message_id: "0".repeat(32), smtp: SMTP })],
    ["refusal with a 4xx", problem(404, "unknown-mailbox", { smtp: { ...SMTP, code: 451 } })],
    ["refusal as text/html", { ...problem(404, "unknown-mailbox", { smtp: SMTP }), headers: HTML_TYPE }],
    ["connection reset", { fault: "reset" }],
    ["connection reset before the body", { fault: "refuse" }],
    ["half a receipt, then reset", { ...receipt(), fault: "half" }],
    ["a body that is no UTF-8", { headers: { "Content-Type": "application/json" }, body: "\u0080".repeat(3) + "{" }],
  ];

  test.each(cases)("%s: retained, no rejection", async (_, answer) => {
    const origin = await open(answer, receipt()); // a repeat by itself would be taken for a delivery
    const world = new World(origin);
    const message = arriving(KINDS[0]![1]);
    await receive(message, world);
    await expectRetained(world, message, KINDS[0]![1]);
    const heard = await origin.heard();
    expect(heard.map(({ path }) => path)).toEqual(["/v1/messages"]);
  });

  test.each<[string, Answer]>([
    ["never answers", { fault: "hang" }],
    ["answers too late", { ...receipt(), delayMs: 2_000 }],
    ["stops in the middle of a receipt", { ...receipt(), fault: "stall" }],
  ])("it %s: aborted at the deadline, retained", async (_, answer) => {
    const world = new World(await open(answer), {}, { postMs: 300 });
    const message = arriving(KINDS[0]![1]);
    await receive(message, world);
    await expectRetained(world, message, KINDS[0]![1]);
  });

  test.each<[string, Answer]>([
    ["a receipt", { ...receipt(), fault: "endless" }],
    ["a page", { ...page, fault: "endless" }],
  ])("it answers with %s that never ends: given up long before the deadline, retained", async (_, answer) => {
    const world = new World(await open(answer), {}, { postMs: 600_000, doneMs: 660_000 }); // longer than a test lasts
    const message = arriving(KINDS[0]![1]);
    await receive(message, world);
    await expectRetained(world, message, KINDS[0]![1]);
  });

  test("it is down: retained", async () => {
    const origin = await open(receipt());
    await origin.down();
    const world = new World(origin);
    const message = arriving(KINDS[0]![1]);
    await receive(message, world);
    await expectRetained(world, message, KINDS[0]![1]);
  });

  test.each([
    ["MAIL_API_URL", ""],
    ["MAIL_API_URL", "http://mail.example.com"],
    ["MAIL_API_URL", "https://mail.example.com/path"],
    ["MAIL_API_KEY", "abc"],
    ["MAIL_API_KEY_ID", "NO KEY"],
    ["ACCESS_CLIENT_ID", "without its secret"],
  ])("the Worker is badly configured, %s %j: retained", async (name, value) => {
    const world = new World(await open(receipt()), { [name]: value });
    const message = arriving(KINDS[0]![1]);
    await receive(message, world);
    await expectRetained(world, message, KINDS[0]![1]);
  });
});

describe("a final refusal", () => {
  test.each([404, 413, 422, 507])("under %i the sender hears its text, and nothing is retained", async (status) => {
    const origin = await open(problem(status, "unknown-mailbox", { smtp: SMTP }));
    const world = new World(origin);
    const message = arriving();
    await receive(message, world);
    await world.settled();
    expect(message.rejected).toEqual(["5.1.1 Mailbox does not exist"]);
    expect(await world.keys("pending/")).toEqual([]);
    expect(await world.keys("stats/events/")).toEqual([expect.stringMatching(/-refused-[0-9a-f]{32}$/)]);
  });
});

describe("every status from 200 to 599", () => {
  const undecided: Answer[] = [
    { headers: { "Content-Type": "application/json" }, body: '{"message_id":"{message_id}","detail":"no smtp"}' },
    { headers: HTML_TYPE, body: "<html>550 5.1.1 Mailbox does not exist</html>" },
    {},
    { headers: PROBLEM_TYPE, body: JSON.stringify({ type: "/problems/unknown-mailbox", smtp: SMTP }) },
    { headers: PROBLEM_TYPE, body: JSON.stringify({ message_id: "0".repeat(32), smtp: SMTP }) },
    { headers: PROBLEM_TYPE, body: '{"message_id":"{message_id}","type":"/problems/unknown-mailbox"}' },
  ];
  const kept: string[] = [];
  const bucket = bucketWith({ put: (key: string) => (kept.push(key), Promise.resolve(null)) });

  async function rejectedUnder(status: number, answers: Answer[]): Promise<string[]> {
    const location = status >= 300 && status < 400 ? { Location: "/login" } : {};
    const origin = await ScriptedOrigin.open({
      messages: answers.map((answer) => ({ ...answer, status, headers: { ...answer.headers, ...location } })),
    });
    const rejected: string[] = [];
    kept.length = 0;
    for (const _ of answers) {
      const message = arriving();
      await receive(message, new World(origin, { RETAINED: bucket }));
      rejected.push(...message.rejected);
    }
    const heard = await origin.heard();
    expect(heard.map(({ path }) => path)).toEqual(answers.map(() => "/v1/messages")); // no redirect is followed
    expect(kept.filter((key) => key.startsWith("pending/")).length + rejected.length).toBe(answers.length);
    await origin.down();
    return rejected;
  }

  test.each([200, 300, 400, 500])(
    "%i to the next hundred: setReject is called only where wire.md lists it",
    async (hundred) => {
      const neverFinal = new Set([400, 401, 403, 408, 409, 429]); // wire.md
      for (let status = hundred; status < hundred + 100; status++) {
        expect([status, await rejectedUnder(status, undecided)]).toEqual([status, []]);
        const final = await rejectedUnder(status, [problem(status, "unknown-mailbox", { smtp: SMTP })]);
        const isFinal = status >= 400 && !neverFinal.has(status);
        expect([status, final]).toEqual([status, isFinal ? ["5.1.1 Mailbox does not exist"] : []]);
      }
    },
  );
});

describe("R2", () => {
  test("it fails once: the second try retains", async () => {
    let puts = 0;
    const bucket = bucketWith({
      put: (key: string, value: ArrayBuffer, options: R2PutOptions) => {
        puts += 1;
        return puts === 1 ? Promise.reject(new Error("internal error")) : RETAINED.put(key, value, options);
      },
    });
    const message = arriving(KINDS[1]![1]);
    const world = new World(null, { RETAINED: bucket });
    await receive(message, world);
    await expectRetained(world, message, KINDS[1]![1]);
  });

  test("it fails always: the handler throws, so that the sender comes again", async () => {
    const message = arriving();
    const bucket = bucketWith({ put: () => Promise.reject(new Error("internal error")) });
    await expect(receive(message, new World(null, { RETAINED: bucket }))).rejects.toThrow(NotTaken);
    expect(message.rejected).toEqual([]);
  });

  test("it never answers: the handler throws in time", async () => {
    const message = arriving();
    const world = new World(null, { RETAINED: bucketWith({ put: never }) }, { postMs: 100, doneMs: 300 });
    await expect(receive(message, world)).rejects.toThrow(NotTaken);
    expect(message.rejected).toEqual([]);
  });

  test("it is not bound: the handler throws, and a receipt still suffices", async () => {
    const world = new World(null);
    delete world.env.RETAINED;
    const message = arriving();
    await expect(receive(message, world)).rejects.toThrow(NotTaken);
    expect(message.rejected).toEqual([]);

    const well = new World(await open(receipt()));
    delete well.env.RETAINED;
    await receive(arriving(), well);
    await well.settled();
  });

  test("statistics that cannot be written cost nobody a message", async () => {
    const bucket = bucketWith({
      put: (key: string, value: ArrayBuffer, options: R2PutOptions) =>
        key.startsWith("stats/") ? Promise.reject(new Error("internal error")) : RETAINED.put(key, value, options),
    });
    const message = arriving(KINDS[0]![1]);
    const world = new World(null, { RETAINED: bucket });
    await receive(message, world);
    await world.settled();
    await expectRetained(world, message, KINDS[0]![1]);
  });
});

describe("the message itself", () => {
  test("it breaks off while it is read: the handler throws", async () => {
    const broken = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new Error("connection lost"));
      },
    });
    const message = { ...arriving(), raw: broken };
    const world = new World(await open(receipt()));
    await expect(receive(message, world)).rejects.toThrow("connection lost");
    expect(message.rejected).toEqual([]);
    expect(await world.keys()).toEqual([]);
  });

  test("it never ends: the handler throws in time", async () => {
    const endless = new ReadableStream<Uint8Array>({ pull: never });
    const message = { ...arriving(), raw: endless };
    const world = new World(await open(receipt()), {}, { postMs: 100 });
    await expect(receive(message, world)).rejects.toThrow("took longer");
    expect(message.rejected).toEqual([]);
  });

  test("nothing that carries mail runs in waitUntil", async () => {
    const world = new World(null);
    const waited: Promise<unknown>[] = [];
    const edge = {
      env: world.env,
      deadlines: world.deadlines,
      now: world.now,
      waitUntil: (work: Promise<unknown>) => void waited.push(work),
    };
    await receive(arriving(), edge);
    expect(await world.keys("pending/")).toHaveLength(1); // durable before waitUntil's work is awaited
    expect(waited).toHaveLength(1);
    await Promise.all(waited);
    expect(await world.keys()).toEqual([expect.stringMatching(PENDING), expect.stringMatching(/^stats\/events\//)]);
  });
});
