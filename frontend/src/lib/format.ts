/** Times, sizes and durations in words. Dates in tables read the same in both languages (ux.md 7). */

import { currentLanguage } from "./language";

/** Of whoever looks. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

// Making one costs a hundred times what using it does; a log view writes fifty times in a frame.
const LOCAL = { medium: isoLocal("medium"), short: isoLocal("short") } as const; // sv-SE writes ISO 8601 with a space

function isoLocal(timeStyle: "medium" | "short"): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle });
}

/** `2026-11-22 03:00:07 JST`, in the zone of whoever looks. */
export function absoluteTime(value: string | number, { seconds = true, zone = true } = {}): string {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return String(value);
  const local = LOCAL[seconds ? "medium" : "short"].format(date);
  return zone ? `${local} ${zoneName(date)}` : local;
}

/** The zone's short name where it has one people know (JST, UTC), else its offset (+02:00). */
export function zoneName(date: Date): string {
  const part = (locale: string, style: "short" | "longOffset"): string =>
    new Intl.DateTimeFormat(locale, { timeZoneName: style }).formatToParts(date).find((each) => each.type === "timeZoneName")?.value ?? "";
  const name = part(ZONE === "Asia/Tokyo" ? "ja-JP" : "en-US", "short");
  return /^[A-Z]{3,4}$/.test(name) ? name : part("en-US", "longOffset").replace("GMT", "") || "UTC";
}

const STEPS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** "3 minutes ago", "in 2 days". */
export function relativeTime(value: string | number, nowMs: number): string {
  const seconds = Math.round((new Date(value).getTime() - nowMs) / 1000);
  const [unit, size] = STEPS.find(([, each]) => Math.abs(seconds) >= each) ?? (["second", 1] as const);
  return new Intl.RelativeTimeFormat(currentLanguage(), { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
}

/** `3 d 4 h`, `12 min`, `8 s`; the two largest units. */
export function duration(seconds: number): string {
  const units: readonly (readonly ["day" | "hour" | "minute" | "second", number])[] = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
    ["second", 1],
  ];
  let rest = Math.max(0, Math.round(seconds));
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count === 0 && !(unit === "second" && parts.length === 0)) continue;
    parts.push(new Intl.NumberFormat(currentLanguage(), { style: "unit", unit, unitDisplay: "narrow" }).format(count));
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** Binary units, three digits that mean something: `512 B`, `1.21 GiB`. */
export function bytes(count: number): string {
  let value = count;
  let step = 0;
  while (Math.abs(value) >= 1024 && step < SIZES.length - 1) {
    value /= 1024;
    step += 1;
  }
  return `${step === 0 ? value : value.toPrecision(value >= 1000 ? 4 : 3)} ${SIZES[step]}`;
}

// oxlint-disable-next-line no-control-regex -- all of ASCII is meant: it is normal already, and looking is cheaper
const ASCII = /^[\u0000-\u007f]*$/;

/** What people type and what there is, made comparable: width and case do not count. */
export function searchable(text: string): string {
  return (ASCII.test(text) ? text : text.normalize("NFKC")).toLowerCase();
}
