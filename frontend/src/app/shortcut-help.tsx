import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Dialog } from "@/components/dialog";

import { PAGES } from "./pages";

export default function ShortcutHelp({ onClose }: { onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const keys: readonly (readonly [string, string])[] = [
    ["Ctrl K", t("palette.open")],
    ["?", t("shortcuts.title")],
    ...PAGES.map(({ shortcut, key }) => [shortcut, t(`pages.${key}`)] as const),
    ["/", t("shortcuts.search")],
  ];
  return (
    <Dialog title={t("shortcuts.title")} onClose={onClose}>
      <dl className="grid grid-cols-[max-content_1fr] gap-x-6 gap-y-1.5 text-sm">
        {keys.map(([key, what]) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="rounded border border-line bg-sunken px-1.5 py-0.5 font-mono text-xs">{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
