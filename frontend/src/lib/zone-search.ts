/** What the address of a zone's page says of its table: shared, bookmarked, gone back to. */

import type { ListDnsRecordsData } from "@/api/types.gen";

type Asked = NonNullable<ListDnsRecordsData["query"]>;

export const SORTS = ["name", "type", "content", "ttl", "proxied", "comment", "modified_on"] as const satisfies readonly Asked["sort"][];
export const SHOWN = ["drifted", "ours", "locked"] as const satisfies readonly Asked["show"][];
export const PROXIED = ["yes", "no"] as const;
export const ZONE_ACTS = ["new"] as const; // whose dialog is open

export interface ZoneSearch {
  find?: string;
  type?: string;
  proxied?: (typeof PROXIED)[number];
  tag?: string;
  show?: (typeof SHOWN)[number];
  sort?: (typeof SORTS)[number];
  down?: true; // from the end of the alphabet
  page?: number; // from 2; the first is not written
  columns?: string; // their names with commas
  ask?: (typeof ZONE_ACTS)[number];
}

const MAX_PAGE = 100_000;
const MAX_TEXT = 255;

const text = (value: unknown, limit = MAX_TEXT): string | undefined => {
  const given = typeof value === "number" || typeof value === "boolean" ? String(value) : value;
  return typeof given === "string" && given !== "" ? given.slice(0, limit) : undefined;
};
const one = <T extends string>(values: readonly T[], value: unknown): T | undefined => values.find((each) => each === value);

export function zoneSearch(search: Readonly<Record<string, unknown>>): ZoneSearch {
  const page = typeof search["page"] === "number" && Number.isInteger(search["page"]) && search["page"] > 1 && search["page"] <= MAX_PAGE ? search["page"] : undefined;
  const type = text(search["type"], 16);
  return {
    find: text(search["find"]),
    type: type && /^[A-Z0-9]+$/.test(type) ? type : undefined,
    proxied: one(PROXIED, search["proxied"]),
    tag: text(search["tag"], 200),
    show: one(SHOWN, search["show"]),
    sort: one(SORTS, search["sort"]),
    down: search["down"] === true ? true : undefined,
    page,
    columns: text(search["columns"], 200),
    ask: one(ZONE_ACTS, search["ask"]),
  };
}
