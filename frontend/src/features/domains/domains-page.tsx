/** The domains that Homeport receives mail for; one is added, or removed, by one plan over everything that it needs. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";

import { DOMAINS, domainsQuery, sendCanary, type MailDomainView } from "./requests";

const DomainDialog = lazy(async () => ({ default: (await import("./domain-dialog")).DomainDialog }));

const page = getRouteApi("/domains");

export function DomainsPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(domainsQuery);
  const { ask, domain } = page.useSearch();
  const navigate = page.useNavigate();
  const { isPermitted, role } = usePermission("mail-domains:plan");
  const title = isPermitted || !role ? undefined : t("common.needsRole", { role: t(`role.${role}`) });
  const add = (
    <Button look="primary" disabled={!isPermitted} title={title} onClick={() => void navigate({ search: { ask: "add" } })}>
      <Plus size={15} aria-hidden />
      {t("domain.add")}
    </Button>
  );
  return (
    <Page title={t("domain.title")} lead={t("domain.lead")} aside={query.data && query.data.domains.length > 0 && add}>
      <QueryView query={query}>
        {({ domains, not_ready }) => (
          <div className="flex flex-col gap-4">
            {not_ready.length > 0 && (
              <Panel title={t("domain.notReady")}>
                <ul lang="en" className="list-disc p-3 pl-7 text-sm">
                  {not_ready.map((line) => (
                    <li key={line}>
                      <Quoted>{line}</Quoted>
                    </li>
                  ))}
                </ul>
              </Panel>
            )}
            <Panel title={t("domain.title")}>
              {domains.length === 0 ? (
                <Empty title={t("domain.empty")} action={add}>
                  {t("domain.emptyWhy")}
                </Empty>
              ) : (
                <Domains domains={domains} mayRemove={isPermitted} why={title} />
              )}
            </Panel>
          </div>
        )}
      </QueryView>
      <CommandLine command="homeport domain list" />
      {ask && isPermitted && (
        <Suspense>
          <DomainDialog act={ask} domain={domain ?? ""} onClose={() => void navigate({ search: {}, replace: true })} />
        </Suspense>
      )}
    </Page>
  );
}

function Domains({ domains, mayRemove, why }: { domains: readonly MailDomainView[]; mayRemove: boolean; why: string | undefined }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const maySend = usePermission("mail-domains:canary");
  const canary = useAct(sendCanary, { refreshes: [OPERATIONS, DOMAINS], onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }) });
  const columns: readonly Column<MailDomainView>[] = [
    {
      key: "name",
      head: t("domain.name"),
      cell: ({ domain, unicode_domain }) => (
        <>
          <span className="block min-w-32 font-medium">
            <Quoted>{unicode_domain}</Quoted>
          </span>
          {unicode_domain !== domain && (
            <span className="block text-xs text-muted">
              <Quoted mono>{domain}</Quoted>
            </span>
          )}
          <Link to="/dns/mail" search={{ zone: domain }} className="block text-xs text-muted underline">
            {t("domain.posture")}
          </Link>
        </>
      ),
    },
    {
      key: "state",
      head: t("domain.state"),
      cell: ({ is_finished, detail }) => (
        <>
          <Status tone={is_finished ? "good" : "unknown"}>{t(is_finished ? "domain.finished" : "domain.waiting")}</Status>
          {detail && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{detail}</Quoted>
            </span>
          )}
        </>
      ),
    },
    {
      key: "canary",
      head: t("domain.canaryAt"),
      spare: "md",
      cell: ({ canary_at, canary_seconds }) =>
        canary_at === null ? (
          <span className="text-unknown">{t("domain.neverCame")}</span>
        ) : (
          <>
            <Time value={canary_at} />
            {canary_seconds !== null && <span className="block text-xs text-muted">{t("domain.latency", { seconds: canary_seconds.toFixed(1) })}</span>}
          </>
        ),
    },
    { key: "managed", head: t("domain.managed"), spare: "lg", cell: ({ managed_by }) => t(`domain.managedBy.${managed_by}`) },
    {
      key: "acts",
      head: "",
      align: "right",
      cell: ({ domain, managed_by }) =>
        managed_by === "homeport" && (
          <span className="inline-flex flex-wrap justify-end gap-1.5">
            <Button disabled={!maySend.isPermitted} title={maySend.isPermitted || !maySend.role ? undefined : t("common.needsRole", { role: t(`role.${maySend.role}`) })} busy={canary.isPending && canary.variables === domain} onClick={() => canary.mutate(domain)}>
              {t("domain.sendCanary")}
            </Button>
            <Button disabled={!mayRemove} title={why} onClick={() => void navigate({ to: "/domains", search: { ask: "remove", domain } })}>
              {t("domain.remove")}
            </Button>
          </span>
        ),
    },
  ];
  return (
    <>
      {canary.error && (
        <div className="p-3">
          <InlineError error={canary.error} />
        </div>
      )}
      <Table caption={t("domain.title")} columns={columns} rows={domains} rowKey={({ domain }) => domain} />
    </>
  );
}
