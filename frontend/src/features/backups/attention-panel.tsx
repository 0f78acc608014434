import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { useNow } from "@/lib/clock";

import { attention, flatOf, type Attention } from "./judge";
import type { Known } from "./requests";

/** What somebody should look at, the gravest first, each with the place to look. */
export function AttentionPanel({ overview }: { overview: Known }): ReactNode {
  const { t } = useTranslation();
  const found = attention(overview, useNow());
  if (found.length === 0) return null;
  return (
    <Panel title={t("backups.attention.title")}>
      <AttentionList found={found} />
    </Panel>
  );
}

export function AttentionList({ found }: { found: readonly Attention[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <ul className="divide-y divide-line text-sm">
      {found.map((each) => (
        <li key={each.matter} className="flex items-baseline justify-between gap-x-4 px-3 py-1.5">
          <span className="min-w-0">
            <Status tone={each.tone} wraps>
              {t(`backups.matter.${each.matter}`, { count: each.count })}
            </Status>
            {each.detail && (
              <span lang="en" className="block pl-5 text-xs text-muted">
                <Quoted>{each.detail}</Quoted>
              </span>
            )}
          </span>
          <Where of={each} />
        </li>
      ))}
    </ul>
  );
}

function Where({ of: { matter, point } }: { of: Attention }): ReactNode {
  const { t } = useTranslation();
  const look = "shrink-0 underline";
  const words = t("backups.attention.look");
  if (point) {
    return (
      <Link to="/backups/points/$flat" params={{ flat: flatOf(point) }} className={look}>
        {words}
      </Link>
    );
  }
  if (matter === "missing" || matter === "same-device" || matter === "drill-failed") {
    return (
      <Link to="/backups" search={{ tab: "coverage" }} className={look}>
        {words}
      </Link>
    );
  }
  if (matter === "drill-due" || matter === "local-old" || matter === "vault-old") {
    return (
      <Link to="/backups" search={{ tab: "history" }} className={look}>
        {words}
      </Link>
    );
  }
  return null;
}
