/** What the world's resolvers say of the mail domains: seven checks each, findings in plain words, fixes as plans. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { ConnectionNotice } from "@/components/cloudflare-notice";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { visible } from "@/lib/hostile-text";

import { checkCommand } from "../command-lines";
import { useDnsNews } from "../news";
import { DnsTabs } from "../tabs";
import { DomainPanel } from "./domain-panel";
import { postureQuery, type DomainPosture } from "./requests";
import { Verdict } from "./verdict";

const page = getRouteApi("/dns/mail");

export function MailPosturePage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(postureQuery);
  const { zone } = page.useSearch();
  useDnsNews();
  return (
    <Page title={t("dns.tabs.mail")} lead={t("posture.lead")}>
      <DnsTabs now="mail" />
      <QueryView query={query}>
        {({ connection, resolvers, domains }) => {
          const chosen = domains.find(({ domain }) => domain === zone) ?? (domains.length === 1 ? domains[0] : undefined);
          return (
            <div className="flex flex-col gap-4">
              {connection.state !== "not-configured" && <ConnectionNotice connection={connection} />}
              <p className="text-sm text-muted">{t("posture.resolvers", { names: resolvers.map((name) => visible(name)).join(", ") })}</p>
              <Panel title={t("domain.title")}>
                {domains.length === 0 ? (
                  <Empty
                    title={t("posture.empty")}
                    action={
                      <Link to="/domains" search={{ ask: "add" }} className={buttonLook()}>
                        {t("posture.addDomain")}
                      </Link>
                    }
                  >
                    {t("posture.emptyWhy")}
                  </Empty>
                ) : (
                  <Domains domains={domains} />
                )}
              </Panel>
              {chosen && <DomainPanel key={chosen.domain} posture={chosen} />}
            </div>
          );
        }}
      </QueryView>
      <CommandLine command={checkCommand(zone ?? null)} />
    </Page>
  );
}

function Domains({ domains }: { domains: readonly DomainPosture[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<DomainPosture>[] = [
    {
      key: "domain",
      head: t("posture.domain"),
      cell: ({ domain, unicode_domain }) => (
        <>
          <Link to="/dns/mail" search={{ zone: domain }} className="font-medium hover:underline">
            <Quoted>{unicode_domain}</Quoted>
          </Link>
          {unicode_domain !== domain && (
            <span className="block text-xs text-muted">
              <Quoted mono>{domain}</Quoted>
            </span>
          )}
        </>
      ),
    },
    { key: "verdict", head: t("posture.verdict"), cell: ({ verdict, checked_at, is_stale }) => <Verdict verdict={checked_at === null || is_stale ? "unknown" : verdict} /> },
    { key: "checked", head: t("posture.checkedAt"), cell: ({ checked_at }) => (checked_at ? <Time value={checked_at} /> : <span className="text-unknown">{t("posture.never")}</span>) },
    {
      key: "checks",
      head: t("posture.toLookAt"),
      spare: "lg",
      cell: ({ checks }) =>
        checks
          .filter(({ verdict }) => verdict !== "ok")
          .map(({ check }) => t(`posture.checkName.${check}`))
          .join(", "),
    },
  ];
  return (
    <>
      <Table caption={t("domain.title")} columns={columns} rows={domains} rowKey={({ domain }) => domain} />
      {domains.some(({ is_stale }) => is_stale) && (
        <p className="border-t border-line p-3 text-sm">
          <Status tone="unknown" wraps>
            {t("posture.stale")}
          </Status>
        </p>
      )}
    </>
  );
}
