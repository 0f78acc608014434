/**
 * Messages in R2 (wire.md, "Retention at the edge"; docs/design/edge.md).
 *
 *     pending/<epoch-ms>-<message-id>.eml   waits for a drain
 *     held/<epoch-ms>-<message-id>.eml      an operator decides
 *
 * The name sorts by time of receipt; the envelope stands in the object's metadata. A resolved put is durable. Nothing
 * is ever deleted by age: an object goes when the mail API has given a receipt for it, or when it has moved to held/.
 */

import type { Message } from "./post";

export const PENDING = "pending/";
export const HELD = "held/";
const NAME = /^[a-z]+\/([0-9]{13})-([0-9a-f]{32})\.eml$/;

export async function retain(bucket: R2Bucket, message: Message, raw: Uint8Array, atMs: number): Promise<void> {
  await bucket.put(`${PENDING}${String(atMs).padStart(13, "0")}-${message.id}.eml`, raw, {
    sha256: message.sha256, // R2 refuses a body that has another one
    httpMetadata: { contentType: "message/rfc822" },
    customMetadata: {
      v: "1",
      "mail-from": message.mailFrom,
      "rcpt-to": message.rcptTo,
      sha256: message.sha256,
      "received-at": String(Math.floor(atMs / 1000)),
    },
  });
}

/** Return the message that an object stands for, or null when it is none of ours. */
export function messageOf(object: R2Object): Message | null {
  const name = NAME.exec(object.key);
  // the null sender is an empty value, which a store of header fields may drop
  const {
    v,
    sha256,
    "mail-from": mailFrom = "",
    "rcpt-to": rcptTo,
    "received-at": receivedAt = "",
  } = object.customMetadata ?? {};
  if (!name?.[2] || v !== "1" || !rcptTo || !sha256 || !/^[0-9]+$/.test(receivedAt)) return null;
  return { id: name[2], mailFrom, rcptTo, sizeBytes: object.size, sha256, retainedAtS: Number(receivedAt) };
}

/** Move a pending object to held/: first it is there, then it is no longer here. Doing it twice does no harm. */
export async function hold(bucket: R2Bucket, key: string, why: string): Promise<void> {
  const object = await bucket.get(key);
  if (!object) return; // another tick has delivered or moved it
  const { readable, writable } = new FixedLengthStream(object.size);
  const piped = object.body.pipeTo(writable);
  await Promise.all([
    piped,
    bucket.put(HELD + key.slice(PENDING.length), readable, {
      httpMetadata: object.httpMetadata ?? {},
      customMetadata: { ...object.customMetadata, why },
    }),
  ]);
  await bucket.delete([key, attemptsKey(key)]);
}

/** Where the tries of a message are counted. */
export function attemptsKey(key: string): string {
  return `attempts/${NAME.exec(key)?.[2] ?? encodeURIComponent(key)}`;
}

export interface Shelf {
  readonly count: number;
  /** Epoch seconds of the oldest message's receipt, null when there is none. */
  readonly oldest_at: number | null;
  /** False when there are more than were counted. */
  readonly complete: boolean;
}

/** Count the objects under a prefix, in at most `pages` calls of 1,000 each. */
export async function shelf(bucket: R2Bucket, prefix: string, pages: number): Promise<Shelf> {
  let count = 0;
  let oldest: number | null = null;
  let cursor: string | undefined;
  for (let page = 0; page < pages; page++) {
    const listed: R2Objects = await bucket.list({ prefix, ...(cursor === undefined ? {} : { cursor }) });
    count += listed.objects.length;
    const first = listed.objects[0];
    if (page === 0 && first) oldest = Math.floor(Number(NAME.exec(first.key)?.[1] ?? first.uploaded.getTime()) / 1000);
    if (!listed.truncated) return { count, oldest_at: oldest, complete: true };
    cursor = listed.cursor;
  }
  return { count, oldest_at: oldest, complete: false };
}
