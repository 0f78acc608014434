/**
 * How Cloudflare was found, where it was not simply there: no token yet (what to set, and which permissions it needs),
 * refused, a limited rate, silence. What is shown meanwhile is what was last known, with its age.
 */

import { Link } from "@tanstack/react-router";
import { PlugZap } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Connection } from "@/api/types.gen";

import { Quoted } from "./quoted";
import { Time } from "./time";

/** Of portal/integrations/cloudflare.py, as one ticks them when making a token; what they are for has to be given only where it is wanted. */
const PERMISSIONS = {
  records: ["Zone Read", "DNS Edit"],
  tunnel: ["Cloudflare Tunnel Edit", "Zone WAF Edit"],
  mail: ["Email Routing Rules Edit", "Zone Settings Edit", "Workers Scripts Edit", "Workers KV Storage Edit", "Workers R2 Storage Edit"],
} as const;

export function ConnectionNotice({ connection, readAt = null }: { connection: Connection; readAt?: string | null }): ReactNode {
  const { t } = useTranslation();
  const { state, detail, permission, settings, retry_at, since } = connection;
  if (state === "connected") return null;
  const isNormal = state === "not-configured";
  return (
    <div role={isNormal ? undefined : "alert"} className={`flex flex-col items-start gap-2 rounded-lg border border-line bg-panel p-4 text-sm ${isNormal ? "" : "border-l-4 border-l-warn"}`}>
      <p className="flex items-center gap-2 font-medium">
        <PlugZap size={16} aria-hidden className={isNormal ? "text-muted" : "text-warn"} />
        {state === "refused" && permission ? t("dns.connection.permission", { permission: permission.replace(/ Write$/, " Edit") }) : t(`dns.connection.${state}`)}
      </p>
      <div className="flex max-w-prose flex-col gap-1.5 text-muted">
        <p>{t(`dns.connectionNext.${state}`)}</p>
        {isNormal && (
          <>
            {settings.length > 0 && (
              <ul className="list-disc pl-5">
                {settings.map((name) => (
                  <li key={name}>
                    <code className="font-mono text-[0.92em] text-ink">{name}</code>
                  </li>
                ))}
              </ul>
            )}
            <p>{t("dns.connection.permissions")}</p>
            <ul className="list-disc pl-5">
              {(["records", "tunnel", "mail"] as const).map((what) => (
                <li key={what}>
                  {t(`dns.connection.for.${what}`)}{" "}
                  {PERMISSIONS[what].map((name, index) => (
                    <span key={name}>
                      {index > 0 && t("common.listSeparator")}
                      <code className="font-mono text-[0.92em] text-ink">{name}</code>
                    </span>
                  ))}
                </li>
              ))}
            </ul>
          </>
        )}
        {state === "limited" && retry_at && (
          <p>
            {t("dns.connection.retryAt")} <Time value={retry_at} />
          </p>
        )}
        {state === "silent" && since && (
          <p>
            {t("dns.connection.since")} <Time value={since} />
          </p>
        )}
        {!isNormal && readAt && (
          <p>
            {t("dns.connection.lastKnown")} <Time value={readAt} />
          </p>
        )}
      </div>
      {!isNormal && detail && (
        <blockquote lang="en" className="border-l-2 border-edge pl-2 text-xs text-muted">
          <Quoted>{detail}</Quoted>
        </blockquote>
      )}
      {isNormal && (
        <Link to="/settings" className="underline">
          {t("pages.settings")}
        </Link>
      )}
    </div>
  );
}
