import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Status, type Tone } from "./status";

import type { OperationView } from "@/lib/operations";

const TONES: Record<OperationView["state"], Tone> = {
  running: "running",
  done: "good",
  failed: "bad",
  cancelled: "idle",
  timed_out: "bad",
  interrupted: "unknown",
};
const OUTCOMES: Record<NonNullable<OperationView["outcome"]>, Tone> = { checking: "running", done: "good", not_done: "warn", unknown: "unknown" };

/** An interrupted operation says what a look at the world has found, never "running" for ever. */
export function OperationStatus({ operation: { state, outcome, cancelled_by } }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  if (state === "interrupted" && outcome) return <Status tone={OUTCOMES[outcome]}>{t(`operations.outcome.${outcome}`)}</Status>;
  if (state === "running" && cancelled_by !== null) return <Status tone="running">{t("operations.cancelling")}</Status>;
  return <Status tone={TONES[state]}>{t(`operations.state.${state}`)}</Status>;
}
