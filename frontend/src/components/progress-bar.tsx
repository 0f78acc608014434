import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { bytes } from "@/lib/format";
import type { OperationView } from "@/lib/operations";

/** The unit is the act's: backups count bytes. */
const amount = (act: string, value: number): string => (act.startsWith("backups:") ? bytes(value) : String(value));

/** How far a running operation has come; nothing while it has not said. */
export function ProgressBar({ operation: { act, progress } }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  const { done, of } = progress;
  if (done === null || of === null || of <= 0) return null;
  return (
    <span className="flex items-center gap-2">
      <progress value={Math.min(done, of)} max={of} aria-label={t("operations.progress")} className="h-1.5 w-32 accent-accent" />
      <span className="text-xs text-muted">
        {amount(act, done)} / {amount(act, of)}
      </span>
    </span>
  );
}
