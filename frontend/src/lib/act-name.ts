import { useTranslation } from "react-i18next";

import type { OperationView } from "@/api/types.gen";
import type en from "@/locales/en.json";

import { visible } from "./hostile-text";
import { changesOf, roomOf } from "./plans";

/** What an act is called; one that has no name yet shows the policy table's own. */
export function useActName(): (act: string) => string {
  const { t, i18n } = useTranslation();
  return (act) => (i18n.exists(`act.${act}`) ? t(`act.${act as keyof typeof en.act}`) : act);
}

const NAMED = 3;

/** What an operation does, and to what. One that applies a plan is called after what the plan changes. */
export function useOperationName(): (operation: Pick<OperationView, "act" | "target" | "detail">) => { act: string; target: string } {
  const { t, i18n } = useTranslation();
  const actName = useActName();
  return (operation) => {
    const word = `operations.targets.${operation.target}`; // what is no thing's name
    if (operation.act.startsWith("backups:") && i18n.exists(word)) return { act: actName(operation.act), target: t(`operations.targets.${operation.target as keyof typeof en.operations.targets}`) };
    const changes = changesOf(operation);
    const room = roomOf(operation.act);
    if (!room || !changes || changes.length === 0) return { act: actName(operation.act), target: visible(operation.target) };
    const names = [...new Set(changes.map(({ name }) => room.nameOf?.(name) ?? name))]; // of one name there may be several
    const target = names.slice(0, NAMED).map((name) => visible(name)).join(t("common.listSeparator"));
    return { act: actName(room.actOf(changes)), target: names.length > NAMED ? t("plan.andMore", { names: target, count: names.length - NAMED }) : target };
  };
}
