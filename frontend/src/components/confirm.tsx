/**
 * "Do you mean it?" for acts that destroy or interrupt: says what will happen, begins on Cancel, asks for the typed name
 * where the policy table does. Closes when the act is done; an error stays in the dialog.
 */

import type { UseMutationResult } from "@tanstack/react-query";
import { useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "./button";
import { Dialog, DialogButtons } from "./dialog";
import { TextField } from "./field";
import { InlineError } from "./states";

export interface Confirmed {
  typedName: string | null;
}

export function Confirm({
  title,
  verb,
  children,
  typedName = null,
  isReady = true,
  act,
  onConfirm,
  onClose,
  isDangerous = true,
}: {
  title: string;
  verb: string;
  children: ReactNode;
  typedName?: string | null; // the name that has to be typed
  isReady?: boolean; // whether what the children ask for has been given
  act: Pick<UseMutationResult<unknown, Error, never>, "isPending" | "error">;
  onConfirm: () => void;
  onClose: () => void;
  isDangerous?: boolean;
}): ReactNode {
  const { t } = useTranslation();
  const cancel = useRef<HTMLButtonElement>(null);
  const [typed, setTyped] = useState("");
  const matches = typedName === null || typed === typedName;
  return (
    <Dialog title={title} onClose={onClose} initialFocus={cancel}>
      <form
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          if (matches && isReady && !act.isPending) onConfirm();
        }}
      >
        <div className="flex flex-col gap-3 text-sm">{children}</div>
        {typedName !== null && (
          <TextField label={t("confirm.typeName", { name: typedName })} autoCapitalize="none" spellCheck={false} value={typed} onChange={(event) => setTyped(event.target.value)} />
        )}
        {act.error && <InlineError error={act.error} />}
        <DialogButtons>
          <Button ref={cancel} onClick={onClose}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" look={isDangerous ? "danger" : "primary"} disabled={!matches || !isReady} busy={act.isPending}>
            {verb}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
