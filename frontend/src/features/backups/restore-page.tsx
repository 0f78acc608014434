/**
 * Restore: what, from where and to where, then a preview by the same code that restores, then the restore itself, which
 * is an operation. All that is chosen stands in the address, so that a preview can be left and come back to.
 */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { lazy, Suspense, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { PreviewRestore } from "@/api/types.gen";
import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { SelectField } from "@/components/field";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Empty, InlineError, Skeleton } from "@/components/states";
import { useAct } from "@/lib/act";
import { OPERATIONS } from "@/lib/operations";
import { usePermission } from "@/lib/permission";
import { EVERYTHING, folderIn, FOLDER_OF_INBOX } from "@/lib/restore";

import { useAssetName } from "./badges";
import { Choices } from "./choices";
import { previewCommand } from "./command-lines";
import { assetKey, assetOf, isRestorable, originsOf, restorable, troubleOf } from "./judge";
import { useBackupNews } from "./news";
import { BackupsNotice } from "./notice";
import { backupsQuery, isKnown, previewRestore, type Known, type PointView } from "./requests";


const RestorePreview = lazy(() => import("./restore-preview"));

const route = getRouteApi("/backups/restore");
const WHERES = ["beside", "in-place"] as const;
const ORIGINS = ["local", "repository", "vault"] as const;

export function RestorePage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(backupsQuery);
  useBackupNews();
  return (
    <Page
      title={t("backups.restore.title")}
      lead={
        <Link to="/backups" className="hover:underline">
          ← {t("pages.backups")}
        </Link>
      }
    >
      <QueryView query={query}>
        {(overview) => (
          <div className="flex flex-col gap-4">
            <BackupsNotice overview={overview} />
            {isKnown(overview) && (overview.points.length > 0 ? <Wizard overview={overview} /> : <NoPoints />)}
          </div>
        )}
      </QueryView>
    </Page>
  );
}

function NoPoints(): ReactNode {
  const { t } = useTranslation();
  return (
    <div className="rounded-lg border border-line bg-panel">
      <Empty title={t("backups.noPoints")}>{t("backups.noPointsWhy")}</Empty>
    </div>
  );
}

function Wizard({ overview }: { overview: Known }): ReactNode {
  const { t } = useTranslation();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const nameOf = useAssetName();
  const { isPermitted, role } = usePermission("backups:preview");
  const point = overview.points.find(({ id }) => id === search.point) ?? overview.points.find((each) => troubleOf(each) === null) ?? overview.points[0];
  const begin = useAct((body: PreviewRestore) => previewRestore(body), {
    refreshes: [OPERATIONS],
    onDone: ({ id }) => void navigate({ search: (now) => ({ ...now, preview: id }), replace: true }),
  });
  if (!point) return <NoPoints />;
  // Whatever is chosen anew, the preview was of something else.
  const choose = (choice: Partial<typeof search>): void => void navigate({ search: (now) => ({ ...now, point: point.id, preview: undefined, ...choice }), replace: true });
  const assets = contentsOf(point, overview);
  const asset = search.asset !== undefined && [EVERYTHING, ...assets].includes(search.asset) ? search.asset : null;
  const folders = overview.assets.find((each) => assetKey(each) === asset)?.folders ?? [];
  const origins = originsOf(point);
  const origin = origins.find((each) => each === search.origin) ?? origins[0] ?? "local";
  const where = search.where ?? "beside";
  const wish: PreviewRestore | null =
    asset === null ? null : { point: point.id, asset: assetOf(asset) as PreviewRestore["asset"], folder: folderIn(search.folder), origin, where };
  const trouble = troubleOf(point);
  return (
    <div className="grid items-start gap-4 xl:grid-cols-2">
      <div className="flex min-w-0 flex-col gap-4">
        <Panel title={t("backups.restore.what")}>
          <div className="flex flex-col gap-3 p-3">
            <SelectField label={t("backups.point")} value={point.id} onChange={(event) => choose({ point: event.target.value, origin: undefined })}>
              {overview.points.map((each) => (
                <option key={each.id} value={each.id}>
                  {each.id} · {t(`backups.state.${troubleOf(each) ?? "verified"}`)}
                  {each.is_local ? "" : ` · ${t("backups.vaultOnly")}`}
                </option>
              ))}
            </SelectField>
            {trouble && <p className="rounded border-l-4 border-warn bg-sunken px-3 py-2 text-sm">{t("backups.restore.bad", { state: t(`backups.state.${trouble}`) })}</p>}
            <SelectField label={t("backups.restore.asset")} hint={t("backups.restore.fineHint")} value={asset ?? ""} onChange={(event) => choose({ asset: event.target.value || undefined, folder: undefined })}>
              <option value="">{t("backups.restore.choose")}</option>
              {assets.map((key) => (
                <option key={key} value={key}>
                  {nameOf(assetOf(key))}
                </option>
              ))}
              <option value={EVERYTHING}>{t("backups.asset.everything")}</option>
            </SelectField>
            {folders.length > 0 && (
              <SelectField label={t("backups.restore.folder")} value={search.folder ?? ""} onChange={(event) => choose({ folder: event.target.value || undefined })}>
                <option value="">{t("backups.restore.allFolders")}</option>
                {folders.map((folder) => (
                  <option key={folder} value={folder === "" ? FOLDER_OF_INBOX : folder}>
                    {folder === "" ? t("backups.restore.inbox") : folder.replace(/^\./, "")}
                  </option>
                ))}
              </SelectField>
            )}
          </div>
        </Panel>
        <Panel title={t("backups.restore.where")}>
          <div className="flex flex-col gap-4 p-3">
            <Choices
              label={t("backups.restore.origin")}
              value={origin}
              onChoose={(chosen) => choose({ origin: chosen })}
              choices={ORIGINS.map((each) => ({ value: each, text: t(`backups.origin.${each}`), hint: origins.includes(each) ? null : t("backups.restore.unavailable"), isPossible: origins.includes(each) }))}
            />
            <Choices
              label={t("backups.restore.target")}
              value={where}
              onChoose={(chosen) => choose({ where: chosen })}
              choices={WHERES.map((each) => ({ value: each, text: t(`backups.restore.${each}`), hint: t(`backups.restore.${each}Hint`), isPossible: true }))}
            />
          </div>
        </Panel>
      </div>
      <Panel title={t("backups.restore.previewStep")}>
        <div className="flex flex-col gap-3 p-3 text-sm">
          {search.preview === undefined && <p className="text-muted">{t("backups.restore.previewAbout")}</p>}
          {wish && <CommandLine command={previewCommand(wish)} />}
          {begin.error && <InlineError error={begin.error} />}
          {!isPermitted && role && <p className="text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
          <Button
            look={search.preview === undefined ? "primary" : "plain"}
            className="self-start"
            disabled={!isPermitted || wish === null}
            busy={begin.isPending}
            onClick={() => {
              if (wish) begin.mutate(wish);
            }}
          >
            {t(search.preview === undefined ? "backups.restore.preview" : "backups.restore.again")}
          </Button>
          <Suspense fallback={<Skeleton rows={3} />}>
            {search.preview !== undefined && <RestorePreview key={search.preview} operation={search.preview} name={asset === null ? "" : nameOf(assetOf(asset))} />}
          </Suspense>
        </div>
      </Panel>
    </div>
  );
}

/** What can be restored out of a point; of one whose contents are not recorded, what is known today. */
function contentsOf(point: PointView, { assets }: Known): string[] {
  const recorded = (point.assets ?? []).filter((key) => isRestorable(assetOf(key).kind));
  return recorded.length > 0 ? recorded : restorable(assets).map(assetKey);
}
