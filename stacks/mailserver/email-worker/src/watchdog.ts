/**
 * The workstation is watched from outside (wire.md, "Watchdog"): every tick asks the signed `GET /v1/health`.
 *
 * `state/watchdog.json` remembers since when it fails and when somebody was told; it is written on change only. An
 * alert goes out once the origin has failed for WATCHDOG_MINUTES, and recovery is announced once, to whoever heard
 * the alert. What could not be sent is tried again at the next tick: the state changes after the sending, not before.
 */

import { send } from "./alert";
import { type Edge, numberOf, originOf } from "./environment";
import { log, reasonOf } from "./log";
import { askHealth } from "./post";

/** Subrequests of a tick's watch without its alert: health, reading the state, writing it. */
export const WATCH_COST = 3;

const STATE = "state/watchdog.json";

export interface Watch {
  /** Epoch seconds of the first failed check of this outage, null while the origin is well. */
  readonly failing_since: number | null;
  /** Epoch seconds when the alert went out, null when it did not. */
  readonly alerted_at: number | null;
}

const WELL: Watch = { failing_since: null, alerted_at: null };

/** How the origin is: it says it is well, it answers something else, or there is no answer at all. */
export type Health = "well" | "unwell" | "unreachable";

export interface Checked {
  readonly health: Health;
  /** For the alert, after "it fails since ...:". */
  readonly why: string;
}

/** Remember how the origin was; alert, or announce recovery, as due. */
export async function watch(edge: Edge, bucket: R2Bucket, { health, why }: Checked): Promise<void> {
  const nowS = Math.floor(edge.now() / 1000);
  const before = await readWatch(bucket);
  const after = health === "well" ? await recover(edge, before) : await fail(edge, before, nowS, why);
  if (after.failing_since !== before.failing_since || after.alerted_at !== before.alerted_at)
    await bucket.put(STATE, JSON.stringify({ v: 1, ...after }));
}

export async function readWatch(bucket: R2Bucket): Promise<Watch> {
  const object = await bucket.get(STATE);
  if (!object) return WELL;
  try {
    const { failing_since, alerted_at } = await object.json<Record<keyof Watch, unknown>>();
    return { failing_since: epoch(failing_since), alerted_at: epoch(alerted_at) };
  } catch (error) {
    log.error("watchdog_state_unreadable", { error: reasonOf(error) });
    return WELL;
  }
}

/** Ask the origin how it is. Never throws. */
export async function check(edge: Edge): Promise<Checked> {
  try {
    const { status, text } = await askHealth(originOf(edge.env), edge.deadlines.healthMs, edge.now());
    if (status === 200 && saysOk(text)) return { health: "well", why: "" };
    return { health: "unwell", why: `it answers ${status}` };
  } catch (error) {
    log.warning("origin_unreachable", { error: reasonOf(error) });
    return { health: "unreachable", why: "it does not answer" };
  }
}

async function fail(edge: Edge, before: Watch, nowS: number, why: string): Promise<Watch> {
  const since = before.failing_since ?? nowS;
  const minutes = Math.floor((nowS - since) / 60);
  const isDue = before.alerted_at === null && minutes >= numberOf(edge.env, "WATCHDOG_MINUTES");
  const text = `The mail API fails since ${new Date(1000 * since).toISOString()}: ${why}`;
  const isTold = isDue && (await send({ event: "origin_failing", text }, edge));
  return { failing_since: since, alerted_at: isTold ? nowS : before.alerted_at };
}

async function recover(edge: Edge, before: Watch): Promise<Watch> {
  if (before.failing_since === null || before.alerted_at === null) return WELL;
  const text = `The mail API is well again; it failed since ${new Date(1000 * before.failing_since).toISOString()}`;
  return (await send({ event: "origin_recovered", text }, edge)) ? WELL : before;
}

function saysOk(text: string | null): boolean {
  try {
    return (JSON.parse(text ?? "") as Record<string, unknown> | null)?.["status"] === "ok";
  } catch {
    return false;
  }
}

function epoch(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
