/** One record: all of it, what hangs on it, who changed it last, and whether the world sees it yet. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Pencil, RefreshCw, Trash2 } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine, CopyButton } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { RecordName } from "@/components/record-change";
import { LongText, Ttl } from "@/components/record-field";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { Uses } from "@/components/uses";
import { visible } from "@/lib/hostile-text";
import { withTexts } from "@/lib/language";
import { usePermission } from "@/lib/permission";
import { isProblem } from "@/lib/problem";

import { propagationCommand, showCommand } from "./command-lines";
import { DriftList } from "./drift-list";
import { useDnsNews } from "./news";
import { DeleteDialog } from "./records-table";
import { propagationQuery, recordQuery, type Propagation, type RecordDetail, type RecordView } from "./requests";
import { typeOf } from "./draft";

const RecordDialog = lazy(() => withTexts(import("./record-dialog"), "records"));
const RecordParts = lazy(() => withTexts(import("./record-parts"), "records"));

const route = getRouteApi("/dns/$zone/record");

export function RecordPage(): ReactNode {
  const { t } = useTranslation();
  const { zone } = route.useParams();
  const { key = "", ask } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(recordQuery(zone, key));
  useDnsNews();
  const record = query.data?.record;
  const close = (): void => void navigate({ search: (now) => ({ ...now, ask: undefined }), replace: true });
  // A record's key is made of what it says: after a change it is found by its name.
  const leave = (): void => void navigate({ to: "/dns/$zone", params: { zone }, search: { find: record?.name, type: record?.type } });
  const isGone = isProblem(query.error) && query.error.status === 404;
  return (
    <Page
      key={key}
      title={record ? visible(`${record.type} ${record.unicode_name}`) : t("dns.record.title")}
      lead={
        <Link to="/dns/$zone" params={{ zone }} className="hover:underline">
          ← <Quoted>{zone}</Quoted>
        </Link>
      }
      aside={record && <Acts record={record} onAsk={(act) => void navigate({ search: (now) => ({ ...now, ask: act }), replace: true })} />}
    >
      {isGone ? (
        <Panel title={t("dns.record.gone")}>
          <Empty
            title={t("dns.record.gone")}
            action={
              <Link to="/dns/$zone" params={{ zone }} className="underline">
                {t("dns.record.toZone")}
              </Link>
            }
          >
            {t("dns.record.goneWhy")}
          </Empty>
        </Panel>
      ) : (
        <QueryView query={query}>{(detail) => <Details zone={zone} detail={detail} />}</QueryView>
      )}
      {key && <CommandLine command={showCommand(zone, key)} />}
      {record && (
        <Suspense>
          {ask === "edit" && <RecordDialog zone={zone} record={record} onApplied={leave} onClose={close} />}
          {ask === "delete" && <DeleteDialog zone={zone} record={record} onApplied={leave} onClose={close} />}
        </Suspense>
      )}
    </Page>
  );
}

function Acts({ record, onAsk }: { record: RecordView; onAsk: (act: "edit" | "delete") => void }): ReactNode {
  const { t } = useTranslation();
  const { isPermitted, role } = usePermission("dns:plan");
  const why = record.is_locked ? t("dns.lockedWhy") : !isPermitted && role ? t("common.needsRole", { role: t(`role.${role}`) }) : undefined;
  return (
    <>
      {record.is_locked && <Status tone="idle">{t("dns.locked")}</Status>}
      <Button disabled={why !== undefined} title={why} onClick={() => onAsk("edit")}>
        <Pencil size={14} aria-hidden />
        {t("common.change")}
      </Button>
      <Button disabled={why !== undefined} title={why} onClick={() => onAsk("delete")}>
        <Trash2 size={14} aria-hidden />
        {t("common.delete")}
      </Button>
    </>
  );
}

function Details({ zone, detail: { record, used_by, silent_rooms, last_change, drift } }: { zone: string; detail: RecordDetail }): ReactNode {
  const { t } = useTranslation();
  const open = drift.filter(({ state }) => state === "open");
  return (
    <div className="grid items-start gap-4 lg:grid-cols-2">
      <Panel title={t("dns.record.title")}>
        <Facts>
          <Fact name={t("dns.field.name")}>
            <RecordName type={record.type} name={record.name} unicodeName={record.unicode_name} />
          </Fact>
          {record.priority !== null && typeOf(record.type).priority && <Fact name={t("dns.field.priority")}>{record.priority}</Fact>}
          <Fact name={t("dns.field.content")}>
            <span className="flex items-start gap-1">
              <span className="min-w-0">
                <LongText text={record.content} />
              </span>
              <CopyButton text={record.content} />
            </span>
          </Fact>
          {record.data && typeOf(record.type).content === null && (
            <Suspense>
              <RecordParts data={record.data} />
            </Suspense>
          )}
          <Fact name={t("dns.field.ttl")}>
            <Ttl seconds={record.ttl} />
          </Fact>
          <Fact name={t("dns.field.proxied")}>{t(record.proxied ? "dns.proxied.yes" : "dns.proxied.no")}</Fact>
          <Fact name={t("dns.field.comment")}>{record.comment ? <Quoted>{record.comment}</Quoted> : "–"}</Fact>
          <Fact name={t("dns.field.tags")}>{record.tags.length > 0 ? <Quoted>{record.tags.join(t("common.listSeparator"))}</Quoted> : "–"}</Fact>
          {Object.keys(record.settings).length > 0 && (
            <Fact name={t("dns.field.settings")}>
              <Quoted mono>{JSON.stringify(record.settings)}</Quoted>
            </Fact>
          )}
          <Fact name={t("dns.record.madeBy")}>{t(record.is_ours ? "dns.record.ours" : record.is_locked ? "dns.locked" : "dns.record.others")}</Fact>
        </Facts>
      </Panel>
      <div className="flex min-w-0 flex-col gap-4">
        <Panel title={t("dns.record.usedBy")}>
          <div className="p-3 text-sm">
            {used_by.length === 0 && silent_rooms.length === 0 ? <p className="text-muted">{t("dns.record.unused")}</p> : <Uses uses={used_by} silentRooms={silent_rooms} />}
          </div>
        </Panel>
        <Panel title={t("dns.record.lastChange")}>
          <Facts>
            {last_change ? (
              <>
                <Fact name={t("dns.record.when")}>
                  <Time value={last_change.at} absolute />
                </Fact>
                <Fact name={t("dns.record.who")}>
                  <Author by={last_change.by} />
                  {last_change.operation_id && (
                    <>
                      {" · "}
                      <Link to="/operations/$id" params={{ id: last_change.operation_id }} className="underline">
                        {t("operations.toIt")}
                      </Link>
                    </>
                  )}
                </Fact>
              </>
            ) : (
              <Fact name={t("dns.record.when")}>{t("dns.record.notSeen")}</Fact>
            )}
            {record.modified_on && (
              <Fact name={t("dns.record.modified")}>
                <Time value={record.modified_on} absolute />
              </Fact>
            )}
          </Facts>
        </Panel>
      </div>
      {open.length > 0 && (
        <div className="min-w-0 lg:col-span-2">
          <DriftList zone={zone} drift={open} />
        </div>
      )}
      <div className="min-w-0 lg:col-span-2">
        <PropagationPanel zone={zone} recordKey={record.key} />
      </div>
    </div>
  );
}

/** A user, or one of the two that have no name of their own (portal/dns/schemas.py: LastChange). */
function Author({ by }: { by: string }): ReactNode {
  const { t } = useTranslation();
  if (by === "edge") return t("dns.record.byEdge");
  return by === "outside Homeport" ? t("dns.record.others") : <Quoted>{by}</Quoted>;
}

/** Asked for by hand: each look is a question to resolvers out there. */
function PropagationPanel({ zone, recordKey }: { zone: string; recordKey: string }): ReactNode {
  const { t } = useTranslation();
  const [isAsked, setAsked] = useState(false);
  const query = useQuery({ ...propagationQuery(zone, recordKey), enabled: isAsked });
  return (
    <Panel
      title={t("dns.propagation.title")}
      aside={
        <Button
          busy={query.isFetching}
          onClick={() => {
            if (isAsked) void query.refetch();
            setAsked(true);
          }}
        >
          <RefreshCw size={14} aria-hidden />
          {t("dns.propagation.ask")}
        </Button>
      }
    >
      {isAsked ? <QueryView query={query} rows={2}>{(found) => <Resolvers found={found} />}</QueryView> : <p className="p-3 text-sm text-muted">{t("dns.propagation.what")}</p>}
      <div className="px-3 pb-3">
        <CommandLine command={propagationCommand(zone, recordKey)} />
      </div>
    </Panel>
  );
}

type Answer = Propagation["resolvers"][number];

function Resolvers({ found }: { found: Propagation }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<Answer>[] = [
    { key: "resolver", head: t("dns.propagation.resolver"), cell: ({ resolver }) => <Quoted mono>{resolver}</Quoted> },
    {
      key: "agrees",
      head: t("dns.propagation.verdict"),
      cell: ({ agrees }) => (
        <Status tone={!found.is_comparable && agrees !== null ? "idle" : agrees === null ? "unknown" : agrees ? "good" : "warn"}>
          {t(agrees === null ? "common.unknown" : !found.is_comparable ? "dns.propagation.proxied" : agrees ? "dns.propagation.agrees" : "dns.propagation.differs")}
        </Status>
      ),
    },
    {
      key: "answers",
      head: t("dns.propagation.answers"),
      cell: ({ answers, detail }) => (
        <>
          {answers.map((answer) => (
            <span key={answer} className="block">
              <LongText text={answer} />
            </span>
          ))}
          {detail && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{detail}</Quoted>
            </span>
          )}
        </>
      ),
    },
    { key: "ttl", head: t("dns.field.ttl"), align: "right", spare: "md", cell: ({ ttl }) => (ttl === null ? "–" : <Ttl seconds={ttl} />) },
    { key: "asked", head: t("dns.propagation.askedAt"), spare: "md", cell: ({ asked_at }) => <Time value={asked_at} /> },
  ];
  return (
    <>
      {!found.is_comparable && <p className="px-3 pt-2 text-sm text-muted">{t("dns.propagation.proxiedWhy")}</p>}
      <Table caption={t("dns.propagation.title")} columns={columns} rows={found.resolvers} rowKey={({ resolver }) => resolver} />
    </>
  );
}
