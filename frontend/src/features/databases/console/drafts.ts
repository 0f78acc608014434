/** What was typed in each mode, for as long as this tab lives: whoever looks something up comes back to it. */

import { useSyncExternalStore } from "react";

export type Mode = "read" | "write";

const drafts = new Map<Mode, string>();
const listeners = new Set<() => void>();

const draftOf = (mode: Mode): string => drafts.get(mode) ?? "";

export function keepDraft(mode: Mode, statement: string): void {
  drafts.set(mode, statement);
  for (const listener of listeners) listener();
}

export function useDraft(mode: Mode): string {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => draftOf(mode),
  );
}

/** The first rows of a table, its name quoted as the server wants it. */
export const selectFrom = (table: string): string => `SELECT * FROM \`${table.replaceAll("`", "``")}\` LIMIT 100`;
