/** What a server is doing now, the longest first; a statement or the connection it came by can be ended. */

import { useQuery } from "@tanstack/react-query";
import { OctagonX } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { IconButton } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { CommandLine } from "@/components/copy";
import { SelectField } from "@/components/field";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { MeasuredAt } from "@/components/time";
import { toast } from "@/components/toast";
import { useAct } from "@/lib/act";
import { duration } from "@/lib/format";
import { usePermission } from "@/lib/permission";

import { DATABASES, killProcess, processesQuery, type ProcessView } from "./requests";
import { Sql } from "./sql";

export default function ProcessesPanel({ server }: { server: string }): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(processesQuery(server));
  const [asked, setAsked] = useState<ProcessView | null>(null);
  return (
    <Panel title={t("databases.tabs.processes")} aside={query.data && <MeasuredAt value={query.data.measured_at} />}>
      <QueryView query={query}>
        {({ processes, hidden }) => (
          <>
            {processes.length === 0 ? <Empty title={t("databases.processes.empty")}>{t("databases.processes.emptyWhy")}</Empty> : <Processes server={server} processes={processes} onKill={setAsked} />}
            {hidden > 0 && <p className="border-t border-line px-3 py-1.5 text-xs text-muted">{t("databases.processes.hidden", { count: hidden })}</p>}
          </>
        )}
      </QueryView>
      {asked && <KillDialog server={server} process={asked} onClose={() => setAsked(null)} />}
    </Panel>
  );
}

function Processes({ server, processes, onKill }: { server: string; processes: readonly ProcessView[]; onKill: (process: ProcessView) => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("databases:kill");
  const columns: readonly Column<ProcessView>[] = [
    { key: "id", head: "ID", align: "right", cell: ({ id }) => id },
    {
      key: "user",
      head: t("databases.column.account"),
      cell: ({ user, host }) => (
        <>
          <Quoted>{user}</Quoted>
          <span className="block text-xs text-muted">
            <Quoted>{host}</Quoted>
          </span>
        </>
      ),
    },
    { key: "database", head: t("databases.column.database"), spare: "md", cell: ({ database }) => (database === null ? "–" : <Quoted>{database}</Quoted>) },
    { key: "seconds", head: t("databases.column.took"), align: "right", cell: ({ seconds }) => <span className="whitespace-nowrap">{duration(seconds)}</span> },
    {
      key: "statement",
      head: t("databases.column.statement"),
      cell: ({ command, state, statement }) => (
        <>
          {statement !== null && <Sql text={statement} />}
          <span className="block text-xs text-muted">
            <Quoted>{[command, state].filter(Boolean).join(" · ")}</Quoted>
          </span>
        </>
      ),
    },
    {
      key: "acts",
      head: t("databases.column.acts"),
      align: "right",
      cell: (process) => {
        const why = !process.can_kill ? t("databases.processes.protected") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : null;
        const label = t("databases.processes.kill", { id: process.id });
        return (
          <IconButton label={why === null ? label : `${label}: ${why}`} disabled={why !== null} onClick={() => onKill(process)}>
            <OctagonX size={15} aria-hidden />
          </IconButton>
        );
      },
    },
  ];
  return <Table caption={t("databases.processes.of", { server })} columns={columns} rows={processes} rowKey={({ id }) => id} />;
}

function KillDialog({ server, process: { id, user, statement }, onClose }: { server: string; process: ProcessView; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const [what, setWhat] = useState<"statement" | "connection">(statement === null ? "connection" : "statement");
  const kill = useAct(() => killProcess(server, id, what), {
    refreshes: [[...DATABASES, "processes", server]],
    onDone: () => {
      toast(t("databases.processes.killed", { id }));
      onClose();
    },
  });
  return (
    <Confirm title={t("databases.processes.kill", { id })} verb={t("databases.processes.verb")} act={kill} onConfirm={() => kill.mutate()} onClose={onClose}>
      <p>
        <Quoted>{user}</Quoted>
      </p>
      {statement !== null && <Sql text={statement} />}
      <SelectField label={t("databases.processes.what")} hint={t(`databases.processes.hint.${what}`)} value={what} onChange={(event) => setWhat(event.target.value === "connection" ? "connection" : "statement")}>
        <option value="statement">{t("databases.processes.statement")}</option>
        <option value="connection">{t("databases.processes.connection")}</option>
      </SelectField>
      <CommandLine command={`homeport db kill ${server} ${id}${what === "connection" ? " --connection" : ""}`} />
    </Confirm>
  );
}
