/** Who each site sends mail as, configured for all or some at once by a plan. */

import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { SelectField } from "@/components/field";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty, InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table } from "@/components/table";
import { useAct } from "@/lib/act";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";

import { useSiteNews } from "./news";
import { mailQuery, planMail, testMail, type SiteMailView } from "./requests";
import { WordPressTabs } from "./tabs";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

export function SiteMailPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(mailQuery);
  useSiteNews();
  return (
    <Page title={t("wordpress.mail.title")} lead={t("wordpress.mail.lead")}>
      <WordPressTabs now="mail" />
      <QueryView query={query}>
        {({ sites, domains, not_ready }) => (
          <div className="flex flex-col gap-4">
            {not_ready.length > 0 && (
              <Panel title={t("wordpress.mail.notReady")}>
                <ul lang="en" className="list-disc p-3 pl-7 text-sm">
                  {not_ready.map((line) => (
                    <li key={line}>
                      <Quoted>{line}</Quoted>
                    </li>
                  ))}
                </ul>
              </Panel>
            )}
            <Panel title={t("wordpress.sites")}>{sites.length === 0 ? <Empty title={t("wordpress.empty")} /> : <MailOfSites sites={sites} domains={domains} isReady={not_ready.length === 0} />}</Panel>
          </div>
        )}
      </QueryView>
      <CommandLine command="homeport wordpress mail list" />
    </Page>
  );
}

function MailOfSites({ sites, domains, isReady }: { sites: readonly SiteMailView[]; domains: readonly string[]; isReady: boolean }): ReactNode {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const mayConfigure = usePermission("wordpress:configure");
  const mayTest = usePermission("wordpress:mail-test");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(() => new Set(sites.filter(({ sender }) => sender === null).map(({ site }) => site)));
  const [domain, setDomain] = useState(domains[0] ?? "");
  const [asked, setAsked] = useState<"configure" | "remove" | null>(null);
  const test = useAct(testMail, { refreshes: [OPERATIONS], onDone: ({ id }) => void navigate({ to: "/operations/$id", params: { id } }) });
  const names = sites.filter(({ site }) => chosen.has(site)).map(({ site }) => site);
  const toggle = (site: string, isOn: boolean): void => {
    const next = new Set(chosen);
    if (isOn) next.add(site);
    else next.delete(site);
    setChosen(next);
  };
  return (
    <>
      <Table
        caption={t("wordpress.mail.title")}
        rows={sites}
        rowKey={({ site }) => site}
        columns={[
          {
            key: "site",
            head: t("wordpress.column.site"),
            cell: ({ site }) => (
              <label className="flex min-w-28 items-center gap-2 font-medium">
                <input type="checkbox" className="size-4 accent-accent" checked={chosen.has(site)} onChange={(event) => toggle(site, event.target.checked)} />
                <Quoted>{site}</Quoted>
              </label>
            ),
          },
          { key: "sender", head: t("wordpress.mail.sender"), cell: ({ sender, sender_name }) => (sender === null ? <Status tone="idle">{t("wordpress.mail.none")}</Status> : <Quoted mono>{sender_name ? `${sender_name} <${sender}>` : sender}</Quoted>) },
          { key: "source", head: t("wordpress.mail.account"), spare: "md", cell: ({ source }) => (source === null ? "–" : t(`wordpress.mail.source.${source}`)) },
          {
            key: "acts",
            head: "",
            align: "right",
            cell: ({ site, sender }) => (
              <Button
                disabled={!mayTest.isPermitted || sender === null}
                busy={test.isPending && test.variables === site}
                aria-label={t("wordpress.actOn", { act: t("wordpress.mail.test"), name: visible(site) })}
                onClick={() => test.mutate(site)}
              >
                {t("wordpress.mail.test")}
              </Button>
            ),
          },
        ]}
      />
      <div className="flex flex-col gap-3 border-t border-line p-3">
        {test.error && <InlineError error={test.error} />}
        {domains.length > 0 && (
          <div className="max-w-72">
            <SelectField label={t("wordpress.mail.domain")} hint={t("wordpress.mail.domainHint")} value={domain} onChange={(event) => setDomain(event.target.value)}>
              {domains.map((each) => (
                <option key={each} value={each}>
                  {visible(each)}
                </option>
              ))}
            </SelectField>
          </div>
        )}
        <div className="flex flex-wrap items-center gap-2">
          <Button look="primary" disabled={!isReady || !mayConfigure.isPermitted || names.length === 0} onClick={() => setAsked("configure")}>
            {t("wordpress.mail.configure")}
          </Button>
          <Button disabled={!isReady || !mayConfigure.isPermitted || names.length === 0} onClick={() => setAsked("remove")}>
            {t("wordpress.mail.remove")}
          </Button>
          {!mayConfigure.isPermitted && mayConfigure.role && <span className="text-xs text-muted">{t("common.needsRole", { role: t(`role.${mayConfigure.role}`) })}</span>}
        </div>
      </div>
      {asked && (
        <Suspense>
          <PlanDialog
            title={t(`wordpress.mail.${asked}`)}
            verb={t(`wordpress.mail.${asked}`)}
            isDangerous={asked === "remove"}
            make={() => planMail({ act: asked, sites: names, domain: asked === "configure" && domain ? domain : null })}
            onClose={() => setAsked(null)}
          />
        </Suspense>
      )}
    </>
  );
}
