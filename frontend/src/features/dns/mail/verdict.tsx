import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Status, type Tone } from "@/components/status";

import type { CheckView } from "./requests";

const TONES: Readonly<Record<CheckView["verdict"], Tone>> = { ok: "good", warning: "warn", error: "bad", unknown: "unknown" };

/** The end of a check, or of all of a domain's. */
export function Verdict({ verdict }: { verdict: CheckView["verdict"] }): ReactNode {
  const { t } = useTranslation();
  return <Status tone={TONES[verdict]}>{t(`posture.verdictName.${verdict}`)}</Status>;
}
