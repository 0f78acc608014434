import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { useAct } from "@/lib/act";
import { cancelOperation, OPERATIONS, type OperationView } from "@/lib/operations";
import { usePermission } from "@/lib/permission";

import { Button } from "./button";
import { Confirm } from "./confirm";

/** Ends the work of an operation that runs. `children`: what that leaves behind; by itself that what is done stays done. */
export function CancelOperation({ operation, children }: { operation: OperationView; children?: ReactNode }): ReactNode {
  const { t } = useTranslation();
  const permission = usePermission("operations:cancel");
  const [asked, setAsked] = useState(false);
  const cancel = useAct(() => cancelOperation(operation.id), { refreshes: [OPERATIONS], onDone: () => setAsked(false) });
  if (operation.state !== "running" || operation.cancelled_by !== null) return null;
  return (
    <>
      <Button
        disabled={!permission.isPermitted}
        title={permission.isPermitted || !permission.role ? undefined : t("common.needsRole", { role: t(`role.${permission.role}`) })}
        onClick={() => setAsked(true)}
      >
        {t("operations.cancel")}
      </Button>
      {asked && (
        <Confirm title={t("operations.cancel")} verb={t("operations.cancel")} act={cancel} onConfirm={() => cancel.mutate()} onClose={() => setAsked(false)}>
          <p>{children ?? t("operations.cancelLeaves")}</p>
        </Confirm>
      )}
    </>
  );
}
