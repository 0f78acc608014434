/** What a restore is of, as the address of its page has it: chosen there, and found again from an operation. */

import type { OperationView, PreviewRestore } from "@/api/types.gen";

export interface RestoreSearch {
  point?: string;
  asset?: string;
  folder?: string;
  origin?: PreviewRestore["origin"];
  where?: PreviewRestore["where"];
  preview?: string; // id of the operation that looks
}

export const EVERYTHING = "everything"; // in place of an asset

/** INBOX is "" on disk, which an address cannot tell from no folder at all; every other folder begins with a dot. */
export const FOLDER_OF_INBOX = "INBOX";
export const folderIn = (chosen: string | undefined): string | null => (chosen === undefined ? null : chosen === FOLDER_OF_INBOX ? "" : chosen);

/** Given the operation of a preview or of a restore, return where its wish stands; null when it is another's. */
export function restoreOf({ id, act, state, detail }: Pick<OperationView, "id" | "act" | "state" | "detail">): RestoreSearch | null {
  if (act !== "backups:preview" && act !== "backups:restore") return null;
  const text = (name: string): string | undefined => (typeof detail?.[name] === "string" ? detail[name] : undefined);
  const folder = text("folder");
  return {
    point: text("point"),
    asset: text("asset"),
    folder: folder === "" ? FOLDER_OF_INBOX : folder,
    origin: text("origin") as RestoreSearch["origin"],
    where: text("where") as RestoreSearch["where"],
    preview: act === "backups:preview" && (state === "running" || state === "done") ? id : undefined,
  };
}
