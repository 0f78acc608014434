/** The command that does the same from a terminal (ux.md rule 7). */

import { quoted } from "@/lib/shell";
import type { ZoneSearch } from "@/lib/zone-search";

export function listCommand(zone: string, { find, type, proxied, tag, show }: ZoneSearch): string {
  const options = [
    find === undefined ? "" : ` --find ${quoted(find)}`,
    type === undefined ? "" : ` --type ${type}`,
    proxied === undefined ? "" : proxied === "yes" ? " --proxied" : " --no-proxied",
    tag === undefined ? "" : ` --tag ${quoted(tag)}`,
    show === undefined ? "" : ` --show ${show}`,
  ];
  return `homeport dns list ${zone}${options.join("")}`;
}
