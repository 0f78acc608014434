/** No server configured, a file with mistakes, a server that is silent: what to do, and how old what is shown is. */

import { Link } from "@tanstack/react-router";
import { PlugZap } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { Time } from "@/components/time";

import type { ServerList, ServerView } from "./requests";

export function RoomNotice({ list: { is_configured, mistakes } }: { list: ServerList }): ReactNode {
  const { t } = useTranslation();
  if (mistakes.length > 0) {
    return (
      <div role="alert" className="flex flex-col gap-2 rounded-lg border border-l-4 border-line border-l-warn bg-panel p-4 text-sm">
        <p className="font-medium">{t("databases.notice.mistakes")}</p>
        <p className="text-muted">{t("databases.notice.mistakesNext")}</p>
        <ul lang="en" className="list-disc pl-5 font-mono text-xs">
          {mistakes.map((each) => (
            <li key={each}>
              <Quoted>{each}</Quoted>
            </li>
          ))}
        </ul>
      </div>
    );
  }
  if (is_configured) return null;
  return (
    <div className="flex flex-col items-start gap-2 rounded-lg border border-line bg-panel p-4 text-sm">
      <p className="flex items-center gap-2 font-medium">
        <PlugZap size={16} aria-hidden className="text-muted" />
        {t("databases.notice.none")}
      </p>
      <p className="max-w-prose text-muted">{t("databases.notice.noneNext")}</p>
      <Link to="/settings" className="underline">
        {t("pages.settings")}
      </Link>
    </div>
  );
}

/** Nothing for a server that answers. */
export function SilentNotice({ server: { state, layer, detail, seen_at } }: { server: ServerView }): ReactNode {
  const { t } = useTranslation();
  if (state === "connected") return null;
  return (
    <div role="alert" className="flex flex-col items-start gap-1.5 border-l-4 border-warn bg-sunken px-3 py-2 text-sm">
      <p className="font-medium">{t(layer === null ? "databases.notice.silent" : `databases.layer.${layer}`)}</p>
      <p className="text-muted">
        {seen_at === null ? (
          t("databases.notice.unseen")
        ) : (
          <>
            {t("databases.notice.lastKnown")} <Time value={seen_at} />
          </>
        )}
      </p>
      {detail && (
        <blockquote lang="en" className="border-l-2 border-edge pl-2 text-xs text-muted">
          <Quoted>{detail}</Quoted>
        </blockquote>
      )}
    </div>
  );
}

export function ServerStatus({ server: { state } }: { server: ServerView }): ReactNode {
  const { t } = useTranslation();
  return <Status tone={state === "connected" ? "good" : "unknown"}>{t(`databases.state.${state}`)}</Status>;
}
