/** The canonical string, its signature and both roles, against the vectors that the mail API is tested with. */

import { describe, expect, test } from "vitest";
import addresses from "../../../../tests/contract/wire_vectors/addresses.json";
import vectors from "../../../../tests/contract/wire_vectors/requests.json";
import { KEY, KEY_ID, NOON_MS } from "../test/edge";
import { fromHex, toBase64Url, toHex } from "./encoding";
import { type Announced, type Key, canonicalString, isSigned, sign, signedHeaders } from "./signature";

type Case = (typeof vectors.cases)[number];
const KEYS = new Map(vectors.keys.map(({ id, secret }): [string, Key] => [id, { id, secret: fromHex(secret)! }]));
const CURRENT = vectors.keys[0]!.id;

function sent({ headers }: Case): Map<string, string> {
  return new Map(headers.map(([name, value]) => [name!.toLowerCase(), value!]));
}

function keyOf(case_: Case): Key {
  return KEYS.get(sent(case_).get("homeport-key-id") ?? "") ?? KEYS.get(CURRENT)!;
}

function announced(case_: Case): Announced | undefined {
  const values = sent(case_);
  if (!values.has("homeport-message-id")) return undefined;
  return {
    messageId: values.get("homeport-message-id") ?? "",
    mailFrom: values.get("homeport-mail-from") ?? "",
    rcptTo: values.get("homeport-rcpt-to") ?? "",
    contentLength: values.get("homeport-content-length") ?? "",
    contentSha256: values.get("homeport-content-sha256") ?? "",
    retainedAt: values.get("homeport-retained-at") ?? "",
  };
}

describe("signed cases of requests.json", () => {
  const signed = vectors.cases.filter((case_) => case_.expect.stage !== "signature");

  test.each(signed)("canonical string and signature: $name", async (case_) => {
    const values = sent(case_);
    const key = keyOf(case_);
    const timestamp = values.get("homeport-timestamp")!;
    const canonical = canonicalString(key.id, timestamp, case_.method, case_.path, announced(case_));
    expect(canonical).toBe(case_.canonical);
    expect(await sign(key, canonical)).toBe(values.get("homeport-signature"));
  });
});

describe("good cases of requests.json", () => {
  // Left out are those whose name says that no client spells it so.
  const usual = vectors.cases.filter(
    ({ name, expect: { stage } }) =>
      stage === "done" && !/as <>|dropped on the way|lower case|another script/.test(name),
  );

  test.each(usual)("the Worker sends the same header fields: $name", async (case_) => {
    const values = sent(case_);
    const ours = await signedHeaders(
      keyOf(case_),
      Number(values.get("homeport-timestamp")),
      case_.method,
      case_.path,
      announced(case_),
    );
    expect(new Map(ours)).toEqual(values);
  });

  const bodies = usual.filter(({ expect: { envelope } }) => envelope !== undefined);
  test.each(bodies)("the envelope is encoded as sent: $name", ({ expect: { envelope }, ...case_ }) => {
    const values = sent(case_ as Case);
    expect(toBase64Url(envelope!.mail_from)).toBe(values.get("homeport-mail-from") ?? "");
    expect(toBase64Url(envelope!.rcpt_to)).toBe(values.get("homeport-rcpt-to"));
  });
});

test.each(addresses.cases)("address travels as base64url: $name", ({ address, encoded }) => {
  expect(toBase64Url(address)).toBe(encoded);
});

describe("who may use the Worker's own routes", () => {
  /** A request without a body, signed as `homeport edge` does it, some of it changed afterwards. */
  async function request(
    changed: Record<string, string | null> = {},
    path = "/status",
    atS = NOON_MS / 1000,
  ): Promise<Request> {
    const headers = await signedHeaders(KEY, atS, "GET", "/status");
    for (const [name, value] of Object.entries(changed)) {
      headers.delete(name);
      if (value !== null) headers.set(name, value);
    }
    return new Request(`https://edge.example${path}`, { headers });
  }

  const check = async (given: Request, key = KEY): Promise<boolean> => isSigned(given, key, NOON_MS / 1000);

  test("a good signature is accepted, also 300 s off", async () => {
    for (const offS of [0, -300, 300])
      expect(await check(await request({}, "/status", NOON_MS / 1000 + offS))).toBe(true);
  });

  test.each<[string, Record<string, string | null>]>([
    ["no signature", { "Homeport-Signature": null }],
    ["no timestamp", { "Homeport-Timestamp": null }],
    ["no key id", { "Homeport-Key-Id": null }],
    ["another key id", { "Homeport-Key-Id": "2026-10" }],
    ["another timestamp", { "Homeport-Timestamp": String(NOON_MS / 1000 + 1) }],
    ["a timestamp of another spelling", { "Homeport-Timestamp": `0${NOON_MS / 1000}` }],
    ["another version", { "Homeport-Signature": `v2=${"0".repeat(64)}` }],
    ["upper-case hex", { "Homeport-Signature": `v1=${"A".repeat(64)}` }],
    ["a signature of somebody else", { "Homeport-Signature": `v1=${"0".repeat(64)}` }],
    ["a signature cut short", { "Homeport-Signature": `v1=${"0".repeat(62)}` }],
  ])("%s is refused", async (_, changed) => {
    expect(await check(await request(changed))).toBe(false);
  });

  test("another path, another method and an old or early request are refused", async () => {
    expect(await check(await request({}, "/drain"))).toBe(false);
    expect(await check(new Request(await request(), { method: "POST" }))).toBe(false);
    for (const offS of [-301, 301])
      expect(await check(await request({}, "/status", NOON_MS / 1000 + offS))).toBe(false);
  });

  test("a good signature under another secret is refused", async () => {
    expect(await check(await request(), { id: KEY_ID, secret: new Uint8Array(32) })).toBe(false);
  });

  // A receiver that judges signatures only takes the others as well signed (tests/contract/README.md).
  const bodiless = vectors.cases.filter(({ method }) => method === "GET");
  test.each(bodiless)("requests.json, without a body: $name", async (case_) => {
    const duplicated = new Set(case_.headers.map(([name]) => name!.toLowerCase())).size < case_.headers.length;
    const headers = new Headers(case_.headers.map(([name, value]): [string, string] => [name!, value!]));
    const given = new Request(`https://edge.example${case_.path}`, { method: case_.method, headers });
    const expected = case_.expect.stage !== "signature" && !duplicated;
    expect(await isSigned(given, keyOf(case_), vectors.now)).toBe(expected);
  });
});

describe("encodings", () => {
  test("hex goes both ways, and what is no hex is null", () => {
    const all = Uint8Array.from({ length: 256 }, (_, at) => at);
    expect(fromHex(toHex(all))).toEqual(all);
    expect(fromHex("AbCd")).toEqual(Uint8Array.of(0xab, 0xcd));
    for (const text of ["a", "0x", "zz", "ab ", "ab\n", "\u{ff11}a"]) expect(fromHex(text)).toBeNull();
  });
});
