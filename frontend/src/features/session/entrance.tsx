/** The frame of the pages before login: the name of the house, the title, one form, language. */

import { useEffect, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Logo } from "@/components/logo";
import { LanguageSwitch } from "@/components/preferences";

export function Entrance({ title, lead, children }: { title: string; lead?: string; children: ReactNode }): ReactNode {
  const { t } = useTranslation();
  useEffect(() => {
    document.title = `${title} · Homeport`;
  }, [title]);
  return (
    <div className="flex min-h-dvh flex-col items-center px-4 pt-[12dvh] pb-8">
      <div className="flex w-full max-w-sm flex-col gap-5">
        <Logo />
        <main className="flex flex-col gap-4 rounded-lg border border-line bg-panel p-5">
          <div className="flex flex-col gap-1">
            <h1 className="text-lg font-semibold">{title}</h1>
            {lead && <p className="text-sm text-muted">{lead}</p>}
          </div>
          {children}
        </main>
        <footer className="flex items-center justify-between text-xs text-muted">
          <span>{t("session.host", { host: location.host })}</span>
          <LanguageSwitch />
        </footer>
      </div>
    </div>
  );
}
