import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { visible } from "@/lib/hostile-text";
import type { Plan } from "@/lib/plans";

import { Status } from "./status";

/** What is to be known before a plan is applied: the code's own sentence, else the one the API sent. */
export default function PlanWarnings({ warnings }: { warnings: NonNullable<Plan["warnings"]> }): ReactNode {
  const { t, i18n } = useTranslation();
  return (
    <ul className="flex flex-col gap-0.5">
      {warnings.map(({ code, name, text }) => {
        const key = `tunnel.warning.${code}`;
        return (
          <li key={`${code} ${name}`}>
            <Status tone="warn" wraps>
              <span className="quoted">{i18n.exists(key) ? t(key as "tunnel.warning.target-unknown", { name: visible(name) }) : visible(text)}</span>
            </Status>
          </li>
        );
      })}
    </ul>
  );
}
