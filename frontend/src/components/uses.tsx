/** What suffers while something is not there, the gravest first; and which rooms could not say. */

import { useTranslation } from "react-i18next";
import type { ReactNode } from "react";

import type { Use } from "@/lib/plans";
import type en from "@/locales/en.json";

import { Quoted } from "./quoted";

export function Uses({ uses, silentRooms = [] }: { uses: readonly Use[]; silentRooms?: readonly string[] }): ReactNode {
  const { t } = useTranslation();
  return (
    <>
      {uses.length > 0 && (
        <ul className="list-disc pl-5">
          {uses.map((use) => (
            <li key={`${use.kind} ${use.name} ${use.why}`} className={use.why === "goes-dark" ? "font-medium" : ""}>
              <UseText use={use} />
            </li>
          ))}
        </ul>
      )}
      {silentRooms.length > 0 && <p className="text-warn">{t("uses.silent", { rooms: silentRooms.join(t("common.listSeparator")) })}</p>}
    </>
  );
}

function UseText({ use: { name, why } }: { use: Use }): ReactNode {
  const { t, i18n } = useTranslation();
  if (why === "goes-dark") return i18n.exists(`dark.${name}`) ? t(`dark.${name as keyof typeof en.dark}`) : <Quoted>{name}</Quoted>;
  return (
    <>
      <Quoted>{name}</Quoted>
      {i18n.exists(`uses.why.${why}`) && <span className="text-muted"> · {t(`uses.why.${why as keyof typeof en.uses.why}`)}</span>}
    </>
  );
}
