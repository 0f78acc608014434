/**
 * The frame around every page: navigation, the bar above, what runs, and whether the page is live. On a phone the
 * navigation is a bar at the bottom.
 */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet } from "@tanstack/react-router";
import { Ellipsis, LogOut, PanelLeft, Search, WifiOff } from "lucide-react";
import { lazy, Suspense, useEffect, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button, IconButton } from "@/components/button";
import { Logo } from "@/components/logo";
import { LanguageSwitch, ThemeSwitch } from "@/components/preferences";
import { Skeleton } from "@/components/states";
import { RunningOperations } from "@/features/operations/running";
import { policyQuery, sessionQuery, type SessionView } from "@/lib/session";
import { logout } from "@/features/session/requests";
import { useEventStream, useStreamState } from "@/lib/events";
import { withTexts } from "@/lib/language";

import { PAGES } from "./pages";
import { useShortcuts } from "./shortcuts";

const importPalette = (): Promise<typeof import("./palette")> => withTexts(import("./palette"), "backups", "databases", "dns", "records", "mail", "wordpress", "sites");
const Palette = lazy(importPalette);
const ShortcutHelp = lazy(() => import("./shortcut-help"));

const IN_BOTTOM_BAR = 4;
const BOTTOM_BAR_ITEM =
  "flex min-h-14 min-w-0 flex-1 flex-col items-center justify-center gap-0.5 px-1 text-[0.6875rem] whitespace-nowrap text-muted aria-[current=page]:font-medium aria-[current=page]:text-accent";
const PALETTE_AFTER_MS = 1_500; // the first load comes first
const LOST_AFTER_MS = 4_000; // a restart of the portal takes less, and is nobody's worry

export function Shell({ session }: { session: SessionView }): ReactNode {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [open, setOpen] = useState<"palette" | "help" | null>(null);
  const [narrow, setNarrow] = useState(false);
  const stream = useEventStream(
    () => void client.invalidateQueries(),
    () => void client.invalidateQueries({ queryKey: sessionQuery.queryKey }),
  );
  const policy = useQuery(policyQuery);
  useShortcuts(setOpen);
  useEffect(() => {
    // So that no key is lost when it opens, and that what the rooms' texts name is called by its name on every page.
    const soon = setTimeout(() => void importPalette(), PALETTE_AFTER_MS);
    return () => clearTimeout(soon);
  }, []);
  const leave = async (): Promise<void> => {
    await logout().catch(() => undefined); // whatever it answered, the session document says what is true now
    await client.invalidateQueries({ queryKey: sessionQuery.queryKey });
  };
  return (
    <div className={`grid min-h-dvh grid-rows-[auto_1fr] md:grid-rows-[1fr] ${narrow ? "md:grid-cols-[3.25rem_1fr]" : "md:grid-cols-[13rem_1fr]"}`}>
      <a href="#main" className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded focus:bg-panel focus:p-2">
        {t("shell.skip")}
      </a>
      <aside className="sticky top-0 hidden h-dvh flex-col gap-4 border-r border-line bg-panel px-2 py-3 md:flex">
        <div className={`flex items-center ${narrow ? "justify-center" : "justify-between pl-1.5"}`}>
          {!narrow && <Logo />}
          <IconButton label={t(narrow ? "shell.widen" : "shell.narrow")} aria-expanded={!narrow} onClick={() => setNarrow(!narrow)}>
            <PanelLeft size={16} aria-hidden />
          </IconButton>
        </div>
        <Navigation narrow={narrow} />
        <div className="mt-auto flex flex-col gap-1 border-t border-line pt-3">
          {!narrow && session.user && (
            <p className="px-1.5 text-xs">
              <bdi className="quoted font-medium">{session.user.name}</bdi>
              <span className="text-muted"> · {t(`role.${session.user.role}`)}</span>
            </p>
          )}
          <div className={narrow ? "flex flex-col items-center gap-1" : "flex items-center gap-1"}>
            <ThemeSwitch />
            {!narrow && <LanguageSwitch />}
            <IconButton label={t("shell.logout")} className={narrow ? "" : "ml-auto"} onClick={() => void leave()}>
              <LogOut size={16} aria-hidden />
            </IconButton>
          </div>
        </div>
      </aside>
      <div className="flex min-w-0 flex-col pb-16 md:pb-0">
        <header className="sticky top-0 z-20 flex min-h-12 items-center gap-2 border-b border-line bg-panel/95 px-3 py-1.5 backdrop-blur sm:px-5">
          <div className="md:hidden">
            <Logo />
          </div>
          <Button onClick={() => setOpen("palette")} className="ml-auto text-muted md:ml-0 md:min-w-64 md:justify-between" aria-haspopup="dialog" aria-keyshortcuts="Control+K">
            <span className="inline-flex items-center gap-1.5">
              <Search size={15} aria-hidden />
              {/* the words stay for whoever listens, also where there is no room to show them */}
              <span className="sr-only sm:not-sr-only">{t("palette.open")}</span>
            </span>
            <kbd className="hidden text-xs md:inline">Ctrl K</kbd>
          </Button>
          <div className="flex items-center gap-2 md:ml-auto">
            <RunningOperations />
          </div>
          <div className="flex items-center md:hidden">
            <ThemeSwitch />
            <IconButton label={t("shell.logout")} onClick={() => void leave()}>
              <LogOut size={16} aria-hidden />
            </IconButton>
          </div>
        </header>
        {session.is_demo && <p className="border-b border-line bg-sunken px-3 py-1.5 text-sm text-warn sm:px-5">{t("shell.demo")}</p>}
        <StreamBanner stream={stream} />
        <main id="main" tabIndex={-1} className="min-w-0 flex-1 scroll-mt-14 outline-none">
          <Suspense fallback={<Skeleton />}>
            {policy.isPending ? <Skeleton /> : <Outlet />}
          </Suspense>
        </main>
      </div>
      <BottomBar onMore={() => setOpen("palette")} />
      <Suspense>
        {open === "palette" && <Palette onClose={() => setOpen(null)} onHelp={() => setOpen("help")} onLogout={leave} />}
        {open === "help" && <ShortcutHelp onClose={() => setOpen(null)} />}
      </Suspense>
    </div>
  );
}

function Navigation({ narrow }: { narrow: boolean }): ReactNode {
  const { t } = useTranslation();
  return (
    <nav aria-label={t("shell.navigation")} className="flex flex-col gap-0.5">
      {PAGES.map(({ path, key, icon: Icon }) => (
        <Link
          key={path}
          to={path}
          activeOptions={{ exact: path === "/" }}
          title={narrow ? t(`pages.${key}`) : undefined}
          className="target flex items-center gap-2.5 rounded px-2 py-1 text-muted hover:bg-sunken hover:text-ink aria-[current=page]:bg-accent/12 aria-[current=page]:font-medium aria-[current=page]:text-ink"
        >
          <Icon size={16} aria-hidden className="shrink-0" />
          <span className={narrow ? "sr-only" : ""}>{t(`pages.${key}`)}</span>
        </Link>
      ))}
    </nav>
  );
}

/** What is used most, and the palette for the rest: it has every page. */
function BottomBar({ onMore }: { onMore: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <nav
      aria-label={t("shell.navigation")}
      className="fixed inset-x-0 bottom-0 z-20 flex border-t border-line bg-panel pb-[env(safe-area-inset-bottom)] md:hidden"
    >
      {PAGES.slice(0, IN_BOTTOM_BAR).map(({ path, key, icon: Icon }) => (
        <Link key={path} to={path} activeOptions={{ exact: path === "/" }} className={BOTTOM_BAR_ITEM}>
          <Icon size={18} aria-hidden />
          {t(`pages.${key}`)}
        </Link>
      ))}
      <button type="button" aria-haspopup="dialog" onClick={onMore} className={BOTTOM_BAR_ITEM}>
        <Ellipsis size={18} aria-hidden />
        {t("shell.more")}
      </button>
    </nav>
  );
}

function StreamBanner({ stream }: { stream: ReturnType<typeof useEventStream> }): ReactNode {
  const { t } = useTranslation();
  const isLost = useStreamState(stream) === "lost";
  const [shown, setShown] = useState(false);
  useEffect(() => {
    if (!isLost) {
      setShown(false);
      return;
    }
    const timer = setTimeout(() => setShown(true), LOST_AFTER_MS);
    return () => clearTimeout(timer);
  }, [isLost]);
  return (
    <div role="status">
      {shown && (
        <p className="flex items-center gap-2 border-b border-line bg-sunken px-3 py-1.5 text-sm text-warn sm:px-5">
          <WifiOff size={15} aria-hidden />
          {t("shell.streamLost")}
        </p>
      )}
    </div>
  );
}
