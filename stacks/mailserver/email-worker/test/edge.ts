/** One Worker's world for a test: bindings, a clock that the test turns, small deadlines, and arriving messages. */

import { env as bound } from "cloudflare:workers";
import { fromHex, toHex } from "../src/encoding";
import type { Deadlines, Edge, Env } from "../src/environment";
import type { Incoming } from "../src/receive";
import { type Key, canonicalString, sign } from "../src/signature";
import type { Heard, ScriptedOrigin } from "./origin";

export const KEY_ID = "2026-11";
export const SECRET = "3f".repeat(16) + "a5".repeat(16);
export const KEY: Key = { id: KEY_ID, secret: fromHex(SECRET)! };
export const NOON_MS = Date.UTC(2026, 10, 22, 12);

/** Long enough for a busy machine; tests of a deadline shorten the one they mean. */
const DEADLINES: Deadlines = {
  postMs: 10_000,
  doneMs: 20_000,
  recipientsMs: 5_000,
  drainMs: 10_000,
  tickMs: 50_000,
  healthMs: 5_000,
  alertMs: 5_000,
};

interface Stores {
  readonly RETAINED: R2Bucket;
  readonly RECIPIENTS: KVNamespace;
}
export const { RETAINED, RECIPIENTS } = bound as unknown as Stores;

/** Nothing of a test is left for the next one. (`reset` of "cloudflare:test" does it with much noise.) */
export async function emptyStores(): Promise<void> {
  const [objects, values] = await Promise.all([RETAINED.list(), RECIPIENTS.list()]);
  await RETAINED.delete(objects.objects.map(({ key }) => key));
  await Promise.all(values.keys.map(({ name }) => RECIPIENTS.delete(name)));
}

export class World implements Edge {
  nowMs = NOON_MS;
  env: Env;
  deadlines: Deadlines;
  private readonly waited: Promise<unknown>[] = [];

  constructor(origin: ScriptedOrigin | null, env: Env = {}, deadlines: Partial<Deadlines> = {}) {
    const url = origin?.url ?? "http://127.0.0.1:1"; // tcpmux: nobody listens there
    this.env = { MAIL_API_URL: url, MAIL_API_KEY_ID: KEY_ID, MAIL_API_KEY: SECRET, RETAINED, ...env };
    this.deadlines = { ...DEADLINES, ...deadlines };
  }

  readonly now = (): number => this.nowMs;
  readonly waitUntil = (promise: Promise<unknown>): void => void this.waited.push(promise);

  /** What `waitUntil` was given has come to its end. */
  async settled(): Promise<void> {
    await Promise.all(this.waited);
  }

  /** The keys in the bucket, in order. */
  async keys(prefix = "", bucket: R2Bucket = RETAINED): Promise<string[]> {
    const listed = await bucket.list({ prefix });
    return listed.objects.map(({ key }) => key);
  }
}

/** A message as Cloudflare hands it over; `rejected` holds every reason that the handler gave. */
export interface Arriving extends Incoming {
  readonly rejected: string[];
}

const SAMPLE = "From: alice@example.org\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n";

export function arriving(
  raw: string | Uint8Array<ArrayBuffer> = SAMPLE,
  envelope: { from?: string; to?: string } = {},
): Arriving {
  const bytes = typeof raw === "string" ? bytesOf(raw) : raw;
  const rejected: string[] = [];
  return {
    from: envelope.from ?? "alice@example.org",
    to: envelope.to ?? "bob@example.com",
    raw: new Response(bytes).body!, // one of the runtime's own streams, as the message's is
    rawSize: bytes.length,
    setReject: (reason) => void rejected.push(reason),
    rejected,
  };
}

export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}

/** Bytes in pieces that respect nothing, from a stream that the runtime does not know from the inside. */
export function inChunks(bytes: Uint8Array<ArrayBuffer>, size = 65_521): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + size));
      at += size;
    },
  });
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return toHex(await crypto.subtle.digest("SHA-256", bytes));
}

/** Return the signature that a request should bear by what else it says. */
export async function signatureOf({ method, path, headers }: Heard): Promise<string> {
  const value = (name: string): string => headers[`homeport-${name}`] ?? "";
  const announced = {
    messageId: value("message-id"),
    mailFrom: value("mail-from"),
    rcptTo: value("rcpt-to"),
    contentLength: value("content-length"),
    contentSha256: value("content-sha256"),
    retainedAt: value("retained-at"),
  };
  return sign(KEY, canonicalString(KEY_ID, value("timestamp"), method, path, announced));
}

export function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

/** A bucket like RETAINED of which some methods are replaced. */
export function bucketWith(replaced: Partial<Record<keyof R2Bucket, (...given: never[]) => unknown>>): R2Bucket {
  return new Proxy(RETAINED, {
    get(bucket, name) {
      const own = (replaced as Record<string | symbol, unknown>)[name];
      if (own) return own;
      const value: unknown = Reflect.get(bucket, name);
      return typeof value === "function" ? value.bind(bucket) : value;
    },
  });
}
