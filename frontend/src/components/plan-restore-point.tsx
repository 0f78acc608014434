import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import type { Plan } from "@/lib/plans";

import { Status } from "./status";

/** What has no way back of its own: the restore point that is made first, or that none can be made, which is to be said. */
export default function PlanRestorePoint({
  restorePoint,
  isWithout,
  onWithout,
}: {
  restorePoint: NonNullable<Plan["restore_point"]>;
  isWithout: boolean;
  onWithout: (isWithout: boolean) => void;
}): ReactNode {
  const { t } = useTranslation();
  if (restorePoint === "not-needed") return null;
  if (restorePoint === "first") return <p className="text-muted">{t("wordpress.point.first")}</p>;
  return (
    <div className="flex flex-col gap-1.5 rounded border border-l-4 border-line border-l-warn px-3 py-2">
      <Status tone="warn" wraps>
        {t("wordpress.point.none")}
      </Status>
      <label className="flex items-center gap-2">
        <input type="checkbox" className="size-4 accent-accent" checked={isWithout} onChange={(event) => onWithout(event.target.checked)} />
        {t("wordpress.point.without")}
      </label>
    </div>
  );
}
