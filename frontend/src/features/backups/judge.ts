/**
 * What the catalog's numbers mean, pure: which tone a meter has, what somebody should look at, which days have a point.
 * Nothing is good that was not measured, and what is old is unknown (ux.md rule 9).
 */

import type { Tone } from "@/components/status";

import type { AssetView, Known, PointView } from "./requests";

const MARGIN_ALARM_S = 29.5 * 86_400; // backup.md 6.2: below it a renewal was missed
const DRILL_GRACE_S = 8 * 86_400; // backup.md 8: a drill this long past its day is an alarm of its own

export const secondsSince = (at: string, nowMs: number): number => Math.max(0, (nowMs - Date.parse(at)) / 1000);

/** Of the age of the newest copy: within the promise, past it but not yet an alarm, or an alarm. Never: an alarm. */
export function ageTone(at: string | null, nowMs: number, limitS: number, alarmS: number): Tone {
  if (at === null) return "bad";
  const age = secondsSince(at, nowMs);
  return age <= limitS ? "good" : age <= alarmS ? "warn" : "bad";
}

/** Of a time that a restore takes, as the last drill has measured it. */
export function timeTone(seconds: number | null, limitS: number): Tone {
  return seconds === null ? "unknown" : seconds <= limitS ? "good" : "bad";
}

export type PointTrouble = "damaged" | "incomplete" | "unverified";

/** What is wrong with a point; null when it was verified and nothing has been found since. */
export function troubleOf({ damage, is_incomplete, verified }: Pick<PointView, "damage" | "is_incomplete" | "verified">): PointTrouble | null {
  if (damage !== "") return "damaged";
  if (is_incomplete) return "incomplete";
  return verified ? null : "unverified";
}

export const COVERED_ORDER = ["missing", "same-device", "yes", "excluded"] as const;
const KIND_ORDER = ["mailbox", "database", "site", "files", "volume", "zone", "secret"];

/** What is not kept first; then by kind and name. */
export function byUrgency(assets: readonly AssetView[]): AssetView[] {
  const collator = new Intl.Collator(undefined, { numeric: true });
  const rank = (asset: AssetView): number => COVERED_ORDER.indexOf(asset.covered) * 100 + KIND_ORDER.indexOf(asset.kind);
  return assets.toSorted((one, other) => rank(one) - rank(other) || collator.compare(one.name, other.name));
}

export type Matter =
  | "missing"
  | "same-device"
  | "local-old"
  | "vault-old"
  | "incomplete"
  | "damaged"
  | "repository"
  | "vault"
  | "margin"
  | "attack"
  | "drill-failed"
  | "drill-due"
  | "budget"
  | "sheet";

export interface Attention {
  matter: Matter;
  tone: "warn" | "bad";
  count: number;
  detail: string; // in the engine's own words
  point: string | null; // where to look
}

/** What somebody should look at, the gravest first. */
export function attention({ meters, assets, points, repository, vault, recovery_sheet_confirmed_at: sheet }: Known, nowMs: number): Attention[] {
  const found: Attention[] = [];
  const say = (matter: Matter, tone: "warn" | "bad", { count = 1, detail = "", point = null }: { count?: number; detail?: string; point?: string | null } = {}): void => {
    found.push({ matter, tone, count, detail, point });
  };
  const hasVault = vault.state !== "off";
  for (const covered of ["missing", "same-device"] as const) {
    const count = assets.filter((each) => each.covered === covered).length;
    if (count > 0) say(covered, "bad", { count });
  }
  for (const [matter, at, isKept] of [
    ["local-old", meters.local_at, true],
    ["vault-old", meters.vault_at, hasVault],
  ] as const) {
    const tone = ageTone(at, nowMs, meters.rpo_limit_s, meters.rpo_alarm_s);
    if (isKept && (tone === "warn" || tone === "bad")) say(matter, tone);
  }
  const newest = points.find(({ kind, is_local }) => kind !== "manual" && is_local);
  if (newest?.is_incomplete) say("incomplete", "bad", { point: newest.id, detail: newest.failures[0] ?? "" });
  const damaged = points.filter(({ damage }) => damage !== "");
  if (damaged[0]) say("damaged", "bad", { count: damaged.length, point: damaged[0].id, detail: damaged[0].damage });
  if (repository.state === "failed") say("repository", "bad", { detail: repository.detail });
  if (vault.state === "failed") say("vault", "bad", { detail: vault.detail });
  if (hasVault && vault.lowest_retain_until !== null && (Date.parse(vault.lowest_retain_until) - nowMs) / 1000 < MARGIN_ALARM_S) say("margin", "bad");
  if (vault.attack_ok === false) say("attack", "bad");
  const failed = assets.filter(({ drill }) => drill?.ok === false);
  if (failed[0]) say("drill-failed", "bad", { count: failed.length, detail: failed[0].drill?.detail ?? "" });
  if (meters.drill_due_at !== null) {
    const late = (nowMs - Date.parse(meters.drill_due_at)) / 1000;
    if (late > 0) say("drill-due", late > DRILL_GRACE_S ? "bad" : "warn");
  }
  if (vault.cost && vault.cost.month_usd > vault.cost.budget_usd) say("budget", "bad");
  if (sheet === null && points.length > 0) say("sheet", "warn");
  return found.toSorted((one, other) => Number(one.tone === "warn") - Number(other.tone === "warn"));
}

/** The date that a point stands for, in the backup's own zone: of an on-demand one, that of its start. */
export function dayOf({ id, kind, started_at }: Pick<PointView, "id" | "kind" | "started_at">, zone: string): string {
  return kind === "manual" ? dateIn(zone, Date.parse(started_at)) : id.slice(id.indexOf("/") + 1);
}

export function dateIn(zone: string, ms: number): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short" }).format(ms);
}

const DAY_MS = 86_400_000;

/**
 * The last weeks up to the one of `today`, as rows of seven dates. `firstDay`: 1 is Monday, 7 is Sunday. Dates are
 * counted in UTC, where no day has 23 hours.
 */
export function weeksUpTo(today: string, count: number, firstDay: number): string[][] {
  const at = Date.parse(`${today}T00:00:00Z`);
  const begun = (new Date(at).getUTCDay() - (firstDay % 7) + 7) % 7;
  const start = at - (begun + 7 * (count - 1)) * DAY_MS;
  return Array.from({ length: count }, (_, week) => Array.from({ length: 7 }, (_day, day) => new Date(start + (week * 7 + day) * DAY_MS).toISOString().slice(0, 10)));
}

/** Whether a day should have had a scheduled point and has none: after the oldest one, within what is kept, before today. */
export function isHole(day: string, days: ReadonlySet<string>, today: string, keptDays: number): boolean {
  const oldest = [...days].toSorted()[0];
  if (oldest === undefined || days.has(day) || day <= oldest || day >= today) return false;
  return Date.parse(today) - Date.parse(day) <= keptDays * DAY_MS;
}

export const flatOf = (point: string): string => point.replace("/", "-");
/** "mailbox:anna@home.test", as the catalogue writes it; what has no name is its kind alone. */
export const assetKey = ({ kind, name }: { kind: string; name: string }): string => (name === "" ? kind : `${kind}:${name}`);

/** What a key of `assetKey` names; the name may have colons of its own. */
export function assetOf(key: string): { kind: string; name: string } {
  const cut = key.indexOf(":");
  return cut < 0 ? { kind: key, name: "" } : { kind: key.slice(0, cut), name: key.slice(cut + 1) };
}

/** What is restored as a thing of its own; secrets and volumes come back by hand, on the host. */
const RESTORABLE: ReadonlySet<string> = new Set(["mailbox", "database", "site", "files", "zone"]);
export const isRestorable = (kind: string): boolean => RESTORABLE.has(kind);

/** What a point can be made of, and a drill tried with. */
export function restorable(assets: readonly AssetView[]): AssetView[] {
  return byUrgency(assets.filter(({ kind, covered }) => isRestorable(kind) && (covered === "yes" || covered === "same-device")));
}

type Origin = "local" | "repository" | "vault";

/** From where a point can be restored, the quickest first. */
export function originsOf({ is_local, repository, vault }: Pick<PointView, "is_local" | "repository" | "vault">): Origin[] {
  const places: readonly (readonly [Origin, boolean])[] = [
    ["local", is_local],
    ["repository", repository !== null],
    ["vault", vault !== null],
  ];
  return places.filter(([, isThere]) => isThere).map(([origin]) => origin);
}
