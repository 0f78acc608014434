/**
 * A message arrives: post it, and if that decides nothing, retain it (wire.md, "Answer" and "Deadlines").
 *
 *     read once -> digest -> POST -> accepted: return
 *                                 -> refused for good: setReject
 *                                 -> undecided: not on a fresh list of recipients: setReject
 *                                               else R2 -> return, or throw
 *
 * `setReject` is permanent for the sender and an exception is temporary, so a fault of ours ends in R2 or in an
 * exception, never in `setReject`. The handler has an end of its own, since what Cloudflare does to one that runs too
 * long is not documented. The raw bytes are in memory once, and nothing here looks into them.
 */

import { within } from "./clock";
import { randomId, toBase64Url, toHex } from "./encoding";
import { type Edge, originOf } from "./environment";
import { log, reasonOf } from "./log";
import { type Message, post } from "./post";
import { isUnlisted } from "./recipients";
import { retain } from "./retention";
import { type Kind, note } from "./statistics";
import { type Verdict, rejection, undecided } from "./verdict";

/** What we need of Cloudflare's ForwardableEmailMessage. */
export interface Incoming {
  readonly from: string;
  readonly to: string;
  readonly raw: ReadableStream<Uint8Array>;
  readonly rawSize: number;
  setReject(reason: string): void;
}

/** No answer, and no place to keep the message: the sender has to come again. */
export class NotTaken extends Error {
  override readonly name = "NotTaken";
}

const PUTS = 2; // what an exception means to the sender is less certain than a second try (mail.md 2.2)
const FURTHER_BYTES = 1024 * 1024; // of a message that is longer than was announced
const PUT_AGAIN_MS = 3_000; // with less time than this left there is none

export async function receive(incoming: Incoming, edge: Edge): Promise<void> {
  const started = edge.now();
  const leftMs = (totalMs: number): number => totalMs - (edge.now() - started);

  const raw = await within(edge.deadlines.postMs, "reading the message", readRaw(incoming.raw, incoming.rawSize));
  const message: Message = {
    id: randomId(),
    mailFrom: toBase64Url(incoming.from === "<>" ? "" : incoming.from), // both mean the null sender (mail.md 10)
    rcptTo: toBase64Url(incoming.to),
    sizeBytes: raw.length,
    sha256: toHex(await crypto.subtle.digest("SHA-256", raw)),
  };
  const verdict = await postLive(edge, message, raw, leftMs(edge.deadlines.postMs));
  switch (verdict.kind) {
    case "accepted":
      log.info("message_accepted", { message_id: message.id, size: message.sizeBytes, status: verdict.status });
      return;
    case "refused":
      log.info("message_refused", { message_id: message.id, reason: verdict.reason });
      incoming.setReject(verdict.reason);
      count(edge, "refused", message.id);
      return;
    case "undecided":
      log.warning("message_undecided", { message_id: message.id, size: message.sizeBytes, why: verdict.why });
  }
  if (await isUnlisted(incoming.to, edge, Math.min(edge.deadlines.recipientsMs, leftMs(edge.deadlines.doneMs)))) {
    log.info("message_unlisted", { message_id: message.id });
    incoming.setReject(rejection("5.1.1", "Mailbox does not exist"));
    count(edge, "unlisted", message.id);
    return;
  }
  await keep(edge, message, raw, started, () => leftMs(edge.deadlines.doneMs));
  count(edge, "retained", message.id);
}

async function postLive(edge: Edge, message: Message, raw: Uint8Array, leftMs: number): Promise<Verdict> {
  try {
    return await post(originOf(edge.env), message, raw, leftMs, edge.now());
  } catch (error) {
    return undecided(reasonOf(error)); // NotConfigured: our fault, so the message is kept
  }
}

/** Retain the message durably, or throw: then the sender hears of a temporary failure and comes again. */
async function keep(edge: Edge, message: Message, raw: Uint8Array, atMs: number, left: () => number): Promise<void> {
  const bucket = edge.env.RETAINED;
  if (!bucket) throw new NotTaken("the mail API did not take the message, and no bucket is bound to retain it");
  for (let attempt = 1; ; attempt++) {
    try {
      await within(left(), "retaining the message", retain(bucket, message, raw, atMs));
      log.info("message_retained", { message_id: message.id, size: message.sizeBytes });
      return;
    } catch (error) {
      log.error("retaining_failed", { message_id: message.id, attempt, error: reasonOf(error) });
      if (attempt === PUTS || left() < PUT_AGAIN_MS)
        throw new NotTaken("neither the mail API nor the bucket took the message");
    }
  }
}

/**
 * Read a message into one buffer. `sizeHint` is Cloudflare's word for its length; when it is too small, the rest is
 * read in further parts, at the price of a copy.
 *
 * `readAtLeast` lets the runtime fill the buffer in one step. Chunk by chunk, 25 MiB cost more CPU than everything
 * else here together (docs/benchmarks.md); `Response.arrayBuffer()` may hold the body twice, as it does not know the
 * length.
 */
export async function readRaw(stream: ReadableStream<Uint8Array>, sizeHint: number): Promise<Uint8Array<ArrayBuffer>> {
  const reader = byteReader(stream);
  if (!reader) return new Uint8Array(await new Response(stream).arrayBuffer());
  const parts: Uint8Array[] = [];
  for (let wanted = Math.max(sizeHint || 0, 0) + 1; ; wanted = FURTHER_BYTES) {
    // one byte more than expected: a part that is not full is the last one
    const { value } = await reader.readAtLeast(wanted, new Uint8Array(wanted));
    if (value) parts.push(value);
    if ((value?.length ?? 0) < wanted) return joined(parts);
  }
}

/** Only the runtime's own streams are byte streams, but all that Cloudflare hands over should be. */
function byteReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | null {
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return null;
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (parts.length === 1) return parts[0] as Uint8Array<ArrayBuffer>;
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function count(edge: Edge, kind: Kind, id: string): void {
  if (edge.env.RETAINED) edge.waitUntil(note(edge.env.RETAINED, kind, id, edge.now()));
}
