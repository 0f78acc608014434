/** A status: icon, word and colour, never colour alone. */

import { Ban, CircleAlert, CircleCheck, CircleDashed, CircleDot, CircleHelp, CircleSlash, TriangleAlert, type LucideIcon } from "lucide-react";
import type { ReactNode } from "react";

export type Tone = "good" | "warn" | "bad" | "idle" | "unknown" | "running" | "denied";

const TONES: Record<Tone, readonly [LucideIcon, string]> = {
  good: [CircleCheck, "text-good"],
  warn: [TriangleAlert, "text-warn"],
  bad: [CircleAlert, "text-bad"],
  idle: [CircleSlash, "text-muted"],
  unknown: [CircleHelp, "text-unknown"],
  running: [CircleDot, "text-accent"],
  denied: [Ban, "text-bad"],
};

/** `wraps`: a sentence, which may take several lines. */
export function Status({ tone, children, wraps = false }: { tone: Tone; children: ReactNode; wraps?: boolean }): ReactNode {
  const [Icon, colour] = TONES[tone] ?? [CircleDashed, "text-muted"];
  return (
    <span className={`inline-flex gap-1 align-middle ${wraps ? "items-baseline" : "items-center whitespace-nowrap"} ${colour}`}>
      <Icon size={14} aria-hidden className={`shrink-0 ${wraps ? "translate-y-0.5" : ""}`} />
      <span>{children}</span>
    </span>
  );
}
