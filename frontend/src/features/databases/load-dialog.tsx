/** Load a dump: a file of this computer, or one that the portal keeps. What the database holds is dumped before. */

import { useQuery } from "@tanstack/react-query";
import { useRef, useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Button } from "@/components/button";
import { CommandLine } from "@/components/copy";
import { Dialog, DialogButtons } from "@/components/dialog";
import { SelectField, TextField } from "@/components/field";
import { InlineError } from "@/components/states";
import { toast } from "@/components/toast";
import { useAct } from "@/lib/act";
import { absoluteTime, bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";
import { OPERATIONS } from "@/lib/operations";

import { loadCommand } from "./command-lines";
import { DATABASES, dumpsQuery, loadDump, type DatabaseView } from "./requests";
import { upload } from "./upload";

export default function LoadDialog({ view, onClose }: { view: DatabaseView; onClose: () => void }): ReactNode {
  const { t } = useTranslation();
  const { server, database: summary } = view;
  const name = summary.name;
  const { data } = useQuery(dumpsQuery);
  const [file, setFile] = useState<File | null>(null);
  const [kept, setKept] = useState<string | null>(null);
  const [typed, setTyped] = useState("");
  const [sent, setSent] = useState<number | null>(null);
  const sending = useRef<AbortController>(null);
  const sentOnce = useRef<{ file: File; id: string }>(null); // a refusal after it does not send it again
  const cancel = useRef<HTMLButtonElement>(null);
  const needsName = view.tables.length > 0;
  const load = useAct(
    async () => {
      if (kept !== null) return loadDump(server, name, { dump: kept }, typed);
      if (file === null) throw new Error("nothing is chosen");
      if (sentOnce.current?.file !== file) {
        sending.current = new AbortController();
        setSent(0);
        try {
          sentOnce.current = { file, id: await upload(file, sending.current.signal, setSent) };
        } finally {
          setSent(null);
        }
      }
      return loadDump(server, name, { upload: sentOnce.current.id }, typed);
    },
    {
      refreshes: [DATABASES, OPERATIONS],
      onDone: () => {
        toast(t("databases.load.begun"));
        onClose();
      },
    },
  );
  const close = (): void => {
    sending.current?.abort();
    onClose();
  };
  const isReady = (kept !== null || file !== null) && (!needsName || typed === name);
  return (
    <Dialog title={t("databases.load.title", { name: visible(name) })} onClose={close} initialFocus={cancel}>
      <form
        className="flex flex-col gap-4 text-sm"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !load.isPending) load.mutate();
        }}
      >
        <SelectField label={t("databases.load.from")} value={kept ?? ""} onChange={(event) => setKept(event.target.value || null)}>
          <option value="">{t("databases.load.file")}</option>
          {(data?.dumps ?? []).map((each) => (
            <option key={each.id} value={each.id}>
              {visible(`${each.server}/${each.database}`)} · {absoluteTime(each.made_at, { zone: false })} · {bytes(each.bytes)}
            </option>
          ))}
        </SelectField>
        {kept === null && <TextField type="file" label={t("databases.load.fileLabel")} hint={t("databases.load.fileHint")} accept=".sql,.gz,.zst" onChange={(event) => setFile(event.target.files?.[0] ?? null)} />}
        <p className={needsName ? "rounded border-l-4 border-warn bg-sunken px-3 py-2" : "text-muted"}>{t(needsName ? "databases.load.replaces" : "databases.load.into", { count: summary.tables })}</p>
        {needsName && <TextField label={t("confirm.typeName", { name: visible(name) })} autoCapitalize="none" spellCheck={false} value={typed} onChange={(event) => setTyped(event.target.value)} />}
        {sent !== null && file !== null && (
          <p className="flex items-center gap-2">
            <progress value={sent} max={Math.max(file.size, 1)} aria-label={t("databases.load.sending")} className="h-1.5 w-40 accent-accent" />
            <span className="text-xs text-muted">
              {bytes(sent)} / {bytes(file.size)}
            </span>
          </p>
        )}
        <CommandLine command={loadCommand(server, name, file?.name ?? null, kept)} />
        {load.error && <InlineError error={load.error} />}
        <DialogButtons>
          <Button ref={cancel} onClick={close}>
            {t("common.cancel")}
          </Button>
          <Button type="submit" look={needsName ? "danger" : "primary"} disabled={!isReady} busy={load.isPending}>
            {t("databases.load.verb")}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  );
}
