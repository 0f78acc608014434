/** One restore point: what it is worth, where it lies, what failed, and what is in it. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { RotateCcw } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { bytes, duration } from "@/lib/format";
import { isProblem } from "@/lib/problem";

import { VerifyAct } from "./acts";
import { AssetKind, PointStatus, useAssetName } from "./badges";
import { assetKey, assetOf } from "./judge";
import { useBackupNews } from "./news";
import { pointQuery, type AssetView, type PointView } from "./requests";

const route = getRouteApi("/backups/points/$flat");

export function PointPage(): ReactNode {
  const { t } = useTranslation();
  const { flat } = route.useParams();
  const { ask } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery(pointQuery(flat));
  useBackupNews();
  const isGone = isProblem(query.error) && query.error.status === 404;
  const point = query.data?.point;
  return (
    <Page
      key={flat}
      title={point?.id ?? flat.replace("-", "/")}
      lead={
        <Link to="/backups" className="hover:underline">
          ← {t("pages.backups")}
        </Link>
      }
      aside={
        point && (
          <>
            <PointStatus point={point} />
            <Link to="/backups/restore" search={{ point: point.id }} className={buttonLook()}>
              <RotateCcw size={14} aria-hidden />
              {t("backups.restore.verb")}
            </Link>
            <VerifyAct
              point={point.id}
              isThere={point.is_local}
              isAsked={ask === "verify"}
              onAsk={(isAsked) => void navigate({ search: { ask: isAsked ? "verify" : undefined }, replace: true })}
            />
          </>
        )
      }
    >
      {isGone ? (
        <Panel title={t("backups.point")}>
          <Empty title={t("backups.pointPage.gone")}>{t("backups.pointPage.goneWhy")}</Empty>
        </Panel>
      ) : (
        <QueryView query={query}>{({ point: found, assets }) => <Details point={found} assets={assets} />}</QueryView>
      )}
      <CommandLine command={`homeport backups show ${point?.id ?? flat.replace("-", "/")}`} />
    </Page>
  );
}

function Details({ point, assets }: { point: PointView; assets: readonly AssetView[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="flex flex-col gap-4">
      {point.failures.length > 0 && (
        <Panel title={t("backups.pointPage.failures")}>
          <ul className="flex flex-col gap-1 p-3 text-sm">
            {point.failures.map((failure) => (
              <li key={failure} lang="en" className="border-l-4 border-bad pl-2">
                <Quoted>{failure}</Quoted>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      {point.damage !== "" && (
        <Panel title={t("backups.pointPage.damage")}>
          <p lang="en" className="m-3 border-l-4 border-bad pl-2 text-sm">
            <Quoted>{point.damage}</Quoted>
          </p>
        </Panel>
      )}
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <Panel title={t("backups.pointPage.facts")}>
          <Facts>
            <Fact name={t("backups.started")}>
              <Time value={point.started_at} absolute />
            </Fact>
            <Fact name={t("backups.coverage.kind")}>{t(`backups.kind.${point.kind}`)}</Fact>
            <Fact name={t("backups.pointPage.scope")}>{point.scope === "" ? t("backups.pointPage.all") : <Quoted>{point.scope}</Quoted>}</Fact>
            <Fact name={t("backups.size")}>
              {bytes(point.bytes)} · {t("backups.newBytes")} {bytes(point.new_bytes)}
            </Fact>
            <Fact name={t("backups.files")}>{point.files}</Fact>
            <Fact name={t("backups.took")}>{duration(point.seconds)}</Fact>
            {point.kept_because && (
              <Fact name={t("backups.kept")}>
                <span lang="en">
                  <Quoted>{point.kept_because}</Quoted>
                </span>
              </Fact>
            )}
          </Facts>
        </Panel>
        <Panel title={t("backups.pointPage.copies")}>
          <Facts>
            <Fact name={t("backups.pointPage.localCopy")}>
              <Status tone={point.is_local ? "good" : "idle"}>{t(point.is_local ? "backups.pointPage.there" : "backups.pointPage.notThere")}</Status>
            </Fact>
            {point.sealed_at && (
              <Fact name={t("backups.pointPage.sealed")}>
                <Time value={point.sealed_at} absolute />
              </Fact>
            )}
            {point.verified_at && (
              <Fact name={t("backups.pointPage.verified")}>
                <Time value={point.verified_at} absolute />
              </Fact>
            )}
            <Fact name={t("backups.inRepository")}>
              {point.repository ? <Quoted mono>{point.repository.snapshot.slice(0, 8)}</Quoted> : <Status tone="idle">{t("backups.pointPage.notThere")}</Status>}
            </Fact>
            <Fact name={t("backups.inVault")}>{point.vault ? <Time value={point.vault.sealed_at} absolute /> : <Status tone="idle">{t("backups.notInVault")}</Status>}</Fact>
            {point.vault && (
              <Fact name={t("backups.protectedUntil")}>
                <Time value={point.vault.protected_until} absolute />
              </Fact>
            )}
          </Facts>
        </Panel>
      </div>
      <Panel title={t("backups.pointPage.contents")}>
        <Contents point={point} assets={assets} />
      </Panel>
    </div>
  );
}

/** What lies in it, by the names of then: also what has been removed since. */
function Contents({ point, assets }: { point: PointView; assets: readonly AssetView[] }): ReactNode {
  const { t } = useTranslation();
  const nameOf = useAssetName();
  const keys = point.assets && point.assets.length > 0 ? point.assets : assets.map(assetKey);
  if (keys.length === 0) return <p className="p-3 text-sm text-muted">{t("backups.pointPage.noContents")}</p>;
  return (
    <ul className="grid overflow-hidden rounded-b-lg text-sm sm:grid-cols-2 xl:grid-cols-3">
      {keys.map((key) => {
        const asset = assetOf(key);
        return (
          <li key={key} className="flex flex-wrap items-center justify-between gap-x-3 -mb-px border-b border-line px-3 py-1.5">
            <span className="min-w-0">
              <Quoted>{asset.name}</Quoted>
              <span className="block text-xs text-muted">
                <AssetKind kind={asset.kind} />
              </span>
            </span>
            <Link to="/backups/restore" search={{ point: point.id, asset: key }} aria-label={t("backups.restore.of", { name: nameOf(asset) })} className={buttonLook("quiet")}>
              <RotateCcw size={14} aria-hidden />
              {t("backups.restore.verb")}
            </Link>
          </li>
        );
      })}
    </ul>
  );
}
