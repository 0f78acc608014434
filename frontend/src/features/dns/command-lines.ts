/** The commands that do the same from a terminal (ux.md rule 7), each ready to be pasted into a shell. */

import type { NewRoute } from "@/api/types.gen";
import { quoted } from "@/lib/shell";
import type { ZoneSearch } from "@/lib/zone-search";

import type { ImportZone } from "./requests";

export function listCommand(zone: string, { find, type, proxied, tag, show, sort }: ZoneSearch): string {
  const options = [
    find === undefined ? "" : ` --find ${quoted(find)}`,
    type === undefined ? "" : ` --type ${quoted(type)}`,
    proxied === undefined ? "" : proxied === "yes" ? " --proxied" : " --no-proxied",
    tag === undefined ? "" : ` --tag ${quoted(tag)}`,
    show === undefined ? "" : ` --show ${show}`,
    sort === undefined ? "" : ` --sort ${sort}`,
  ];
  return `homeport dns list ${quoted(zone)}${options.join("")}`;
}

export const showCommand = (zone: string, key: string): string => `homeport dns show ${quoted(zone)} ${quoted(key)}`;
export const propagationCommand = (zone: string, key: string): string => `homeport dns propagation ${quoted(zone)} ${quoted(key)}`;
export const readCommand = (zone: string): string => `homeport dns read ${quoted(zone)}`;
export const exportCommand = (zone: string, format: ImportZone["format"] = "bind"): string => `homeport dns export ${quoted(zone)}${format === "bind" ? "" : ` --format ${format}`}`;
export const snapshotsCommand = (zone: string): string => `homeport dns snapshots ${quoted(zone)}`;
export const diffCommand = (zone: string, from: string, to: string): string => `homeport dns diff ${quoted(zone)} ${quoted(from)}${to === "now" ? "" : ` ${quoted(to)}`}`;
export const rollbackCommand = (zone: string, snapshot: string, keys: readonly string[] = []): string =>
  `homeport dns rollback ${quoted(zone)} ${quoted(snapshot)}${keys.map((key) => ` --key ${quoted(key)}`).join("")}`;
export const unfinishedCommand = (operation: string, way: "finish" | "revert"): string => `homeport dns ${way} ${quoted(operation)}`;

export function importCommand(zone: string, { format, mode }: Pick<ImportZone, "format" | "mode">): string {
  return `homeport dns import ${quoted(zone)} FILE --format ${format}${mode === "replace" ? " --replace" : ""}`;
}

/** What was changed from outside; with `act`, what is to become of these. */
export function driftCommand(zone: string, { isAll = false, act, ids = [] }: { isAll?: boolean; act?: "accept" | "revert"; ids?: readonly number[] } = {}): string {
  return `homeport dns drift ${quoted(zone)}${isAll ? " --all" : ""}${act === undefined ? "" : ids.map((id) => ` --${act} ${id}`).join("")}`;
}

export const checkCommand = (domain: string | null, fixes: readonly string[] = []): string => `homeport dns check${domain === null ? "" : ` ${quoted(domain)}`}${fixes.map((id) => ` --fix ${quoted(id)}`).join("")}`;

/** Plans a public hostname of the tunnel. */
export function routeCommand({ hostname, path, service, role = "other" }: NewRoute, protect: boolean): string {
  const options = [path ? ` --path ${quoted(path)}` : "", role === "other" ? "" : ` --role ${role}`, protect && role === "mail-api" ? " --protect" : ""];
  return `homeport tunnel add ${quoted(hostname)} ${quoted(service)}${options.join("")}`;
}
