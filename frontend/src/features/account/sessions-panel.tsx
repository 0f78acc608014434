import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { InlineError } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { useAct } from "@/lib/act";

import { accountQuery, endOtherSessions, endSession, type OpenSessionView } from "./requests";



export function SessionsPanel({ sessions }: { sessions: readonly OpenSessionView[] }): ReactNode {
  const { t, i18n } = useTranslation();
  const refreshes = [accountQuery.queryKey];
  const end = useAct(endSession, { refreshes });
  const endOthers = useAct(endOtherSessions, { refreshes });
  const factor = (name: string): string => (i18n.exists(`factor.${name}`) ? t(`factor.${name as "totp"}`) : name);
  const columns: readonly Column<OpenSessionView>[] = [
    { key: "agent", head: t("account.sessions.device"), cell: ({ agent }) => <span title={agent}><Quoted>{browserOf(agent)}</Quoted></span> },
    { key: "source", head: t("account.sessions.source"), cell: ({ source }) => <Quoted mono>{source}</Quoted> },
    { key: "factor", head: t("account.sessions.factor"), cell: (row) => factor(row.factor), spare: "md" },
    { key: "created", head: t("account.sessions.begun"), cell: ({ created_at }) => <Time value={created_at} absolute />, spare: "lg" },
    { key: "seen", head: t("account.sessions.seen"), cell: ({ seen_at }) => <Time value={seen_at} /> },
    {
      key: "act",
      head: "",
      align: "right",
      cell: (row) =>
        row.is_current ? (
          <Status tone="running">{t("account.sessions.current")}</Status>
        ) : (
          <Button busy={end.isPending && end.variables === row.id} onClick={() => end.mutate(row.id)}>
            {t("account.sessions.end")}
          </Button>
        ),
    },
  ];
  return (
    <Panel
      title={t("account.sessions.title")}
      aside={
        sessions.length > 1 && (
          <Button busy={endOthers.isPending} onClick={() => endOthers.mutate()}>
            {t("account.sessions.endOthers")}
          </Button>
        )
      }
    >
      {(end.error ?? endOthers.error) && (
        <div className="p-3">
          <InlineError error={end.error ?? endOthers.error} />
        </div>
      )}
      <Table caption={t("account.sessions.title")} columns={columns} rows={sessions} rowKey={({ id }) => id} />
    </Panel>
  );
}

const BROWSERS = ["Firefox", "Edg", "OPR", "Chrome", "Safari"] as const; // in this order: most claim to be Safari too
const SYSTEMS = ["Android", "iPhone", "iPad", "Windows", "Mac OS X", "Linux"] as const;

/** "Firefox, Linux" where the agent says so, else what it says. */
function browserOf(agent: string): string {
  const browser = BROWSERS.find((name) => agent.includes(`${name}/`));
  const system = SYSTEMS.find((name) => agent.includes(name));
  if (!browser) return agent.slice(0, 60) || "-";
  return [{ Edg: "Edge", OPR: "Opera" }[browser as string] ?? browser, system].filter(Boolean).join(", ");
}
