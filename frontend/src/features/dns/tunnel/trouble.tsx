import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import type mail from "@/locales/mail/en.json";

type Known = keyof typeof mail.tunnel.troubleName;

/** What is wrong with a route or an orphan; a word that is not known yet is shown as it came. `isWhole`: all could be asked. */
export function TroubleOf({ trouble, isWhole = true }: { trouble: readonly string[]; isWhole?: boolean }): ReactNode {
  const { t, i18n } = useTranslation();
  if (trouble.length === 0) return isWhole ? <Status tone="good">{t("tunnel.none")}</Status> : <Status tone="unknown">{t("common.unknown")}</Status>;
  return (
    <ul className="flex flex-col gap-0.5">
      {trouble.map((each) => (
        <li key={each}>
          <Status tone="warn" wraps>
            {i18n.exists(`tunnel.troubleName.${each}`) ? t(`tunnel.troubleName.${each as Known}`) : <Quoted>{each}</Quoted>}
          </Status>
        </li>
      ))}
    </ul>
  );
}
