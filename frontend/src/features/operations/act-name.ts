import { useTranslation } from "react-i18next";

import type en from "@/locales/en.json";

/** What an act is called; one that has no name yet shows the policy table's own. */
export function useActName(): (act: string) => string {
  const { t, i18n } = useTranslation();
  return (act) => (i18n.exists(`act.${act}`) ? t(`act.${act as keyof typeof en.act}`) : act);
}
