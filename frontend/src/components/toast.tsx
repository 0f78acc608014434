/**
 * Toasts: short confirmations, announced once, gone by themselves. Errors that matter stay on the page instead. No
 * injected style (the content security policy allows none), and never the only trace of anything.
 */

import { X } from "lucide-react";
import { useSyncExternalStore, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { IconButton } from "./button";

interface Toast {
  id: number;
  text: string;
}

const SHOWN_MS = 6_000;
const MAX_SHOWN = 3;

let toasts: readonly Toast[] = [];
let count = 0;
const listeners = new Set<() => void>();

function replace(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

function dismiss(id: number): void {
  replace(toasts.filter((each) => each.id !== id));
}

/** Say something in passing. The text is already translated. */
export function toast(text: string): void {
  count += 1;
  const id = count;
  replace([...toasts, { id, text }].slice(-MAX_SHOWN));
  setTimeout(() => dismiss(id), SHOWN_MS);
}

export function Toasts(): ReactNode {
  const { t } = useTranslation();
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div role="status" aria-live="polite" className="pointer-events-none fixed inset-x-0 bottom-16 z-50 flex flex-col items-center gap-2 px-4 md:bottom-6">
      {shown.map(({ id, text }) => (
        <div key={id} className="pointer-events-auto flex max-w-md items-center gap-2 rounded border border-edge bg-panel py-1 pr-1 pl-3 shadow-lg">
          <span className="quoted">{text}</span>
          <IconButton label={t("common.close")} onClick={() => dismiss(id)}>
            <X size={16} aria-hidden />
          </IconButton>
        </div>
      ))}
    </div>
  );
}
