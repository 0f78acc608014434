import type { ReactNode } from "react";

/** A section of a page, with its heading and what one can do there. */
export function Panel({ title, aside, children, id }: { title: ReactNode; aside?: ReactNode; children: ReactNode; id?: string }): ReactNode {
  return (
    <section id={id} className="min-w-0 rounded-lg border border-line bg-panel">
      <header className="flex min-h-11 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-3 py-1.5">
        <h2 className="text-sm font-semibold">{title}</h2>
        {aside && <div className="flex flex-wrap items-center gap-2">{aside}</div>}
      </header>
      {children}
    </section>
  );
}

/** Names and values. */
export function Facts({ children }: { children: ReactNode }): ReactNode {
  return <dl className="grid grid-cols-[fit-content(45%)_1fr] gap-x-4 gap-y-1.5 p-3 text-sm">{children}</dl>;
}

export function Fact({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <>
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  );
}
