/** DNS records as pages compare and show them: pure, over what the API sends and over what plans have written down. */

export type RecordLike = Readonly<Record<string, unknown>>;

export const RECORD_FIELDS = ["type", "name", "content", "priority", "ttl", "proxied", "comment", "tags", "settings", "data"] as const;
export type RecordField = (typeof RECORD_FIELDS)[number];

export const AUTOMATIC_TTL = 1; // as Cloudflare writes it

export interface FieldDifference {
  field: RecordField;
  before: unknown;
  after: unknown;
}

/** The fields in which two states of a record differ. What is left out of one is at its default there. */
export function fieldDifferences(before: RecordLike, after: RecordLike): FieldDifference[] {
  const differing = RECORD_FIELDS.map((field) => ({ field, before: valueOf(before, field), after: valueOf(after, field) })).filter((each) => JSON.stringify(each.before) !== JSON.stringify(each.after));
  // The parts of a structured record are its content as well: it is enough to say it once.
  return differing.some(({ field }) => field === "content") ? differing.filter(({ field }) => field !== "data") : differing;
}

/** What is worth saying of a record that comes or goes: its fields that are not at their default. */
export function saidFields(record: RecordLike): RecordField[] {
  return RECORD_FIELDS.filter((field) => field !== "type" && field !== "name" && (field !== "data" || !record["content"]) && (field === "ttl" || valueOf(record, field) !== null));
}

export function valueOf(record: RecordLike, field: RecordField): unknown {
  const value = record[field];
  if (field === "ttl") return value ?? AUTOMATIC_TTL;
  if (field === "proxied") return value === true ? true : null;
  if (value === undefined || value === null || value === "") return null;
  if (Array.isArray(value)) return value.length === 0 ? null : value.map(String).toSorted((one, other) => (one < other ? -1 : 1));
  return typeof value === "object" ? sorted(value as RecordLike) : value;
}

/** With its keys in order, so that equal things read equal; nothing when there is nothing in it. */
function sorted(value: RecordLike): RecordLike | null {
  const entries = Object.entries(value)
    .filter(([, each]) => each !== null && each !== undefined)
    .toSorted(([one], [other]) => (one < other ? -1 : 1));
  return entries.length === 0 ? null : Object.fromEntries(entries);
}

const WITH_PRIORITY: ReadonlySet<unknown> = new Set(["MX", "SRV", "URI"]); // HTTPS and SVCB have theirs in the content

/** What a record says, with its priority in front where it stands beside the content. */
export function contentText(record: RecordLike): string {
  const [content, priority] = [record["content"], record["priority"]];
  const text = typeof content === "string" ? content : "";
  return typeof priority === "number" && WITH_PRIORITY.has(record["type"]) ? `${priority} ${text}` : text;
}

/** `name` below its zone: "@" for the zone itself, the whole name where it is another's. */
export function shortName(name: string, zone: string): string {
  return name === zone ? "@" : name.endsWith(`.${zone}`) ? name.slice(0, -zone.length - 1) : name;
}
