import { ShieldAlert } from "lucide-react";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

/** What stops while a protected container is down. */
export function GoesDark({ codes }: { codes: readonly string[] }): ReactNode {
  const { t, i18n } = useTranslation();
  return (
    <div className="rounded border-l-4 border-warn bg-sunken px-3 py-2">
      <p className="flex items-center gap-1.5 font-medium">
        <ShieldAlert size={15} aria-hidden className="text-warn" />
        {t("containers.goesDark")}
      </p>
      <ul className="list-disc pl-6">
        {codes.map((code) => (
          <li key={code}>{i18n.exists(`dark.${code}`) ? t(`dark.${code as "websites"}`) : code}</li>
        ))}
      </ul>
    </div>
  );
}
