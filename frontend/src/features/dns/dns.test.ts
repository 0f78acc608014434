import { beforeEach, expect, test } from "vitest";

import type { DnsPlan, OperationView } from "@/api/types.gen";
import { chosenColumns, keepColumns } from "@/lib/columns";
import { changeCount, recordProblemsIn, roomOf, undoable } from "@/lib/plans";
import { Problem } from "@/lib/problem";
import { quoted } from "@/lib/shell";

import { driftCommand, exportCommand, importCommand, listCommand, rollbackCommand, routeCommand, showCommand, unfinishedCommand } from "./command-lines";
import { editCommand } from "./edit-command";
import { formatOf } from "./import-format";
import type { Connection } from "./requests";
import { isBeingRead, isToBeChosen, refreshAfter } from "./tunnel/requests";
import { isDriftKnown, isOutage, isOutOfReach } from "./zone-state";

const ALL = ["type", "name", "content", "tags"] as const;
const PROPOSED = ["type", "name", "content"] as const;

beforeEach(() => localStorage.clear());

test("columns are those of the address, else those chosen here, else the proposed ones, always in the table's order", () => {
  expect(chosenColumns("records", ALL, PROPOSED, undefined)).toEqual(PROPOSED);
  expect(keepColumns("records", ["name", "tags"], PROPOSED)).toBe("name,tags");
  expect(chosenColumns("records", ALL, PROPOSED, undefined)).toEqual(["name", "tags"]);
  expect(chosenColumns("records", ALL, PROPOSED, "content,name,nonsense")).toEqual(["name", "content"]);
  expect(chosenColumns("records", ALL, PROPOSED, "nonsense")).toEqual(["name", "tags"]);
  expect(keepColumns("records", ["type", "name", "content"], PROPOSED)).toBeUndefined();
  expect(chosenColumns("records", ALL, PROPOSED, undefined)).toEqual(PROPOSED);
});

test("a plan counts all its changes, also those that are not sent", () => {
  const plan = { changes: [{}, {}], counts: { create: 300, delete: 10 } } as unknown as DnsPlan;
  expect(changeCount(plan)).toBe(310);
  expect(changeCount({ changes: plan.changes })).toBe(2);
});

test("what is wrong with edits or lines is found in the problem that refused them", () => {
  const fault = { field: "content", code: "address-v4", params: {}, text: "no", severity: "error" };
  expect(recordProblemsIn(new Problem(422, { type: "/problems/record-invalid", edits: [{ index: 0, problems: [fault] }, { index: 3 }] }))).toEqual([fault]);
  expect(recordProblemsIn(new Problem(422, { type: "/problems/import-invalid", problems: [fault, fault] }))).toHaveLength(2);
  expect(recordProblemsIn(new Problem(500, { edits: "nonsense" }))).toEqual([]);
  expect(recordProblemsIn(new Error("no problem at all"))).toEqual([]);
});

test("a record of a plan is called by its type and name, without what makes its key", () => {
  const nameOf = roomOf("dns:apply")?.nameOf ?? String;
  expect(nameOf("A www.example.com 0123456789ab")).toBe("A www.example.com");
  expect(nameOf("TXT example.com 0123456789ab #2")).toBe("TXT example.com");
  expect(nameOf("A abcdefabcdef.example.com")).toBe("A abcdefabcdef.example.com");
});

test("a change of the tunnel is called in words", () => {
  const nameOf = roomOf("dns:route")?.nameOf ?? String;
  expect(nameOf("route app.example.com/api")).toBe("route app.example.com/api");
  expect(nameOf("rule waf app.example.com")).toBe("firewall rule of app.example.com");
  expect(nameOf("something else")).toBe("something else");
});

test.each([
  ["/problems/dns-apply-unfinished", "plan"],
  ["/problems/dns-apply-reverted", null],
  ["/problems/dns-change-refused", null],
])("after %s what can be undone is %s", (type, id) => {
  const operation = { act: "dns:apply", state: "failed", inverse: { act: "dns:apply", target: "example.com", plan_id: "plan" }, error: { type } } as unknown as OperationView;
  expect(undoable(operation)).toBe(id);
});

test.each([
  ["zone.csv", "", "csv"],
  ["export.JSON", "", "json"],
  ["example.com.zone", "[", "bind"],
  ["", "  [{}]", "json"],
  ["", "type,name,content", "csv"],
  ["notes.txt", "$ORIGIN example.com.", "bind"],
])("the file %s that begins with %j is %s", (name, text, format) => {
  expect(formatOf(name, text)).toBe(format);
});

test("the command of a list says what its filter says, ready for a shell", () => {
  expect(listCommand("example.com", {})).toBe("homeport dns list example.com");
  expect(listCommand("example.com", { find: "a b", type: "TXT", proxied: "no", show: "drifted" })).toBe("homeport dns list example.com --find 'a b' --type TXT --no-proxied --show drifted");
  expect(quoted("it's")).toBe("'it'\\''s'");
});

const CONNECTED: Connection = { state: "connected", since: null, detail: "", permission: null, settings: [], retry_at: null };
const REFUSED: Connection = { ...CONNECTED, state: "refused", detail: "the token lacks the permission Zone WAF Read for zone other.example", permission: "Zone WAF Read" };
const LIMITED: Connection = { ...CONNECTED, state: "limited" };
const SILENT: Connection = { ...CONNECTED, state: "silent" };

test.each([
  ["connected", CONNECTED, null, false],
  ["connected, and this zone's last reading failed for once", CONNECTED, "timeout", false],
  ["a permission missing elsewhere", REFUSED, null, false],
  ["a permission missing for this zone", REFUSED, "the token lacks the permission DNS Read for zone example.com", true],
  ["the token refused", { ...REFUSED, permission: null }, null, true],
  ["a limited rate", LIMITED, null, true],
  ["silence", SILENT, null, true],
])("with %s a zone is out of reach only when it can't be worked with", (_, connection, error, expected) => {
  expect(isOutOfReach(connection, { error })).toBe(expected);
  expect(isOutage(connection)).toBe(expected && connection.permission === null);
});

test("that nothing drifted is known of a zone only when it was read lately", () => {
  const read = { read_at: "2026-11-22T03:00:00Z", is_stale: false, error: null };
  expect(isDriftKnown(read)).toBe(true);
  expect(isDriftKnown({ ...read, read_at: null })).toBe(false);
  expect(isDriftKnown({ ...read, is_stale: true })).toBe(false);
  expect(isDriftKnown({ ...read, error: "not read since the portal started" })).toBe(false);
});

test("one of several tunnels is no account that is not connected, and what was not read yet is no tunnel that is not there", () => {
  const several: Connection = { ...CONNECTED, state: "not-configured", settings: ["HOMEPORT_PORTAL_TUNNEL_ID"] };
  expect(isToBeChosen({ connection: several })).toBe(true);
  expect(isToBeChosen({ connection: { ...several, settings: ["HOMEPORT_PORTAL_CLOUDFLARE_TOKEN"] } })).toBe(false);
  expect(isBeingRead({ connection: CONNECTED, tunnel: null, read_at: null })).toBe(true);
  expect(isBeingRead({ connection: CONNECTED, tunnel: null, read_at: "2026-11-22T03:00:00Z" })).toBe(false);
  expect(isBeingRead({ connection: REFUSED, tunnel: null, read_at: null })).toBe(false);
  expect(refreshAfter({ connection: CONNECTED, tunnel: null, read_at: null })).toBe(5_000);
  expect(refreshAfter({ connection: SILENT, tunnel: null, read_at: null })).toBe(15_000);
  expect(refreshAfter({ connection: several, tunnel: null, read_at: null })).toBe(60_000);
  expect(refreshAfter({ connection: SILENT, tunnel: null, read_at: "2026-11-22T03:00:00Z" })).toBe(60_000);
});

test("whatever a command is given is one word of a shell", () => {
  expect(showCommand("example.com", "A $(reboot) 0123456789ab")).toBe("homeport dns show example.com 'A $(reboot) 0123456789ab'");
  expect(listCommand("a;b", { type: "A|B" })).toBe("homeport dns list 'a;b' --type 'A|B'");
  expect(unfinishedCommand("x y", "finish")).toBe("homeport dns finish 'x y'");
});

test("a command says all that was chosen", () => {
  expect(rollbackCommand("example.com", "01J")).toBe("homeport dns rollback example.com 01J");
  expect(rollbackCommand("example.com", "01J", ["A www 0123456789ab", "MX"])).toBe("homeport dns rollback example.com 01J --key 'A www 0123456789ab' --key MX");
  expect(unfinishedCommand("01J", "revert")).toBe("homeport dns revert 01J");
  expect(driftCommand("example.com")).toBe("homeport dns drift example.com");
  expect(driftCommand("example.com", { isAll: true })).toBe("homeport dns drift example.com --all");
  expect(driftCommand("example.com", { act: "revert", ids: [1, 2] })).toBe("homeport dns drift example.com --revert 1 --revert 2");
  expect(importCommand("example.com", { format: "csv", mode: "replace" })).toBe("homeport dns import example.com FILE --format csv --replace");
  expect(exportCommand("example.com", "json")).toBe("homeport dns export example.com --format json");
  expect(routeCommand({ hostname: "*.example.com", service: "http://mail-api:8000", path: "/v1 /x", role: "mail-api" }, true)).toBe("homeport tunnel add '*.example.com' http://mail-api:8000 --path '/v1 /x' --role mail-api --protect");
  expect(routeCommand({ hostname: "example.com", service: "http://blog:80", role: "site" }, true)).toBe("homeport tunnel add example.com http://blog:80 --role site");
});

test("the command of a record's form adds what is typed, or sets what differs", () => {
  const added = { type: "MX", name: "@", content: "mail.example.com", priority: 0, ttl: 300, proxied: false, comment: "", tags: [] };
  expect(editCommand("example.com", { act: "create", record: added })).toBe("homeport dns plan example.com add MX @ mail.example.com --ttl 300 --priority 0");
  const service = { type: "SRV", name: "_sip._tcp", data: { priority: 1, target: "sip.example.com" }, ttl: 1, tags: ["team:web"] };
  expect(editCommand("example.com", { act: "create", record: service })).toBe("homeport dns plan example.com add SRV _sip._tcp --data priority=1 --data target=sip.example.com --tag team:web");
  expect(editCommand("example.com", { act: "create", record: { type: "TXT", name: "x", content: "-all" } })).toBe("homeport dns plan -- example.com add TXT x -all");
  expect(editCommand("example.com", { act: "change", key: "A www 0123456789ab", record: { content: "192.0.2.1", proxied: false, comment: "" } })).toBe(
    "homeport dns plan example.com set 'A www 0123456789ab' --content 192.0.2.1 --no-proxied --comment ''",
  );
  expect(editCommand("example.com", { act: "change", key: "A www 0123456789ab", record: { tags: [] } })).toBeNull();
});
