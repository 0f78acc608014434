/**
 * The command palette: pages, containers and what can be done with them, preferences. A combobox with a list: arrows
 * move, Enter does, typing narrows; width and case do not count, and the Enter that ends an input method does nothing.
 */

import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Dialog } from "@/components/dialog";
import { useAssetName } from "@/features/backups/badges";
import { assetKey, restorable } from "@/features/backups/judge";
import { backupsQuery, isKnown } from "@/features/backups/requests";
import { containersQuery, keptLogsQuery } from "@/features/containers/requests";
import { dnsQuery } from "@/features/dns/requests";
import { DENSITIES, setDensity, setTheme, THEMES } from "@/lib/appearance";
import { searchable } from "@/lib/format";
import { LANGUAGE_NAMES, LANGUAGES, setLanguage } from "@/lib/language";
import { usePermission } from "@/lib/permission";

import { PAGES } from "./pages";

interface Command {
  id: string;
  group: string;
  text: string;
  run: () => void;
}

const MAX_SHOWN = 60;
const UP = new Set(["running", "restarting", "paused"]);

export default function Palette({ onClose, onHelp, onLogout }: { onClose: () => void; onHelp: () => void; onLogout: () => Promise<void> }): ReactNode {
  const { t } = useTranslation();
  const input = useRef<HTMLInputElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const [wanted, setWanted] = useState("");
  const [at, setAt] = useState(0);
  const commands = useCommands(onHelp, onLogout);
  const shown = useMemo(() => {
    const words = searchable(wanted).split(/\s+/).filter(Boolean);
    return commands.filter(({ text, group }) => words.every((word) => searchable(`${text} ${group}`).includes(word))).slice(0, MAX_SHOWN);
  }, [commands, wanted]);
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [at, shown]);

  const run = (command: Command | undefined): void => {
    if (!command) return;
    onClose();
    command.run();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.nativeEvent.isComposing) return;
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const step = steps[event.key];
    if (step !== undefined && shown.length > 0) {
      event.preventDefault();
      setAt((at + step + shown.length) % shown.length);
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(shown[at]);
    }
  };
  return (
    <Dialog title={t("palette.open")} onClose={onClose} initialFocus={input} wide>
      <input
        ref={input}
        role="combobox"
        aria-expanded
        aria-controls={`${id}-list`}
        aria-activedescendant={shown[at] ? `${id}-${at}` : undefined}
        aria-autocomplete="list"
        aria-label={t("palette.label")}
        placeholder={t("palette.label")}
        autoComplete="off"
        spellCheck={false}
        value={wanted}
        onChange={(event) => {
          setWanted(event.target.value);
          setAt(0);
        }}
        onKeyDown={onKeyDown}
        className="target w-full rounded border border-edge bg-panel px-2.5 py-1.5"
      />
      <div ref={list} id={`${id}-list`} role="listbox" aria-label={t("palette.open")} className="-mx-2 max-h-[50dvh] overflow-y-auto">
        {shown.length === 0 && <p className="px-3 py-4 text-sm text-muted">{t("palette.nothing")}</p>}
        {shown.map((command, index) => (
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events -- the keys are the combobox's
          <div
            key={command.id}
            id={`${id}-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            onClick={() => run(command)}
            onPointerMove={() => setAt(index)}
            className="target flex items-center justify-between gap-4 rounded px-3 py-1 aria-selected:bg-accent/15"
          >
            <bdi className="quoted">{command.text}</bdi>
            <span className="shrink-0 text-xs text-muted">{command.group}</span>
          </div>
        ))}
      </div>
    </Dialog>
  );
}

function useCommands(onHelp: () => void, onLogout: () => Promise<void>): readonly Command[] {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { data } = useQuery({ ...containersQuery, staleTime: 30_000 });
  const { data: kept } = useQuery({ ...keptLogsQuery, staleTime: 30_000 });
  const { data: backups } = useQuery({ ...backupsQuery, staleTime: 30_000 });
  const { data: dns } = useQuery({ ...dnsQuery, staleTime: 30_000, refetchInterval: false });
  const assetName = useAssetName();
  const { isPermitted: mayBackUp } = usePermission("backups:run");
  const { isPermitted: mayDrill } = usePermission("backups:drill");
  const { isPermitted: mayApply } = usePermission("containers:apply");
  const { isPermitted: mayChangeDns } = usePermission("dns:plan");
  const { isPermitted: mayAddDomain } = usePermission("mail-domains:plan");
  const { isPermitted: mayRestart } = usePermission("containers:restart");
  const known = backups && isKnown(backups) ? backups : null;
  return useMemo(
    () => [
      ...PAGES.map(({ path, key }) => ({ id: path, group: t("palette.page"), text: t(`pages.${key}`), run: () => void navigate({ to: path }) })),
      ...(data?.containers ?? []).map(({ id, name }) => ({
        id: `container-${id}`,
        group: t("palette.container"),
        text: name,
        run: () => void navigate({ to: "/containers/$name", params: { name } }),
      })),
      ...(data?.containers ?? []).map(({ id, name }) => ({
        id: `logs-${id}`,
        group: t("palette.logs"),
        text: name,
        run: () => void navigate({ to: "/containers/$name", params: { name }, search: { tab: "logs" } }),
      })),
      ...(data?.engine.state === "connected" ? data.containers : []).flatMap(({ id, name, state }) =>
        actsOf(UP.has(state), mayApply, mayRestart).map((ask) => ({
          id: `${ask}-${id}`,
          group: t(`containers.${ask}.verb`),
          text: name,
          run: () => void navigate({ to: "/containers/$name", params: { name }, search: { ask } }),
        })),
      ),
      ...(["removed", "images"] as const).map((tab) => ({
        id: `containers-${tab}`,
        group: t("pages.containers"),
        text: t(`containers.lists.${tab}`),
        run: () => void navigate({ to: "/containers", search: { tab } }),
      })),
      ...(kept?.logs ?? []).map(({ id, name, stack }) => ({
        id: `kept-${id}`,
        group: t("palette.kept"),
        text: `${name} (${stack})`,
        run: () => void navigate({ to: "/containers/removed/$id", params: { id } }),
      })),
      ...(["run", "drill"] as const)
        .filter((ask) => known !== null && (ask === "run" ? mayBackUp : mayDrill))
        .map((ask) => ({ id: `backups-${ask}`, group: t("pages.backups"), text: t(`backups.${ask}.verb`), run: () => void navigate({ to: "/backups", search: { ask } }) })),
      ...(known ? (["coverage", "history"] as const) : []).map((tab) => ({
        id: `backups-${tab}`,
        group: t("pages.backups"),
        text: t(`backups.tabs.${tab}`),
        run: () => void navigate({ to: "/backups", search: { tab } }),
      })),
      ...(dns?.zones ?? []).flatMap(({ name, unicode_name }) => [
        { id: `zone-${name}`, group: t("dns.tabs.records"), text: unicode_name, run: () => void navigate({ to: "/dns/$zone", params: { zone: name } }) },
        { id: `zone-import-${name}`, group: t("dns.tabs.import"), text: unicode_name, run: () => void navigate({ to: "/dns/$zone/import", params: { zone: name } }) },
        { id: `zone-history-${name}`, group: t("dns.tabs.history"), text: unicode_name, run: () => void navigate({ to: "/dns/$zone/history", params: { zone: name } }) },
        ...(mayChangeDns
          ? [{ id: `zone-new-${name}`, group: t("dns.record.new"), text: unicode_name, run: () => void navigate({ to: "/dns/$zone", params: { zone: name }, search: { ask: "new" } }) }]
          : []),
      ]),
      { id: "tunnel", group: t("pages.dns"), text: t("dns.tabs.tunnel"), run: () => void navigate({ to: "/dns/tunnel" }) },
      { id: "mail-posture", group: t("pages.dns"), text: t("dns.tabs.mail"), run: () => void navigate({ to: "/dns/mail" }) },
      ...(mayAddDomain ? [{ id: "domain-add", group: t("pages.domains"), text: t("act.mail-domains:apply"), run: () => void navigate({ to: "/domains", search: { ask: "add" } }) }] : []),
      ...restorable(known?.assets ?? []).map((asset) => ({
        id: `restore-${assetKey(asset)}`,
        group: t("backups.restore.verb"),
        text: assetName(asset),
        run: () => void navigate({ to: "/backups/restore", search: { point: asset.point ?? undefined, asset: assetKey(asset) } }),
      })),
      ...THEMES.map((theme) => ({ id: `theme-${theme}`, group: t("preferences.theme"), text: t(`preferences.${theme}`), run: () => setTheme(theme) })),
      ...DENSITIES.map((density) => ({ id: `density-${density}`, group: t("preferences.density"), text: t(`preferences.${density}`), run: () => setDensity(density) })),
      ...LANGUAGES.map((language) => ({
        id: `language-${language}`,
        group: t("preferences.language"),
        text: LANGUAGE_NAMES[language],
        run: () => void setLanguage(language, { isChoice: true }),
      })),
      { id: "help", group: t("palette.help"), text: t("shortcuts.title"), run: onHelp },
      { id: "logout", group: t("pages.account"), text: t("shell.logout"), run: () => void onLogout() },
    ],
    [t, navigate, data, kept, known, dns, assetName, mayBackUp, mayDrill, mayApply, mayRestart, mayChangeDns, mayAddDomain, onHelp, onLogout],
  );
}

/** What can be done with a container by whoever looks. Its dialog asks before anything happens. */
function actsOf(isUp: boolean, mayApply: boolean, mayRestart: boolean): readonly ("start" | "stop" | "restart")[] {
  const acts = isUp ? ([mayRestart && "restart", mayApply && "stop"] as const) : ([mayApply && "start"] as const);
  return acts.filter((act) => act !== false);
}
