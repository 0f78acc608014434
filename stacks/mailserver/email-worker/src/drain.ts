/**
 * Retained messages go to the mail API, oldest first (wire.md, "Retention at the edge"; docs/design/edge.md).
 *
 * Each is posted under its first message id, so a repeat is answered from the mail API's ledger: a tick that dies
 * between receipt and delete, or two ticks at once, deliver once. An object is deleted after a valid receipt and at
 * no other time.
 *
 * `state/cursor.json` is two things. `busy_until` is a lease that keeps overlapping ticks from uploading the same
 * bodies; one that dies holds up the next for four minutes at most. `after` is where the next tick begins: a message
 * that fails alone is passed over, and comes round again after the last one, so it does not stand in the way of all
 * others.
 *
 * What an answer means for the rest of the tick:
 *     receipt                            deleted, next
 *     problem about this very message    kept, next; a poisonous one is counted, and held past the limit
 *     anything else                      kept, and the tick ends: whoever answered so will answer the next one so
 */

import { type Alert, ALERT_COST, send } from "./alert";
import { type Edge, type Origin, numberOf, originOf } from "./environment";
import { log, reasonOf } from "./log";
import { post } from "./post";
import { PENDING, attemptsKey, hold, messageOf } from "./retention";
import { note } from "./statistics";
import { type Undecided, undecided } from "./verdict";
import type { Health } from "./watchdog";

export interface DrainReport {
  drained: number;
  failed: number;
  held: number;
  /** Why the drain ended before the last message, null when it did not. */
  stopped: string | null;
  /** Whether messages are left for the next tick. */
  more: boolean;
}

interface Cursor {
  readonly after: string | null;
  /** Milliseconds since the epoch. */
  readonly busyUntil: number;
  readonly etag: string | null;
}

/** How many subrequests an invocation may still make; a binding's call counts as one (mail.md 10, question 6). */
export interface Budget {
  left: number;
}

const CURSOR = "state/cursor.json";
const OPENING_COST = 4; // read the cursor, list, list again from the oldest, take the lease
const CLOSING_COST = 1; // give the lease back
const MESSAGE_COST = 4; // get, post, delete, statistics
const POISON_COST = 2; // read and write the count of attempts
const HOLD_COST = 4 + ALERT_COST; // get, put, delete, statistics, and the alert
/** Poisonous answers closer together than this count as one. Ten of them, the usual limit, take an hour and a half. */
const ATTEMPT_S = 600;
const LEASE_MARGIN_MS = 10_000;

/** Problems that say: this message as it stands will never be taken. Others pass, or speak of the deployment. */
const POISONOUS: ReadonlySet<string> = new Set([
  "malformed-request",
  "body-mismatch",
  "message-id-conflict",
  "content-too-large",
  "unreadable-object",
]);

/** Stands in the place of a problem when not the mail API but the bucket failed. */
const BROKEN = "bucket-failed";

/** Problems of 5xx that speak of one message; all other 5xx speak of the machine. */
const PASSING: ReadonlySet<string> = new Set(["still-in-flight"]);

/** Post what is retained. `health` is what the origin has just said. */
export async function drain(edge: Edge, bucket: R2Bucket, budget: Budget, health: Health): Promise<DrainReport> {
  const report: DrainReport = { drained: 0, failed: 0, held: 0, stopped: null, more: false };
  if (health === "unreachable") {
    const { objects } = await bucket.list({ prefix: PENDING, limit: 1 });
    return { ...report, stopped: "the mail API does not answer", more: objects.length > 0 };
  }
  budget.left -= OPENING_COST + CLOSING_COST;
  const cursor = await readCursor(bucket);
  const listed = await listAfter(bucket, cursor.after);
  if (listed.objects.length === 0) return report;
  const origin = originOf(edge.env);
  const lease = await takeLease(edge, bucket, cursor);
  if (lease === null) return { ...report, stopped: "busy", more: true };

  const pass: Pass = { next: cursor.after, report, isWhole: false };
  try {
    await walk(edge, bucket, origin, listed.objects, budget, health, pass);
    if (listed.truncated) pass.isWhole = false;
    report.more = !pass.isWhole || report.failed > 0 || cursor.after !== null;
  } finally {
    await giveLeaseBack(bucket, lease, pass.isWhole ? null : pass.next);
  }
  log.info("drain_ended", { ...report });
  return report;
}

/** How far a tick has come. */
interface Pass {
  /** Behind which key the next tick begins, null for the oldest message. */
  next: string | null;
  readonly report: DrainReport;
  /** Whether every listed message had its turn. */
  isWhole: boolean;
}

async function listAfter(bucket: R2Bucket, after: string | null): Promise<R2Objects> {
  const listed = await bucket.list({ prefix: PENDING, ...(after === null ? {} : { startAfter: after }) });
  // behind the last message it begins with the oldest again
  return listed.objects.length > 0 || after === null ? listed : bucket.list({ prefix: PENDING });
}

async function walk(
  edge: Edge,
  bucket: R2Bucket,
  origin: Origin,
  objects: readonly R2Object[],
  budget: Budget,
  health: Health,
  pass: Pass,
): Promise<void> {
  const endMs = edge.now() + edge.deadlines.tickMs;
  const { report } = pass;
  const isOnItsWay = pass.next !== null; // an earlier tick has passed somebody over
  for (const { key } of objects) {
    if (budget.left < MESSAGE_COST || edge.now() > endMs) return;
    const outcome = await drainOne(edge, bucket, origin, key, budget).catch((error: unknown): Undecided => {
      log.error("drain_failed", { key, error: reasonOf(error) });
      return undecided("the bucket fails", 0, BROKEN);
    });
    if (outcome === "postponed") return;
    if (typeof outcome === "object") {
      report.failed += 1;
      report.stopped = outcome.why;
      if (isItsOwnFault(outcome, health)) pass.next = key;
      return;
    }
    if (outcome !== "gone") report[outcome] += 1;
    if (report.failed > 0 || isOnItsWay) pass.next = key;
  }
  pass.isWhole = true;
}

/** Whether an answer that ends the tick is due to the message: then the next tick begins behind it. */
function isItsOwnFault({ problem, status }: Undecided, health: Health): boolean {
  // a bucket may fail for one object alone; an origin that has just answered loses the connection over one message
  return problem === BROKEN || health === "well" || (health === "unwell" && status === 0);
}

type Outcome = "drained" | "failed" | "held" | "gone" | "postponed" | Undecided;

/** Post one message. Returns what became of it, or the answer that ends the tick. */
async function drainOne(edge: Edge, bucket: R2Bucket, origin: Origin, key: string, budget: Budget): Promise<Outcome> {
  budget.left -= MESSAGE_COST;
  const object = await bucket.get(key);
  if (!object) return "gone"; // another tick had it
  const message = messageOf(object);
  if (!message) {
    await object.body.cancel();
    return countAttempt(edge, bucket, key, "unreadable-object", budget);
  }
  const verdict = await post(origin, message, withLength(object), edge.deadlines.drainMs, edge.now());
  if (verdict.kind === "accepted") {
    await bucket.delete([key, attemptsKey(key)]);
    await note(bucket, "drained", message.id, edge.now());
    log.info("message_drained", { message_id: message.id, status: verdict.status });
    return "drained";
  }
  // on a drain the sender is gone, so a refusal is one more answer that decides nothing
  const answer: Undecided =
    verdict.kind === "refused"
      ? undecided("a refusal on a drain", 0, "refusal")
      : verdict;
  log.warning("drain_undecided", { message_id: message.id, why: answer.why });
  if (POISONOUS.has(answer.problem)) return countAttempt(edge, bucket, key, answer.problem, budget);
  const isAboutMessage = answer.problem !== "" && (answer.status < 500 || PASSING.has(answer.problem));
  return isAboutMessage ? "failed" : answer;
}

/** A stream of known length: the request carries Content-Length, and the body is never in memory as a whole. */
function withLength(object: R2ObjectBody): ReadableStream {
  const { readable, writable } = new FixedLengthStream(object.size);
  object.body.pipeTo(writable).catch(() => undefined); // the reader of the other end hears of it
  return readable;
}

/**
 * Count a poisonous answer; past the limit the message moves to held/ and somebody is told. Answers within one interval
 * count once: these problems may come from a bad deployment too, and somebody needs the time to put it right.
 */
async function countAttempt(
  edge: Edge,
  bucket: R2Bucket,
  key: string,
  problem: string,
  budget: Budget,
): Promise<"failed" | "held" | "postponed"> {
  if (budget.left < POISON_COST + HOLD_COST) return "postponed"; // the next tick begins with it
  budget.left -= POISON_COST;
  const counter = attemptsKey(key);
  const before = await readAttempts(bucket, counter);
  const nowS = Math.floor(edge.now() / 1000);
  if (before.count > 0 && nowS - before.at < ATTEMPT_S) return "failed";
  const count = before.count + 1;
  await bucket.put(counter, JSON.stringify({ v: 1, count, problem, at: nowS }));
  if (count < numberOf(edge.env, "POISON_LIMIT")) return "failed";

  budget.left -= HOLD_COST;
  const alert: Alert = {
    event: "message_held",
    text: `A retained message was refused ${count} times and is held: ${problem}`,
  };
  await send(alert, edge); // before the move: who dies in between tells it twice rather than never
  await hold(bucket, key, problem);
  await note(bucket, "held", /-([0-9a-f]{32})\.eml$/.exec(key)?.[1] ?? "0", edge.now());
  log.error("message_held", { key, problem, attempts: count });
  return "held";
}

/** Return how often a message was refused, and when last, in seconds since the epoch. */
async function readAttempts(bucket: R2Bucket, key: string): Promise<{ count: number; at: number }> {
  const object = await bucket.get(key);
  try {
    const { count, at } = (await object?.json<Record<string, unknown>>()) ?? {};
    return { count: typeof count === "number" ? count : 0, at: typeof at === "number" ? at : 0 };
  } catch (error) {
    log.error("attempts_unreadable", { key, error: reasonOf(error) });
    return { count: 0, at: 0 };
  }
}

// -- state/cursor.json ---------------------------------------------------------------------------------------------

async function readCursor(bucket: R2Bucket): Promise<Cursor> {
  const object = await bucket.get(CURSOR);
  if (!object) return { after: null, busyUntil: 0, etag: null };
  try {
    const { after, busy_until: busyUntil } = await object.json<Record<string, unknown>>();
    return {
      after: typeof after === "string" ? after : null,
      busyUntil: typeof busyUntil === "number" ? busyUntil : 0,
      etag: object.etag,
    };
  } catch (error) {
    log.error("cursor_unreadable", { error: reasonOf(error) });
    return { after: null, busyUntil: 0, etag: object.etag };
  }
}

/** Return the etag under which this tick holds the lease, or null when another one does. */
async function takeLease(edge: Edge, bucket: R2Bucket, cursor: Cursor): Promise<string | null> {
  const now = edge.now();
  const { tickMs, drainMs } = edge.deadlines;
  const endsMs = now + tickMs + drainMs + LEASE_MARGIN_MS;
  if (cursor.busyUntil > now && cursor.busyUntil <= endsMs) return null; // one that ends later is damaged
  return writeCursor(bucket, cursor.after, endsMs, cursor.etag);
}

async function giveLeaseBack(bucket: R2Bucket, lease: string, after: string | null): Promise<void> {
  await writeCursor(bucket, after, 0, lease); // nothing is written when the lease ran out and another tick has it now
}

async function writeCursor(
  bucket: R2Bucket,
  after: string | null,
  busyUntil: number,
  etag: string | null,
): Promise<string | null> {
  const onlyIf = etag === null ? { etagDoesNotMatch: "*" } : { etagMatches: etag };
  const put = await bucket.put(CURSOR, JSON.stringify({ v: 1, after, busy_until: busyUntil }), { onlyIf });
  return put?.etag ?? null;
}
