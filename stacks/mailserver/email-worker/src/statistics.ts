/**
 * What happened at the edge, for each day (wire.md, "Statistics"; docs/design/edge.md).
 *
 *     stats/events/<epoch-ms>-<kind>-<message-id>   one empty object for each event: writers never meet
 *     stats/months/<yyyy-mm>.json                   rolled up by the cron: counts per day, and the last event counted
 *
 * An event is counted when it is old enough that none before it can still be under way. The month says how far it has
 * counted, so a roll-up that dies between counting and deleting counts nothing twice. Days are UTC.
 */

import { log, reasonOf } from "./log";

export const KINDS = ["retained", "drained", "refused", "unlisted", "held"] as const;
export type Kind = (typeof KINDS)[number];
export type Day = Partial<Record<Kind, number>>;
export type Days = Record<string, Day>;

interface Month {
  readonly v: 1;
  /** Key of the last event counted. */
  through: string;
  days: Days;
}

const EVENTS = "stats/events/";
const EVENT = /^stats\/events\/([0-9]{13})-([a-z]+)-[0-9a-f]+$/;
const SETTLED_MS = 120_000; // handlers end within 28 s, clocks differ by less than the rest
/** Subrequests of one roll-up: a list, and for at most two months a get and a put, and a delete. */
export const ROLL_UP_COST = 6;

/** Note an event. Never throws: statistics may be lost, mail may not. */
export async function note(bucket: R2Bucket, kind: Kind, id: string, atMs: number): Promise<void> {
  try {
    await bucket.put(`${EVENTS}${String(atMs).padStart(13, "0")}-${kind}-${id}`, "");
  } catch (error) {
    log.warning("statistics_lost", { kind, message_id: id, error: reasonOf(error) });
  }
}

/** Count the settled events into their months and delete them. Returns how many were counted. */
export async function rollUp(bucket: R2Bucket, nowMs: number): Promise<number> {
  const settled = (await events(bucket)).filter((key) => timeOf(key) < nowMs - SETTLED_MS);
  if (settled.length === 0) return 0;
  const months = [...new Set(settled.map(monthOf))].slice(0, 2);
  const counted: string[] = [];
  for (const name of months) {
    const due = settled.filter((key) => monthOf(key) === name);
    const { month, etag } = await readMonth(bucket, name);
    if (!addTo(month, due)) {
      counted.push(...due); // an earlier roll-up counted them and died before it deleted them
      continue;
    }
    const onlyIf = etag === null ? { etagDoesNotMatch: "*" } : { etagMatches: etag };
    if (!(await bucket.put(monthKey(name), JSON.stringify(month), { onlyIf }))) break; // another tick is at it
    counted.push(...due);
  }
  if (counted.length > 0) await bucket.delete(counted);
  return counted.length;
}

/** Return the days of this month and the one before, with what is not yet rolled up. */
export async function days(bucket: R2Bucket, nowMs: number): Promise<Days> {
  const recent = await events(bucket);
  const thisMonth = new Date(nowMs).toISOString().slice(0, 7);
  const before = new Date(Date.UTC(Number(thisMonth.slice(0, 4)), Number(thisMonth.slice(5)) - 2, 1)).toISOString();
  const found: Days = {};
  for (const name of [before.slice(0, 7), thisMonth]) {
    const { month } = await readMonth(bucket, name);
    addTo(
      month,
      recent.filter((key) => monthOf(key) === name),
    );
    Object.assign(found, month.days);
  }
  return found;
}

/** Count events, in order of their keys, that the month has not counted. Returns whether there was one. */
function addTo(month: Month, keys: readonly string[]): boolean {
  const fresh = keys.filter((key) => key > month.through);
  for (const key of fresh) {
    const kind = KINDS.find((known) => known === EVENT.exec(key)?.[2]);
    const day = new Date(timeOf(key)).toISOString().slice(0, 10);
    if (kind) (month.days[day] ??= {})[kind] = (month.days[day]?.[kind] ?? 0) + 1;
    month.through = key;
  }
  return fresh.length > 0;
}

async function readMonth(bucket: R2Bucket, name: string): Promise<{ month: Month; etag: string | null }> {
  const object = await bucket.get(monthKey(name));
  const empty: Month = { v: 1, through: "", days: {} };
  if (!object) return { month: empty, etag: null };
  try {
    const { through, days: counted } = await object.json<Record<keyof Month, unknown>>();
    if (typeof through !== "string" || typeof counted !== "object" || counted === null) throw new Error("no month");
    return { month: { v: 1, through, days: counted as Days }, etag: object.etag };
  } catch (error) {
    log.error("month_unreadable", { month: name, error: reasonOf(error) });
    return { month: empty, etag: object.etag }; // it begins anew: counts are lost, the roll-up goes on
  }
}

function monthKey(name: string): string {
  return `stats/months/${name}.json`;
}

/** The keys of the oldest events there are, up to 1,000, in order. */
async function events(bucket: R2Bucket): Promise<string[]> {
  const { objects } = await bucket.list({ prefix: EVENTS });
  return objects.map(({ key }) => key).filter((key) => EVENT.test(key));
}

function timeOf(key: string): number {
  return Number(EVENT.exec(key)?.[1]);
}

function monthOf(key: string): string {
  return new Date(timeOf(key)).toISOString().slice(0, 7);
}
