/** A zone from a file: pasted or chosen, looked at as a plan, then applied like any other. */

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { Upload } from "lucide-react";
import { lazy, Suspense, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, buttonLook } from "@/components/button";
import { ConnectionNotice } from "@/components/cloudflare-notice";
import { CommandLine } from "@/components/copy";
import { SelectField, TextArea } from "@/components/field";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { Quoted } from "@/components/quoted";
import { bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { usePermission } from "@/lib/permission";

import { exportCommand, importCommand } from "./command-lines";
import { formatOf, FORMATS, MAX_IMPORT_CHARACTERS } from "./import-format";
import { dnsQuery, exportAddress, planImport, type ImportZone } from "./requests";
import { ZoneTabs } from "./tabs";

const PlanDialog = lazy(() => import("@/components/plan-dialog"));

const route = getRouteApi("/dns/$zone/import");
const MODES = ["merge", "replace"] as const;

export function ImportPage(): ReactNode {
  const { t } = useTranslation();
  const { zone } = route.useParams();
  const { data: overview } = useQuery(dnsQuery);
  const { isPermitted, role } = usePermission("dns:plan");
  const [file, setFile] = useState<{ name: string; size: number } | null>(null);
  const [text, setText] = useState("");
  const [format, setFormat] = useState<ImportZone["format"]>("bind");
  const [mode, setMode] = useState<(typeof MODES)[number]>("merge");
  const [isAsked, setAsked] = useState(false);
  const isTooLong = text.length > MAX_IMPORT_CHARACTERS;
  const why = !isPermitted ? (role ? t("common.needsRole", { role: t(`role.${role}`) }) : "") : isTooLong ? t("dns.import.tooLong", { count: MAX_IMPORT_CHARACTERS }) : text.trim() === "" ? t("dns.import.nothing") : undefined;
  const known = overview?.zones.find(({ name }) => name === zone);
  const take = async (chosen: File | undefined): Promise<void> => {
    if (!chosen) return;
    const given = await chosen.text();
    setFile({ name: chosen.name, size: chosen.size });
    setText(given);
    setFormat(formatOf(chosen.name, given));
  };
  return (
    <Page
      key={zone}
      title={t("dns.import.title", { zone: visible(known?.unicode_name ?? zone) })}
      lead={
        <Link to="/dns" className="hover:underline">
          ← {t("dns.tabs.zones")}
        </Link>
      }
    >
      <ZoneTabs zone={zone} now="import" drift={known?.drift} />
      {overview && <ConnectionNotice connection={overview.connection} readAt={known?.read_at} />}
      <Panel title={t("dns.import.what")}>
        <form
          className="flex flex-col gap-4 p-3"
          onSubmit={(event) => {
            event.preventDefault();
            if (why === undefined) setAsked(true);
          }}
        >
          <div className="flex flex-wrap items-center gap-3 text-sm">
            <label className={buttonLook("plain", "cursor-pointer focus-within:outline-2 focus-within:outline-accent")}>
              <Upload size={14} aria-hidden />
              {t("dns.import.file")}
              <input type="file" accept=".zone,.db,.txt,.csv,.json,text/plain,text/csv,application/json" className="sr-only" onChange={(event) => void take(event.target.files?.[0])} />
            </label>
            {file && (
              <span className="text-muted">
                <Quoted>{file.name}</Quoted> · {bytes(file.size)}
              </span>
            )}
          </div>
          <TextArea
            label={t("dns.import.text")}
            hint={t("dns.import.textHint")}
            error={isTooLong ? t("dns.import.tooLong", { count: MAX_IMPORT_CHARACTERS }) : null}
            rows={12}
            spellCheck={false}
            value={text}
            onChange={(event) => {
              if (text === "") setFormat(formatOf("", event.target.value));
              setText(event.target.value);
              setFile(null);
            }}
          />
          <div className="grid gap-3 sm:grid-cols-2">
            <SelectField label={t("dns.import.format")} value={format} onChange={(event) => setFormat(FORMATS.find((each) => each === event.target.value) ?? "bind")}>
              {FORMATS.map((each) => (
                <option key={each} value={each}>
                  {t(`dns.format.${each}`)}
                </option>
              ))}
            </SelectField>
            <fieldset className="flex flex-col gap-1 text-sm">
              <legend className="font-medium">{t("dns.import.mode")}</legend>
              {MODES.map((each) => (
                <label key={each} className="target flex items-start gap-2 py-1">
                  <input type="radio" name="mode" className="mt-0.5 size-4 accent-accent" checked={mode === each} onChange={() => setMode(each)} />
                  <span>
                    {t(`dns.import.${each}`)}
                    <span className="block text-xs text-muted">{t(`dns.import.${each}What`)}</span>
                  </span>
                </label>
              ))}
            </fieldset>
          </div>
          <div className="flex flex-wrap items-center gap-3">
            <Button type="submit" look="primary" disabled={why !== undefined} title={why}>
              {t("dns.preview")}
            </Button>
            {why && <span className="text-sm text-muted">{why}</span>}
          </div>
        </form>
      </Panel>
      <Panel title={t("dns.export.title")}>
        <div className="flex flex-col gap-2 p-3 text-sm">
          <p className="max-w-prose text-muted">{t("dns.export.what")}</p>
          <div className="flex flex-wrap gap-2">
            {FORMATS.map((each) => (
              <a key={each} href={exportAddress(zone, each)} download className={buttonLook()}>
                {t(`dns.format.${each}`)}
              </a>
            ))}
          </div>
          <CommandLine command={exportCommand(zone, format)} />
        </div>
      </Panel>
      <CommandLine command={importCommand(zone, { format, mode })} />
      {isAsked && (
        <Suspense>
          <PlanDialog
            title={t("dns.import.planTitle", { zone: visible(zone) })}
            verb={t("dns.apply")}
            isDangerous={mode === "replace"}
            make={() => planImport(zone, { format, text, mode })}
            onClose={() => setAsked(false)}
          />
        </Suspense>
      )}
    </Page>
  );
}
