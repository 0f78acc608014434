import { Link } from "@tanstack/react-router";
import { RotateCcw } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { bytes, duration } from "@/lib/format";

import { PointStatus } from "./badges";
import { flatOf } from "./judge";
import type { Known, PointView } from "./requests";

/** All points, newest first, also those that only the vault still has. */
export function PointsPanel({ points }: Pick<Known, "points">): ReactNode {
  const { t } = useTranslation();
  return (
    <Panel title={t("backups.points")}>
      {points.length === 0 ? (
        <Empty title={t("backups.noPoints")}>{t("backups.noPointsWhy")}</Empty>
      ) : (
        <PointsTable points={points} />
      )}
    </Panel>
  );
}

function PointsTable({ points }: { points: readonly PointView[] }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<PointView>[] = [
    {
      key: "point",
      head: t("backups.point"),
      cell: ({ id, kind }) => (
        <span className={`inline-block ${kind === "manual" ? "min-w-40" : "whitespace-nowrap"}`}>
          <Link to="/backups/points/$flat" params={{ flat: flatOf(id) }} className="font-medium hover:underline">
            <Quoted>{id}</Quoted>
          </Link>
          <span className="block text-xs text-muted">{t(`backups.kind.${kind}`)}</span>
        </span>
      ),
    },
    { key: "state", head: t("backups.stateLabel"), cell: (point) => <PointStatus point={point} /> },
    {
      key: "vault",
      head: t("backups.protectedUntil"),
      cell: ({ vault }) => (vault ? <Time value={vault.protected_until} absolute /> : <Status tone="idle">{t("backups.notInVault")}</Status>),
      spare: "md",
    },
    {
      key: "size",
      head: t("backups.size"),
      align: "right",
      cell: ({ bytes: size, new_bytes }) => (
        <span className="whitespace-nowrap">
          {bytes(size)}
          <span className="block text-xs text-muted">
            {t("backups.newBytes")} {bytes(new_bytes)}
          </span>
        </span>
      ),
      spare: "md",
    },
    {
      key: "kept",
      head: t("backups.kept"),
      cell: ({ kept_because }) => (
        <span lang="en" className="text-xs text-muted">
          <Quoted>{kept_because}</Quoted>
        </span>
      ),
      spare: "xl",
    },
    { key: "took", head: t("backups.took"), align: "right", cell: ({ seconds }) => <span className="whitespace-nowrap">{duration(seconds)}</span>, spare: "lg" },
    {
      key: "acts",
      head: t("backups.acts"),
      align: "right",
      cell: ({ id }) => (
        <Link to="/backups/restore" search={{ point: id }} aria-label={t("backups.restore.of", { name: id })} className={buttonLook("quiet")}>
          <RotateCcw size={14} aria-hidden />
          <span className="sr-only lg:not-sr-only">{t("backups.restore.verb")}</span>
        </Link>
      ),
    },
  ];
  return <Table caption={t("backups.points")} columns={columns} rows={points} rowKey={({ id }) => id} />;
}
