import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { OperationStatus } from "@/components/operation-status";
import { ProgressBar } from "@/components/progress-bar";
import { Quoted } from "@/components/quoted";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { useOperationName } from "@/lib/act-name";
import { duration } from "@/lib/format";
import type { OperationView } from "@/lib/operations";

const IN_SHORT = new Set(["act", "target", "state", "started"]);

export function OperationsTable({ operations, isShort = false }: { operations: readonly OperationView[]; isShort?: boolean }): ReactNode {
  const { t } = useTranslation();
  const nameOf = useOperationName();
  const columns: readonly Column<OperationView>[] = [
    {
      key: "act",
      head: t("operations.act"),
      cell: (operation) => (
        <Link to="/operations/$id" params={{ id: operation.id }} className="font-medium whitespace-nowrap hover:underline">
          {nameOf(operation).act}
        </Link>
      ),
    },
    { key: "target", head: t("operations.target"), cell: (operation) => <span className="inline-block min-w-24"><Quoted>{nameOf(operation).target}</Quoted></span> },
    {
      key: "state",
      head: t("operations.stateLabel"),
      cell: (operation) => (
        <span className="flex flex-col gap-1">
          <OperationStatus operation={operation} />
          {operation.state === "running" && <ProgressBar operation={operation} />}
        </span>
      ),
    },
    { key: "actor", head: t("operations.actor"), cell: ({ actor }) => <Quoted>{actor.name}</Quoted>, spare: "md" },
    { key: "started", head: t("operations.started"), cell: ({ started_at }) => <Time value={started_at} absolute />, spare: "md" },
    {
      key: "took",
      head: t("operations.took"),
      align: "right",
      cell: ({ started_at, ended_at }) => (ended_at ? duration((Date.parse(ended_at) - Date.parse(started_at)) / 1000) : ""),
      spare: "lg",
    },
  ];
  return <Table caption={t("pages.operations")} columns={isShort ? columns.filter(({ key }) => IN_SHORT.has(key)) : columns} rows={operations} rowKey={({ id }) => id} />;
}
