import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Status, type Tone } from "@/components/status";

import type { UpdateReport, UpdateSiteReport } from "../requests";

const TONES: Readonly<Record<UpdateReport["state"], Tone>> = { at_work: "running", soaking: "running", done: "good", stopped: "bad" };
const SITE_TONES: Readonly<Record<UpdateSiteReport["state"], Tone>> = { waiting: "idle", at_work: "running", updated: "good", rolled_back: "warn", not_begun: "idle", failed: "bad", unknown: "unknown" };

export function UpdateStatus({ state }: { state: UpdateReport["state"] }): ReactNode {
  const { t } = useTranslation();
  return <Status tone={TONES[state]}>{t(`wordpress.update.state.${state}`)}</Status>;
}

export function SiteUpdateStatus({ site: { state, step } }: { site: UpdateSiteReport }): ReactNode {
  const { t } = useTranslation();
  return (
    <Status tone={SITE_TONES[state]}>
      {t(`wordpress.update.site.${state}`)}
      {state === "at_work" && step !== "" && ` · ${t(`wordpress.step.${step}`)}`}
    </Status>
  );
}
