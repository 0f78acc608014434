import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Quoted } from "@/components/quoted";
import { Status, type Tone } from "@/components/status";
import { visible } from "@/lib/hostile-text";

import type { SiteRecipeStep } from "../requests";

const TONES: Readonly<Record<SiteRecipeStep["state"], Tone>> = { todo: "idle", begun: "running", undoing: "running", done: "good", undone: "warn" };

/** The steps of a recipe, in their order. A name that is not known yet is shown as it came. */
export function Steps({ steps }: { steps: readonly SiteRecipeStep[] }): ReactNode {
  const { t, i18n } = useTranslation();
  return (
    <ol aria-label={t("wordpress.recipe.steps")} className="flex flex-col gap-1">
      {steps.map(({ name, state, detail }) => {
        const key = `wordpress.recipe.step.${name}`;
        return (
          <li key={name} className="flex flex-wrap items-baseline gap-x-3">
            <span className="font-medium">{i18n.exists(key) ? t(key as "wordpress.recipe.step.row") : visible(name)}</span>
            <Status tone={TONES[state]}>{t(`wordpress.recipe.stepState.${state}`)}</Status>
            {detail && (
              <span lang="en" className="text-muted">
                <Quoted>{detail}</Quoted>
              </span>
            )}
          </li>
        );
      })}
    </ol>
  );
}
