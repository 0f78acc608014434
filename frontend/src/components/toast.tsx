/**
 * Toasts: short confirmations, announced once, gone by themselves. Errors that matter stay on the page instead. No
 * injected style (the content security policy allows none), and never the only trace of anything.
 */

import { X } from "lucide-react";
import { useSyncExternalStore, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "./button";

interface Action {
  label: string;
  run: () => void;
}

interface Toast {
  id: number;
  text: string;
  action?: Action;
}

const SHOWN_MS = 6_000;
const SHOWN_WITH_ACTION_MS = 20_000; // whoever reads slowly, or goes there by keys, has to reach it
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

/** Say something in passing. The text is already translated. What the action does can be done elsewhere, too. */
export function toast(text: string, action?: Action): void {
  count += 1;
  const id = count;
  replace([...toasts, { id, text, action }].slice(-MAX_SHOWN));
  setTimeout(() => dismiss(id), action ? SHOWN_WITH_ACTION_MS : SHOWN_MS);
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
      {shown.map(({ id, text, action }) => (
        <div key={id} className="pointer-events-auto flex max-w-md items-center gap-2 rounded border border-edge bg-panel py-1 pr-1 pl-3 shadow-lg">
          <span className="quoted">{text}</span>
          {action && (
            <Button
              look="quiet"
              className="text-accent"
              onClick={() => {
                dismiss(id);
                action.run();
              }}
            >
              {action.label}
            </Button>
          )}
          <IconButton label={t("common.close")} onClick={() => dismiss(id)}>
            <X size={16} aria-hidden />
          </IconButton>
        </div>
      ))}
    </div>
  );
}
