import { useEffect, useRef, type ReactNode } from "react";

let isFirst = true; // of this document: there the browser begins at the top, with the skip link

/** A page: one h1, which takes the focus when the address has changed, and which names the document. */
export function Page({ title, aside, children, lead }: { title: string; aside?: ReactNode; lead?: ReactNode; children: ReactNode }): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFirst) heading.current?.focus({ preventScroll: true });
    isFirst = false;
  }, []);
  useEffect(() => {
    document.title = `${title} · Homeport`;
  }, [title]);
  return (
    <div className="mx-auto flex w-full max-w-[100rem] flex-col gap-4 px-3 pt-3 pb-8 sm:px-5 sm:pt-4">
      <header className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
        <div className="min-w-0">
          <h1 ref={heading} tabIndex={-1} className="quoted text-lg font-semibold">
            {title}
          </h1>
          {lead && <p className="text-sm text-muted">{lead}</p>}
        </div>
        {aside && <div className="flex flex-wrap items-center gap-2">{aside}</div>}
      </header>
      {children}
    </div>
  );
}
