/** The command behind a record's form; apart from the others, since it knows all types of records. */

import type { Draft } from "@/api/types.gen";
import { quoted } from "@/lib/shell";

import { typeOf } from "./draft";
import type { Edit } from "./requests";

/** Plans what the form asks for; null where the command can't say it: all tags taken away. */
export function editCommand(zone: string, edit: Edit): string | null {
  const draft: Draft = edit.record ?? {};
  const { content, data, type } = draft;
  const isNew = edit.act === "create";
  if (!isNew && draft.tags?.length === 0) return null;
  const named = isNew ? [type ?? "", draft.name || "@", ...(typeOf(type ?? "").content === null ? [] : [content ?? ""])] : [edit.key ?? ""];
  const options = [
    isNew || draft.name === undefined ? "" : ` --name ${quoted(draft.name || "@")}`,
    isNew || content === undefined || content === null ? "" : ` --content ${quoted(content)}`,
    ...Object.entries(data ?? {}).map(([name, value]) => ` --data ${quoted(`${name}=${String(value)}`)}`),
    draft.ttl === undefined || draft.ttl === null || (isNew && draft.ttl === 1) ? "" : ` --ttl ${draft.ttl}`,
    draft.proxied === undefined || draft.proxied === null || (isNew && !draft.proxied) ? "" : draft.proxied ? " --proxied" : " --no-proxied",
    draft.priority === undefined || draft.priority === null ? "" : ` --priority ${draft.priority}`,
    draft.comment === undefined || draft.comment === null || (isNew && draft.comment === "") ? "" : ` --comment ${quoted(draft.comment)}`,
    ...(draft.tags ?? []).map((tag) => ` --tag ${quoted(tag)}`),
  ].join("");
  const words = [zone, isNew ? "add" : "set", ...named].map((word) => quoted(word)).join(" ");
  // Content may begin with a hyphen, and is then no option.
  return named.some((word) => word.startsWith("-")) ? `homeport dns plan${options} -- ${words}` : `homeport dns plan ${words}${options}`;
}
