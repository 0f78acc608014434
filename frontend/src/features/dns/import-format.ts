import type { ImportZone } from "@/api/types.gen";

export const FORMATS = ["bind", "csv", "json"] as const satisfies readonly ImportZone["format"][];
export const MAX_IMPORT_CHARACTERS = 5_000_000; // portal/dns/schemas.py

/** What a file is, by its name, else by how it begins. */
export function formatOf(name: string, text: string): ImportZone["format"] {
  const ending = /\.(csv|json|zone|db)$/i.exec(name)?.[1]?.toLowerCase();
  if (ending === "csv" || ending === "json") return ending;
  if (ending !== undefined) return "bind";
  const begin = text.trimStart().slice(0, 200).toLowerCase();
  if (begin.startsWith("[") || begin.startsWith("{")) return "json";
  return /^"?(?:type|name)"?,/.test(begin) ? "csv" : "bind";
}
