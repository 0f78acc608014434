/** Everything that may be lost: kept, left out with a reason, or missing. What is missing comes first. */

import { Link } from "@tanstack/react-router";
import { RotateCcw } from "lucide-react";
import { useMemo, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { FilterBox } from "@/components/field";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { bytes, searchable } from "@/lib/format";

import { AssetKind, CoveredStatus, useAssetName } from "./badges";
import { assetKey, byUrgency, COVERED_ORDER, flatOf, isRestorable } from "./judge";
import type { AssetView } from "./requests";

type Covered = AssetView["covered"];

export default function CoveragePanel({
  assets,
  find,
  show,
  onFilter,
}: {
  assets: readonly AssetView[];
  find: string;
  show: Covered | undefined;
  onFilter: (filter: { find?: string; show?: Covered }) => void;
}): ReactNode {
  const { t } = useTranslation();
  const nameOf = useAssetName();
  const ordered = useMemo(() => byUrgency(assets), [assets]);
  const shown = ordered.filter((asset) => (!show || asset.covered === show) && searchable(`${nameOf(asset)} ${asset.source}`).includes(searchable(find)));
  if (assets.length === 0) {
    return (
      <div className="rounded-lg border border-line bg-panel">
        <Empty title={t("backups.coverage.empty")} command="homeport backup coverage">
          {t("backups.coverage.emptyWhy")}
        </Empty>
      </div>
    );
  }
  return (
    <>
      <div className="rounded-lg border border-line bg-panel">
        <div className="flex flex-wrap items-center gap-2 border-b border-line p-2">
          <FilterBox label={t("backups.coverage.filter")} className="max-w-72" value={find} onChange={(event) => onFilter({ find: event.target.value || undefined, show })} />
          {COVERED_ORDER.map((each) => (
            <button
              key={each}
              type="button"
              aria-pressed={show === each}
              className={buttonLook("plain", "aria-pressed:border-accent aria-pressed:bg-accent/12")}
              onClick={() => onFilter({ find: find || undefined, show: show === each ? undefined : each })}
            >
              {t(`backups.covered.${each}`)} {assets.filter(({ covered }) => covered === each).length}
            </button>
          ))}
          <span role="status" className="ml-auto text-xs text-muted">
            {t("backups.coverage.count", { count: shown.length })}
          </span>
        </div>
        {shown.length === 0 ? (
          <Empty title={t("common.nothingMatches")} action={<Button onClick={() => onFilter({})}>{t("common.resetFilter")}</Button>} />
        ) : (
          <CoverageTable assets={shown} />
        )}
      </div>
      <CommandLine command="homeport backups coverage" />
    </>
  );
}

function CoverageTable({ assets }: { assets: readonly AssetView[] }): ReactNode {
  const { t } = useTranslation();
  const nameOf = useAssetName();
  const columns: readonly Column<AssetView>[] = [
    {
      key: "name",
      head: t("backups.coverage.name"),
      cell: ({ kind, name, reason }) => (
        <span className="inline-block min-w-32">
          <span className="font-medium">
            <Quoted>{name}</Quoted>
          </span>
          <span className="block text-xs text-muted">
            <AssetKind kind={kind} />
          </span>
          {reason && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{reason}</Quoted>
            </span>
          )}
        </span>
      ),
    },
    { key: "covered", head: t("backups.stateLabel"), cell: ({ covered }) => <CoveredStatus covered={covered} /> },
    {
      key: "point",
      head: t("backups.coverage.newest"),
      cell: ({ point }) =>
        point ? (
          <Link to="/backups/points/$flat" params={{ flat: flatOf(point) }} className="hover:underline">
            <Quoted>{point}</Quoted>
          </Link>
        ) : (
          "–"
        ),
      spare: "md",
    },
    { key: "local", head: t("backups.coverage.local"), cell: ({ local_at }) => (local_at ? <Time value={local_at} /> : "–"), spare: "lg" },
    { key: "vault", head: t("backups.inVault"), cell: ({ vault_at }) => (vault_at ? <Time value={vault_at} /> : "–"), spare: "lg" },
    { key: "size", head: t("backups.size"), align: "right", cell: ({ bytes: size, covered }) => (covered === "yes" && size > 0 ? <span className="whitespace-nowrap">{bytes(size)}</span> : "–"), spare: "md" },
    {
      key: "drill",
      head: t("backups.coverage.drill"),
      cell: ({ kind, drill, covered }) =>
        drill ? (
          <>
            <Status tone={drill.ok ? "good" : "bad"}>{t(drill.ok ? "backups.drills.ok" : "backups.drills.failed")}</Status>
            <span className="block text-xs text-muted">
              <Time value={drill.at} />
            </span>
          </>
        ) : (
          <span className="whitespace-nowrap text-muted">{covered === "yes" && isRestorable(kind) ? t("backups.coverage.never") : "–"}</span>
        ),
      spare: "md",
    },
    {
      key: "acts",
      head: t("backups.acts"),
      align: "right",
      cell: (asset) =>
        asset.point && (
          <Link to="/backups/restore" search={{ point: asset.point, asset: assetKey(asset) }} aria-label={t("backups.restore.of", { name: nameOf(asset) })} className={buttonLook("quiet")}>
            <RotateCcw size={14} aria-hidden />
            <span className="sr-only lg:not-sr-only">{t("backups.restore.verb")}</span>
          </Link>
        ),
    },
  ];
  return <Table caption={t("backups.coverage.caption")} columns={columns} rows={assets} rowKey={assetKey} />;
}
