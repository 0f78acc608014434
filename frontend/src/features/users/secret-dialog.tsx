import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CopyButton } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";

/** A secret that is shown once: an invitation's link, a token. */
export function SecretDialog({ title, about, secret, onClose }: { title: string; about: string; secret: string; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  return (
    <Dialog title={title} onClose={onClose}>
      <p className="text-sm">{about}</p>
      <div className="flex items-start gap-1 rounded border border-line bg-sunken pl-2.5">
        <code className="min-w-0 flex-1 py-1.5 font-mono text-xs break-all">{secret}</code>
        <CopyButton text={secret} />
      </div>
      <DialogButtons>
        <Button look="primary" onClick={onClose}>
          {t("common.done")}
        </Button>
      </DialogButtons>
    </Dialog>
  );
}
