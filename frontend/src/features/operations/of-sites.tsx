/** Where to go on from an operation of sites: the report of an update day, or the site that was made. */

import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { buttonLook } from "@/components/button";
import { Panel } from "@/components/panel";
import { visible } from "@/lib/hostile-text";
import type { OperationView } from "@/lib/operations";

export default function OfSites({ operation: { id, act, target, state, detail } }: { operation: OperationView }): ReactNode {
  const { t } = useTranslation();
  if (act === "wordpress:update") {
    return (
      <Panel title={t("wordpress.update.one")}>
        <p className="p-3">
          <Link to="/wordpress/updates/$id" params={{ id }} className={buttonLook()}>
            {t("wordpress.update.toReport")}
          </Link>
        </p>
      </Panel>
    );
  }
  if (act !== "sites:apply" || state === "running") return null;
  const isThere = state === "done" && detail?.["way"] !== "revert" && detail?.["wanted"] !== "remove";
  return (
    <Panel title={t("wordpress.recipe.next")}>
      <div className="flex flex-col items-start gap-2 p-3 text-sm">
        {isThere && detail?.["wanted"] === "add" && <p className="max-w-prose">{t("wordpress.recipe.givePassword")}</p>}
        <span className="flex flex-wrap gap-2">
          {isThere && detail?.["wanted"] === "add" && (
            <Link to="/wordpress/sites/$site" params={{ site: target }} search={{ tab: "users" }} className={buttonLook("primary")}>
              {t("wordpress.user.reset")}
            </Link>
          )}
          {isThere ? (
            <Link to="/wordpress/sites/$site" params={{ site: target }} className={buttonLook()}>
              {t("wordpress.recipe.toSite", { site: visible(target) })}
            </Link>
          ) : (
            <Link to="/wordpress" className={buttonLook()}>
              {t("wordpress.recipe.toSites")}
            </Link>
          )}
        </span>
      </div>
    </Panel>
  );
}
