/** Plugins or themes of a site: what is there, switched and brought to versions by plans, and what can be put back. */

import { useQuery } from "@tanstack/react-query";
import { useId, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { DropDown } from "@/components/drop-down";
import { FilterBox, SelectField, TextField } from "@/components/field";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { Empty } from "@/components/states";
import { Status, type Tone } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { Time } from "@/components/time";
import { searchable } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { packagesQuery, type Extension, type KeptView, type Kind, type SiteView } from "./requests";
import type { Wanted } from "./site-page";

const TONES: Readonly<Record<Extension["state"], Tone>> = { active: "good", inactive: "idle", "must-use": "good", dropin: "good", parent: "good" };
const SLUG = /^[a-z0-9][a-z0-9-]{0,99}$/; // as wordpress.org has them

export default function ExtensionsPanel({ kind, site, onWanted }: { kind: Kind; site: SiteView; onWanted: (wanted: Wanted) => void }): ReactNode {
  const { t } = useTranslation();
  const [find, setFind] = useState("");
  const { isPermitted, role } = usePermission("wordpress:plan");
  const all = kind === "plugin" ? site.plugin_list : site.theme_list;
  const shown = all.filter(({ name, title }) => searchable(`${name} ${title ?? ""}`).includes(searchable(find)));
  const updates = all.filter(({ update_version, state }) => update_version && (state === "active" || state === "inactive" || state === "parent"));
  const mayAct = isPermitted && site.state === "active";
  const title = t(`wordpress.tab.${kind === "plugin" ? "plugins" : "themes"}`);
  const columns: readonly Column<Extension>[] = [
    {
      key: "name",
      head: t("wordpress.column.name"),
      cell: ({ name, title: called, is_broken }) => (
        <span className="flex min-w-36 flex-col">
          <span className="font-medium">
            <Quoted>{called || name}</Quoted>
          </span>
          <span className="text-xs text-muted">
            <Quoted mono>{name}</Quoted>
          </span>
          {is_broken === true && <Status tone="bad">{t("wordpress.broken")}</Status>}
        </span>
      ),
    },
    { key: "state", head: t("wordpress.column.state"), cell: ({ state }) => <Status tone={TONES[state]}>{t(`wordpress.extension.${state}`)}</Status> },
    {
      key: "version",
      head: t("wordpress.column.version"),
      cell: ({ version, update_version }) => (
        <span className="inline-flex flex-col">
          <Quoted mono>{version ?? ""}</Quoted>
          {update_version && (
            <Status tone="warn">
              <Quoted mono>{`→ ${update_version}`}</Quoted>
            </Status>
          )}
        </span>
      ),
    },
    { key: "auto", head: t("wordpress.column.auto"), spare: "lg", cell: ({ auto_update, state }) => (auto_update === null || auto_update === undefined || state === "must-use" || state === "dropin" ? "–" : t(auto_update ? "wordpress.on" : "wordpress.off")) },
    {
      key: "acts",
      head: "",
      align: "right",
      cell: (extension) => <Acts kind={kind} extension={extension} kept={site.kept.filter((each) => each.kind === kind && each.slug === extension.name && each.version !== extension.version)} mayAct={mayAct} onWanted={onWanted} />,
    },
  ];
  const verb = t("wordpress.act.update");
  return (
    <>
      <Panel
        title={title}
        aside={
          <>
            <span className="w-56">
              <FilterBox label={t("wordpress.filterExtensions")} value={find} onChange={(event) => setFind(event.target.value)} />
            </span>
            {updates.length > 0 && (
              <Button
                disabled={!mayAct}
                onClick={() =>
                  onWanted({ title: t("wordpress.updateAll", { count: updates.length }), verb, changes: updates.map(({ name, update_version }) => ({ kind, slug: name, version: update_version ?? "latest" })) })
                }
              >
                {t("wordpress.updateAll", { count: updates.length })}
              </Button>
            )}
          </>
        }
      >
        {shown.length === 0 ? (
          <Empty title={t(find ? "common.nothingMatches" : site.reading.read_at === null ? "wordpress.nothingKnown" : "wordpress.noneInstalled")} />
        ) : (
          <Table caption={title} columns={columns} rows={shown} rowKey={({ name }) => name} />
        )}
        {!isPermitted && role && <p className="p-3 text-xs text-muted">{t("common.needsRole", { role: t(`role.${role}`) })}</p>}
        <div className="p-3">
          <CommandLine command={`homeport wordpress ${kind} ${site.name} update ${updates[0]?.name ?? all[0]?.name ?? "SLUG"} --plan`} />
        </div>
      </Panel>
      <Install kind={kind} mayAct={mayAct} site={site.name} onWanted={onWanted} />
      <Kept kept={site.kept.filter((each) => each.kind === kind)} />
    </>
  );
}

function Acts({ kind, extension: { name, title, state, update_version }, kept, mayAct, onWanted }: { kind: Kind; extension: Extension; kept: readonly KeptView[]; mayAct: boolean; onWanted: (wanted: Wanted) => void }): ReactNode {
  const { t } = useTranslation();
  if (state === "must-use" || state === "dropin") return null; // files, which no switch reaches
  const called = visible(title || name);
  const ask = (act: "activate" | "deactivate" | "update" | "delete", change: { state?: "active" | "inactive" | "absent"; version?: string }, isDangerous = false): ReactNode => (
    <Button
      disabled={!mayAct}
      aria-label={t("wordpress.actOn", { act: t(`wordpress.act.${act}`), name: called })}
      onClick={() => onWanted({ title: t("wordpress.actOn", { act: t(`wordpress.act.${act}`), name: called }), verb: t(`wordpress.act.${act}`), isDangerous, changes: [{ kind, slug: name, ...change }] })}
    >
      {t(`wordpress.act.${act}`)}
    </Button>
  );
  return (
    <span className="inline-flex flex-wrap justify-end gap-1.5">
      {update_version && ask("update", { version: update_version })}
      {state === "active" ? kind === "plugin" && ask("deactivate", { state: "inactive" }, true) : ask("activate", { state: "active" })}
      {state === "inactive" && ask("delete", { state: "absent" }, true)}
      {kept.length > 0 && (
        <DropDown label={t("wordpress.act.rollBack")}>
          {kept.map(({ version, kept_at }) => (
            <Button
              key={`${version} ${kept_at}`}
              look="quiet"
              disabled={!mayAct}
              onClick={() => onWanted({ title: t("wordpress.actOn", { act: t("wordpress.act.rollBack"), name: called }), verb: t("wordpress.act.rollBack"), isDangerous: true, changes: [{ kind, slug: name, version }] })}
            >
              <Quoted mono>{version}</Quoted> <Time value={kept_at} />
            </Button>
          ))}
        </DropDown>
      )}
    </span>
  );
}

function Install({ kind, site, mayAct, onWanted }: { kind: Kind; site: string; mayAct: boolean; onWanted: (wanted: Wanted) => void }): ReactNode {
  const { t } = useTranslation();
  const { data } = useQuery(packagesQuery);
  const form = useId();
  const [slug, setSlug] = useState("");
  const [file, setFile] = useState("");
  const [isActive, setIsActive] = useState(false);
  const packages = data?.packages.filter((each) => each.kind === kind) ?? [];
  const isSlug = SLUG.test(slug);
  const isReady = mayAct && (file !== "" || isSlug);
  const state = isActive ? ("active" as const) : undefined;
  const verb = t("wordpress.act.install");
  return (
    <Panel title={t(`wordpress.install.${kind}`)}>
      <form
        id={form}
        className="flex flex-col gap-3 p-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isReady) return;
          const name = file === "" ? slug : (packages.find((each) => each.file === file)?.slug ?? file);
          onWanted({ title: t("wordpress.actOn", { act: verb, name: visible(name) }), verb, changes: [file === "" ? { kind, slug, version: "latest", state } : { kind, package: file, state }] });
        }}
      >
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField
            label={t("wordpress.install.slug")}
            hint={t("wordpress.install.slugHint")}
            error={slug !== "" && !isSlug ? t("wordpress.install.slugWrong") : null}
            disabled={file !== ""}
            spellCheck={false}
            autoCapitalize="none"
            value={slug}
            onChange={(event) => setSlug(event.target.value.trim())}
          />
          {packages.length > 0 && (
            <SelectField label={t("wordpress.install.package")} value={file} onChange={(event) => setFile(event.target.value)}>
              <option value="">{t("wordpress.install.noPackage")}</option>
              {packages.map((each) => (
                <option key={each.file} value={each.file}>
                  {visible(`${each.slug} ${each.version} (${each.file})`)}
                </option>
              ))}
            </SelectField>
          )}
        </div>
        <label className="flex items-center gap-2 text-sm">
          <input type="checkbox" className="size-4 accent-accent" checked={isActive} onChange={(event) => setIsActive(event.target.checked)} />
          {t("wordpress.install.activate")}
        </label>
        <Button type="submit" className="self-start" disabled={!isReady}>
          {t("wordpress.preview")}
        </Button>
        <CommandLine command={`homeport wordpress ${kind} ${site} install ${file || slug || "SLUG"}${isActive ? " --activate" : ""} --plan`} />
      </form>
    </Panel>
  );
}

function Kept({ kept }: { kept: readonly KeptView[] }): ReactNode {
  const { t } = useTranslation();
  if (kept.length === 0) return null;
  return (
    <Panel title={t("wordpress.kept.title")}>
      <Table
        caption={t("wordpress.kept.title")}
        rows={kept}
        rowKey={({ slug, version, kept_at }) => `${slug} ${version} ${kept_at}`}
        columns={[
          { key: "name", head: t("wordpress.column.name"), cell: ({ slug }) => <Quoted mono>{slug}</Quoted> },
          { key: "version", head: t("wordpress.column.version"), cell: ({ version }) => <Quoted mono>{version}</Quoted> },
          { key: "at", head: t("wordpress.kept.at"), cell: ({ kept_at }) => <Time value={kept_at} /> },
        ]}
      />
    </Panel>
  );
}
