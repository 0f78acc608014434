import type { ReactNode } from "react";

import { visible } from "@/lib/hostile-text";

const MAX_CHARACTERS = 2_000;

/** A statement, as it was sent: its line breaks stay, whatever else is invisible shows. */
export function Sql({ text, whole = false }: { text: string; whole?: boolean }): ReactNode {
  const shown = whole || text.length <= MAX_CHARACTERS ? text : `${text.slice(0, MAX_CHARACTERS)}…`;
  return (
    <code dir="ltr" className={`quoted block font-mono text-[0.92em] whitespace-pre-wrap ${whole ? "" : "line-clamp-4"}`}>
      {visible(shown, "\n\t")}
    </code>
  );
}
