/** Views of one page, as links: each has its own address. What is shown now is marked for eyes and for ears. */

import type { ReactNode } from "react";

export function Tabs({ label, children }: { label: string; children: ReactNode }): ReactNode {
  return (
    <nav aria-label={label} className="flex gap-1 overflow-x-auto border-b border-line">
      {children}
    </nav>
  );
}

/** What a link in `Tabs` looks like, and what it says of itself. */
export function tabLook(isNow: boolean): { className: string; "aria-current": "page" | undefined; "data-now": boolean } {
  return {
    "aria-current": isNow ? "page" : undefined,
    "data-now": isNow,
    className:
      "target -mb-px border-b-2 border-transparent px-3 py-1.5 text-sm whitespace-nowrap text-muted hover:text-ink data-[now=true]:border-accent data-[now=true]:font-medium data-[now=true]:text-ink",
  };
}
