/** One operation: a place of its own, which can be left and come back to. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Time } from "@/components/time";
import { usePermission } from "@/features/session/policy";
import { useAct } from "@/lib/act";
import { useNow } from "@/lib/clock";
import { saveText } from "@/lib/download";
import { absoluteTime, duration } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { Problem } from "@/lib/problem";

import { useActName } from "./act-name";
import { OperationStatus } from "./operation-status";
import { ProgressBar } from "./progress-bar";
import { cancelOperation, operationQuery, OPERATIONS, type OperationView } from "./requests";

const route = getRouteApi("/operations/$id");

export function OperationPage(): ReactNode {
  const { t } = useTranslation();
  const actName = useActName();
  const { id } = route.useParams();
  const query = useQuery(operationQuery(id));
  const title = query.data ? t("operations.title", { act: actName(query.data.act), target: visible(query.data.target) }) : t("pages.operations");
  return (
    <Page
      title={title}
      aside={query.data && <Acts operation={query.data} />}
      lead={
        <Link to="/operations" className="hover:underline">
          ← {t("pages.operations")}
        </Link>
      }
    >
      <QueryView query={query}>{(operation) => <Details operation={operation} />}</QueryView>
      <CommandLine command={`homeport operations show ${id}`} />
    </Page>
  );
}

function Details({ operation }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  const now = useNow();
  const actName = useActName();
  const ranMs = (operation.ended_at ? Date.parse(operation.ended_at) : now) - Date.parse(operation.started_at);
  return (
    <div className="grid items-start gap-4 lg:grid-cols-[minmax(20rem,1fr)_2fr]">
      <Panel title={t("operations.what")}>
        <Facts>
          <Fact name={t("operations.stateLabel")}>
            <span aria-live="polite">
              <OperationStatus operation={operation} />
            </span>
            {operation.outcome_detail && (
              <p className="text-xs text-muted">
                <Quoted>{operation.outcome_detail}</Quoted>
              </p>
            )}
          </Fact>
          {operation.state === "running" && (
            <Fact name={t("operations.progress")}>
              <ProgressBar operation={operation} />
              <p className="text-xs text-muted">{t("operations.mayLeave")}</p>
            </Fact>
          )}
          <Fact name={t("operations.actor")}>
            <Quoted>{operation.actor.name}</Quoted>
          </Fact>
          <Fact name={t("operations.started")}>
            <Time value={operation.started_at} absolute />
          </Fact>
          <Fact name={t("operations.took")}>
            {duration(ranMs / 1000)}
            {operation.typical_s !== null && <span className="text-muted"> · {t("operations.typical", { time: duration(operation.typical_s) })}</span>}
          </Fact>
          {operation.cancelled_by !== null && (
            <Fact name={t("operations.cancelledBy")}>
              <Quoted>{operation.cancelled_by}</Quoted>
            </Fact>
          )}
          {Object.entries(operation.detail ?? {}).map(([name, value]) => (
            <Fact key={name} name={name}>
              <Quoted>{typeof value === "string" ? value : JSON.stringify(value)}</Quoted>
            </Fact>
          ))}
          {operation.inverse && (
            <Fact name={t("operations.undo")}>
              {actName(operation.inverse.act)} · <Quoted>{operation.inverse.target}</Quoted>
            </Fact>
          )}
        </Facts>
        {operation.error && (
          <div className="px-3 pb-3">
            <InlineError error={new Problem(409, operation.error)} />
            {operation.error.detail && (
              <p className="pt-1 text-xs text-muted">
                <Quoted>{operation.error.detail}</Quoted>
              </p>
            )}
          </div>
        )}
      </Panel>
      <Panel
        title={t("operations.log")}
        aside={
          operation.lines.length > 0 && (
            <Button onClick={() => saveText(`${operation.id}.log`, operation.lines.map(({ at, text }) => `${new Date(at * 1000).toISOString()} ${text}\n`).join(""))}>
              <Download size={14} aria-hidden />
              {t("common.download")}
            </Button>
          )
        }
      >
        {operation.lines.length === 0 ? (
          <p className="p-3 text-sm text-muted">{t("operations.noLines")}</p>
        ) : (
          <ol role="log" aria-live="off" aria-label={t("operations.log")} tabIndex={0} className="max-h-[60dvh] overflow-auto p-3 font-mono text-xs">
            {operation.lines.map(({ number, at, text }) => (
              <li key={number} className="flex gap-3">
                <time className="shrink-0 text-muted">{absoluteTime(at * 1000, { zone: false }).slice(11)}</time>
                <Quoted>{text}</Quoted>
              </li>
            ))}
          </ol>
        )}
      </Panel>
    </div>
  );
}

function Acts({ operation }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  const permission = usePermission("operations:cancel");
  const [asked, setAsked] = useState(false);
  const cancel = useAct(() => cancelOperation(operation.id), { refreshes: [OPERATIONS], onDone: () => setAsked(false) });
  if (operation.state !== "running" || operation.cancelled_by !== null) return null;
  return (
    <>
      <Button
        disabled={!permission.isPermitted}
        title={permission.isPermitted || !permission.role ? undefined : t("common.needsRole", { role: t(`role.${permission.role}`) })}
        onClick={() => setAsked(true)}
      >
        {t("operations.cancel")}
      </Button>
      {asked && (
        <Confirm title={t("operations.cancel")} verb={t("operations.cancel")} act={cancel} onConfirm={() => cancel.mutate()} onClose={() => setAsked(false)}>
          <p>{t("operations.cancelLeaves")}</p>
        </Confirm>
      )}
    </>
  );
}
