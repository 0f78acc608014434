import { ChevronDown } from "lucide-react";
import { useEffect, useRef, type ReactNode } from "react";

import { buttonLook } from "./button";

/** A button with a panel below it; Escape and a click elsewhere close it. What is in it stays in the page's order. */
export function DropDown({ label, icon, children }: { label: string; icon?: ReactNode; children: ReactNode }): ReactNode {
  const frame = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const details = frame.current;
      if (!details?.open) return;
      if (event instanceof KeyboardEvent) {
        if (event.key !== "Escape") return;
        details.querySelector("summary")?.focus();
      } else if (event.target instanceof Node && details.contains(event.target)) return;
      details.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details ref={frame} className="relative">
      <summary className={buttonLook("plain", "list-none [&::-webkit-details-marker]:hidden")}>
        {icon}
        {label}
        <ChevronDown size={14} aria-hidden />
      </summary>
      <div className="absolute right-0 z-20 mt-1 flex w-max max-w-[80vw] flex-col gap-0.5 rounded border border-line bg-panel p-2 text-sm shadow-lg">{children}</div>
    </details>
  );
}
