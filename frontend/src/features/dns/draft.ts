/** The form of a record: from a record to what can be typed, and from that to what the API takes. Pure. */

import type { Draft, RecordView } from "@/api/types.gen";
import { AUTOMATIC_TTL, shortName } from "@/lib/records";

import table from "./types.json"; // portal/dns/records/types.py, which says what each member is, and where each form is defined

export interface Part {
  name: string;
  kind: string;
  least: number;
  most: number;
  default: number | string | null; // null: it has to be given
  choices: readonly string[];
}

export interface RecordType {
  name: string;
  content: string | null; // the kind of its one text; null: it has parts
  parts: readonly Part[];
  priority: boolean;
  proxiable: boolean;
}

const TYPES: readonly RecordType[] = table;

/** All text, as it is typed. */
export interface Form {
  type: string;
  name: string;
  content: string;
  data: Readonly<Record<string, string>>;
  priority: string;
  ttl: string;
  proxied: boolean;
  comment: string;
  tags: string;
}

const COMMON = ["A", "AAAA", "CNAME", "MX", "TXT", "SRV", "CAA", "NS", "HTTPS"];

/** What is used most stands first, the others follow by name. */
export const TYPE_NAMES: readonly string[] = [...COMMON, ...TYPES.map(({ name }) => name).filter((name) => !COMMON.includes(name)).toSorted()];

export const TTLS = [AUTOMATIC_TTL, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 18_000, 43_200, 86_400] as const;

const UNKNOWN: RecordType = { name: "", content: "text", parts: [], priority: false, proxiable: false };

/** What is known of a type; one that is not known has one text. */
export function typeOf(name: string): RecordType {
  return TYPES.find((each) => each.name === name) ?? { ...UNKNOWN, name };
}

export function emptyForm(type = "A"): Form {
  return { type, name: "", content: "", data: partsOf(typeOf(type), {}), priority: typeOf(type).priority ? "10" : "", ttl: String(AUTOMATIC_TTL), proxied: false, comment: "", tags: "" };
}

/** Another type: what both have stays. */
export function withType(form: Form, name: string): Form {
  const type = typeOf(name);
  return {
    ...form,
    type: name,
    data: partsOf(type, form.data),
    priority: type.priority ? form.priority || "10" : "",
    proxied: form.proxied && type.proxiable,
  };
}

export function formOf(record: RecordView, zone: string): Form {
  const type = typeOf(record.type);
  return {
    type: record.type,
    name: shortName(record.name, zone),
    content: record.type === "TXT" ? plainText(record.content) : record.content,
    data: partsOf(type, Object.fromEntries(Object.entries(record.data ?? {}).map(([name, value]) => [name, String(value)]))),
    priority: record.priority === null ? "" : String(record.priority),
    ttl: String(record.ttl),
    proxied: record.proxied,
    comment: record.comment ?? "",
    tags: record.tags.join(", "),
  };
}

/** What the form says, complete. Numbers that are none go as they were typed: the check says what is wrong with them. */
export function draftOf(form: Form): Draft {
  const type = typeOf(form.type);
  return {
    type: form.type,
    name: form.name.trim(),
    ...(type.content === null ? { data: Object.fromEntries(type.parts.map((part) => [part.name, partValue(part, form.data[part.name] ?? "")])) } : { content: form.content }),
    ...(type.priority ? { priority: wholeNumber(form.priority) } : {}),
    ttl: wholeNumber(form.ttl) ?? AUTOMATIC_TTL,
    proxied: form.proxied,
    comment: form.comment,
    tags: form.tags
      .split(/[,、]/)
      .map((tag) => tag.trim())
      .filter(Boolean),
  };
}

/** The members of a draft that are not what they were: whatever the form does not know stays untouched. */
export function changedMembers(draft: Draft, before: Draft): Draft {
  return Object.fromEntries(Object.entries(draft).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name as keyof Draft])));
}

/** The text of a TXT record as people read it, where it can be written back; else as it is kept. */
export function plainText(content: string): string {
  const strings = [...content.matchAll(/"((?:[^"\\]|\\.)*)"/gs)];
  const isWhole = strings.length > 0 && content.replaceAll(/"(?:[^"\\]|\\.)*"/gs, "").trim() === "";
  const text = strings.map(([, inside = ""]) => inside).join("");
  return isWhole && !/\\\d{3}/.test(text) && !text.startsWith('\\"') ? text.replaceAll(/\\(.)/gs, "$1") : content;
}

function partsOf(type: RecordType, known: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(type.parts.map(({ name, default: given, choices }) => [name, known[name] ?? (given === null ? (choices[0] ?? "") : String(given))]));
}

function partValue({ kind }: Part, typed: string): string | number {
  const text = typed.trim();
  return (kind === "integer" || kind === "number") && text !== "" && Number.isFinite(Number(text)) ? Number(text) : kind === "text" ? typed : text;
}

function wholeNumber(typed: string): number | null {
  return /^\d+$/.test(typed.trim()) ? Number(typed) : null;
}
