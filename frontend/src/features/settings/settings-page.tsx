/** How this device shows the portal, and how the portal was started. The latter is read-only: the environment has it. */

import { queryOptions, useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import * as api from "@/api/sdk.gen";
import type { SettingView } from "@/api/types.gen";
import { SelectField } from "@/components/field";
import { Page } from "@/components/page";
import { Fact, Facts, Panel } from "@/components/panel";
import { QueryView } from "@/components/query-view";
import { Quoted } from "@/components/quoted";
import { Status } from "@/components/status";
import { Table, type Column } from "@/components/table";
import { DENSITIES, setDensity, setTheme, storedDensity, storedTheme, THEMES, type Density, type Theme } from "@/lib/appearance";
import { ZONE, zoneName } from "@/lib/format";
import { currentLanguage, LANGUAGE_NAMES, LANGUAGES, setLanguage, type Language } from "@/lib/language";

const settingsQuery = queryOptions({ queryKey: ["settings"], queryFn: ({ signal }) => api.readSettings({ signal }), staleTime: Infinity });

export function SettingsPage(): ReactNode {
  const { t } = useTranslation();
  const query = useQuery(settingsQuery);
  const columns: readonly Column<SettingView>[] = [
    {
      key: "name",
      head: t("settings.name"),
      cell: ({ name, description }) => (
        <>
          <code className="font-mono text-[0.92em] break-all">{name}</code>
          <span lang="en" className="block text-xs text-muted">
            {description}
          </span>
        </>
      ),
    },
    { key: "value", head: t("settings.value"), cell: (setting) => <Value setting={setting} /> },
    { key: "source", head: t("settings.source"), cell: ({ is_set }) => t(is_set ? "settings.set" : "settings.default"), spare: "md" },
  ];
  return (
    <Page title={t("pages.settings")}>
      <Appearance />
      <Panel title={t("settings.portal")}>
        <QueryView query={query}>
          {({ version, database, settings }) => (
            <>
              <Facts>
                <Fact name={t("settings.version")}>{version}</Fact>
                <Fact name={t("settings.database")}>{database}</Fact>
              </Facts>
              <p className="px-3 pb-3 text-sm text-muted">{t("settings.readOnly")}</p>
              <Table caption={t("settings.portal")} columns={columns} rows={settings} rowKey={({ name }) => name} />
            </>
          )}
        </QueryView>
      </Panel>
    </Page>
  );
}

function Value({ setting: { value, is_secret, is_set } }: { setting: SettingView }): ReactNode {
  const { t } = useTranslation();
  if (is_secret) return <Status tone={is_set ? "good" : "idle"}>{t(is_set ? "settings.secretSet" : "settings.secretUnset")}</Status>;
  return value === null || value === "" ? <span className="text-muted">–</span> : <Quoted mono>{value}</Quoted>;
}

function Appearance(): ReactNode {
  const { t } = useTranslation();
  const [theme, showTheme] = useState<Theme>(storedTheme);
  const [density, showDensity] = useState<Density>(storedDensity);
  return (
    <Panel title={t("settings.device")}>
      <div className="grid gap-4 p-3 sm:grid-cols-3">
        <SelectField label={t("preferences.language")} value={currentLanguage()} onChange={(event) => void setLanguage(event.target.value as Language, { isChoice: true })}>
          {LANGUAGES.map((each) => (
            <option key={each} value={each} lang={each}>
              {LANGUAGE_NAMES[each]}
            </option>
          ))}
        </SelectField>
        <SelectField
          label={t("preferences.theme")}
          value={theme}
          onChange={(event) => {
            const next = event.target.value as Theme;
            setTheme(next);
            showTheme(next);
          }}
        >
          {THEMES.map((each) => (
            <option key={each} value={each}>
              {t(`preferences.${each}`)}
            </option>
          ))}
        </SelectField>
        <SelectField
          label={t("preferences.density")}
          value={density}
          onChange={(event) => {
            const next = event.target.value as Density;
            setDensity(next);
            showDensity(next);
          }}
        >
          {DENSITIES.map((each) => (
            <option key={each} value={each}>
              {t(`preferences.${each}`)}
            </option>
          ))}
        </SelectField>
      </div>
      <p className="px-3 pb-3 text-xs text-muted">{t("settings.zone", { zone: ZONE, short: zoneName(new Date()) })}</p>
    </Panel>
  );
}
