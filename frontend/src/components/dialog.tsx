/** Dialogs on Base UI: focus is trapped and given back, Escape closes, the page behind is inert. */

import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode, RefObject } from "react";

export function Dialog({
  title,
  onClose,
  initialFocus,
  children,
  wide = false,
}: {
  title: string;
  onClose: () => void;
  initialFocus?: RefObject<HTMLElement | null>;
  children: ReactNode;
  wide?: boolean;
}): ReactNode {
  return (
    <Base.Root
      open
      onOpenChange={(open) => {
        if (!open) onClose();
      }}
    >
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-black/45" />
        <Base.Popup
          initialFocus={initialFocus}
          className={`fixed top-[10dvh] left-1/2 z-40 flex max-h-[80dvh] w-[calc(100vw-1.5rem)] -translate-x-1/2 flex-col gap-4 overflow-y-auto rounded-lg border border-line bg-panel p-4 shadow-2xl sm:p-5 ${wide ? "max-w-2xl" : "max-w-md"}`}
        >
          <Base.Title className="text-base font-semibold">{title}</Base.Title>
          {children}
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  );
}

export function DialogButtons({ children }: { children: ReactNode }): ReactNode {
  return <div className="sticky -bottom-4 -mb-4 flex flex-wrap justify-end gap-2 bg-panel pt-1 pb-4 sm:-bottom-5 sm:-mb-5 sm:pb-5">{children}</div>;
}
