import { expect, test } from "vitest";

import type { RecordView } from "@/api/types.gen";
import { contentText, fieldDifferences, saidFields, shortName } from "@/lib/records";
import { zoneSearch } from "@/lib/zone-search";

import { changedMembers, draftOf, emptyForm, formOf, plainText, typeOf, TYPE_NAMES, withType } from "./draft";

const record = (given: Partial<RecordView>): RecordView => ({
  key: "A www.example.com 0123456789ab",
  id: "1",
  type: "A",
  name: "www.example.com",
  unicode_name: "www.example.com",
  content: "192.0.2.1",
  data: null,
  priority: null,
  ttl: 1,
  proxied: false,
  proxiable: true,
  comment: null,
  tags: [],
  settings: {},
  is_locked: false,
  is_ours: false,
  modified_on: null,
  ...given,
});

test("every type has a form, and what is used most stands first", () => {
  expect(TYPE_NAMES.slice(0, 3)).toEqual(["A", "AAAA", "CNAME"]);
  expect(new Set(TYPE_NAMES).size).toBe(TYPE_NAMES.length);
  for (const name of TYPE_NAMES) expect(draftOf(emptyForm(name)).type).toBe(name);
});

test("a record that was only looked at has changed nothing", () => {
  for (const each of [
    record({}),
    record({ type: "MX", content: "mail.example.com", priority: 0 }),
    record({ type: "TXT", content: '"v=spf1 -all" "more"' }),
    record({ type: "SRV", content: "10 5 443 sip.example.com", data: { priority: 10, weight: 5, port: 443, target: "sip.example.com" }, comment: "x", tags: ["a:b"] }),
    record({ type: "CAA", data: { flags: 0, tag: "issue", value: "letsencrypt.org" } }),
  ]) {
    const draft = draftOf(formOf(each, "example.com"));
    expect(changedMembers(draft, draftOf(formOf(each, "example.com")))).toEqual({});
  }
});

test("an edit names only what was changed, so that settings and the like stay", () => {
  const before = formOf(record({ settings: { ipv4_only: true } }), "example.com");
  expect(changedMembers(draftOf({ ...before, ttl: "300" }), draftOf(before))).toEqual({ ttl: 300 });
});

test("a priority of nought is one", () => {
  expect(draftOf(formOf(record({ type: "MX", content: "mail.example.com", priority: 0 }), "example.com")).priority).toBe(0);
});

test("numbers of structured records are numbers, and what is none is left for the check to judge", () => {
  const form = { ...emptyForm("SRV"), data: { priority: "10", weight: "5", port: "https", target: " sip.example.com " } };
  expect(draftOf(form).data).toEqual({ priority: 10, weight: 5, port: "https", target: "sip.example.com" });
});

test("another type keeps what both have", () => {
  const form = withType({ ...emptyForm("A"), name: "www", proxied: true }, "MX");
  expect([form.name, form.proxied, form.priority]).toEqual(["www", false, "10"]);
  expect(typeOf("TYPE999").content).toBe("text");
});

test.each([
  ['"v=spf1 -all"', "v=spf1 -all"],
  ['"one" "two"', "onetwo"],
  ['"a \\"quoted\\" word and \\\\"', 'a "quoted" word and \\'],
  ['"bell \\007"', '"bell \\007"'], // a byte that nobody can type stays as it is kept
  ['"\\"whole\\""', '"\\"whole\\""'], // would be read as quoted
  ["no quotes", "no quotes"],
  ['"open', '"open'],
])("the text of %s is %s", (content, text) => {
  expect(plainText(content)).toBe(text);
});

test("differences are those of meaning: what is left out is at its default", () => {
  expect(fieldDifferences({ type: "A", name: "a", content: "192.0.2.1", ttl: 1, proxied: false, tags: [] }, { type: "A", name: "a", content: "192.0.2.1" })).toEqual([]);
  expect(fieldDifferences({ type: "A", name: "a", content: "192.0.2.1" }, { type: "A", name: "a", content: "192.0.2.2", comment: "moved" }).map(({ field }) => field)).toEqual(["content", "comment"]);
});

test("parts of a structured record are said once", () => {
  const [one, other] = [record({ type: "SRV", content: "1 2 3 a", data: { port: 3, weight: 2 } }), record({ type: "SRV", content: "1 2 4 a", data: { weight: 2, port: 4 } })];
  expect(fieldDifferences({ ...one }, { ...other }).map(({ field }) => field)).toEqual(["content"]);
  expect(fieldDifferences({ type: "SRV", name: "a", data: { weight: 2, port: 3 } }, { type: "SRV", name: "a", data: { port: 3, weight: 2 } })).toEqual([]);
  expect(saidFields({ ...one })).toEqual(["content", "ttl"]);
  expect(saidFields({ type: "SRV", name: "a", data: { port: 3 } })).toEqual(["ttl", "data"]);
});

test("a priority that stands beside the content is said in front of it, one that is part of it is not said twice", () => {
  expect(contentText({ ...record({ type: "MX", content: "mail.example.com", priority: 0 }) })).toBe("0 mail.example.com");
  expect(contentText({ ...record({ type: "SRV", content: "5 443 sip.example.com", priority: 10 }) })).toBe("10 5 443 sip.example.com");
  expect(contentText({ ...record({ type: "HTTPS", content: '1 . alpn="h3"', priority: 1 }) })).toBe('1 . alpn="h3"');
});

test("names are short below their zone", () => {
  expect([shortName("example.com", "example.com"), shortName("a.example.com", "example.com"), shortName("an-example.com", "example.com")]).toEqual(["@", "a", "an-example.com"]);
});

test("an address that anybody typed is what it may be", () => {
  expect(zoneSearch({ find: 7, type: "a", proxied: "maybe", page: 1, sort: "id", down: "yes", show: "all", ask: "drop" })).toEqual({ find: "7" });
  expect(zoneSearch({ type: "TXT", proxied: "no", page: 3, sort: "ttl", down: true, show: "drifted", ask: "new" })).toEqual({ type: "TXT", proxied: "no", page: 3, sort: "ttl", down: true, show: "drifted", ask: "new" });
});
