/** The images that the containers were made of, and what the engine has on its disk. Asked of the engine when shown. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { CommandLine, CopyButton } from "@/components/copy";
import { Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Table, type Column } from "@/components/table";
import { MeasuredAt, Time } from "@/components/time";
import { bytes } from "@/lib/format";

import { shortId } from "./removed-panel";
import { diskUseQuery, imagesQuery, type ContainerView, type DiskUse, type Image } from "./requests";

const KINDS = ["images", "containers", "volumes", "build_cache"] as const;
const MS = 1000;

export default function ImagesPanel({ containers, isStale }: { containers: readonly ContainerView[]; isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  const images = useQuery({ ...imagesQuery, enabled: !isStale });
  const disk = useQuery({ ...diskUseQuery, enabled: !isStale });
  if (isStale && images.data === undefined && disk.data === undefined) return null; // the notice above says why
  return (
    <div className={`flex flex-col gap-4 ${isStale ? "text-unknown" : ""}`}>
      <Panel title={t("containers.images.disk")} aside={<Measured at={disk.dataUpdatedAt} isStale={isStale} />}>
        <QueryView query={disk} rows={4}>
          {(use) => <DiskTable use={use} />}
        </QueryView>
      </Panel>
      <Panel title={t("containers.images.title")} aside={<Measured at={images.dataUpdatedAt} isStale={isStale} />}>
        <QueryView query={images}>
          {({ images: found }) => (found.length === 0 ? <Empty title={t("containers.images.empty")}>{t("containers.emptyWhy")}</Empty> : <ImagesTable images={found} containers={containers} />)}
        </QueryView>
      </Panel>
      <CommandLine command="homeport containers disk" />
      <CommandLine command="homeport containers images" />
    </div>
  );
}

/** The engine answers at once or not at all: when the answer came is when it was measured. */
function Measured({ at, isStale }: { at: number; isStale: boolean }): ReactNode {
  const { t } = useTranslation();
  if (at === 0) return null;
  return (
    <span className="text-xs text-muted">
      {isStale && `${t("common.unknown")} · `}
      <MeasuredAt value={at} />
    </span>
  );
}

function DiskTable({ use }: { use: DiskUse }): ReactNode {
  const { t } = useTranslation();
  const columns: readonly Column<(typeof KINDS)[number]>[] = [
    { key: "kind", head: t("containers.images.kind"), cell: (kind) => t(`containers.images.kinds.${kind}`) },
    { key: "count", head: t("containers.images.count"), align: "right", cell: (kind) => use[kind].count },
    { key: "size", head: t("containers.images.size"), align: "right", cell: (kind) => <span className="whitespace-nowrap">{bytes(use[kind].size_bytes)}</span> },
    {
      key: "unused",
      head: t("containers.images.unused"),
      align: "right",
      cell: (kind) => <span className={`whitespace-nowrap ${use[kind].reclaimable_bytes > 0 ? "" : "text-muted"}`}>{bytes(use[kind].reclaimable_bytes)}</span>,
    },
  ];
  return (
    <>
      <Table caption={t("containers.images.disk")} columns={columns} rows={KINDS} rowKey={(kind) => kind} />
      <p className="border-t border-line px-3 py-2 text-xs text-muted">{t("containers.images.about")}</p>
    </>
  );
}

function ImagesTable({ images, containers }: { images: readonly Image[]; containers: readonly ContainerView[] }): ReactNode {
  const { t } = useTranslation();
  const names = new Map(containers.map(({ id, name }) => [id, name]));
  const columns: readonly Column<Image>[] = [
    {
      key: "tags",
      head: t("containers.overview.tag"),
      cell: ({ tags }) =>
        tags.length === 0 ? (
          <span className="text-muted">{t("containers.images.untagged")}</span>
        ) : (
          tags.map((tag) => (
            <span key={tag} className="block font-medium">
              <Quoted>{tag}</Quoted>
            </span>
          ))
        ),
    },
    {
      key: "users",
      head: t("containers.images.users"),
      cell: ({ containers: ids }) => (
        <ul>
          {ids
            .map((id) => names.get(id) ?? null)
            .filter((name) => name !== null)
            .toSorted()
            .map((name) => (
              <li key={name}>
                <Link to="/containers/$name" params={{ name }} className="inline-flex min-h-6 items-center hover:underline">
                  <Quoted>{name}</Quoted>
                </Link>
              </li>
            ))}
        </ul>
      ),
    },
    {
      key: "digest",
      head: t("containers.overview.digest"),
      cell: ({ id, digests }) => (
        <span className="flex items-center gap-1 whitespace-nowrap">
          <code className="font-mono text-[0.92em]">{shortId(digests[0]?.split("@")[1] ?? id)}</code>
          <CopyButton text={digests[0] ?? id} />
        </span>
      ),
      spare: "md",
    },
    { key: "created", head: t("containers.overview.created"), cell: ({ created_at }) => <Time value={created_at * MS} absolute />, spare: "lg" },
    { key: "size", head: t("containers.images.size"), align: "right", cell: ({ size_bytes }) => <span className="whitespace-nowrap">{bytes(size_bytes)}</span> },
  ];
  const rows = images.toSorted((one, other) => other.size_bytes - one.size_bytes);
  return <Table caption={t("containers.images.title")} columns={columns} rows={rows} rowKey={({ id }) => id} />;
}
