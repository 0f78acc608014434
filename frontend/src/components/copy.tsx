import { Check, Copy } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { visible } from "@/lib/hostile-text";

import { IconButton } from "./button";

const SAID_MS = 2_000;

export function CopyButton({ text, label }: { text: string; label?: string }): ReactNode {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), SAID_MS);
  };
  return (
    <IconButton label={copied ? t("common.copied") : (label ?? t("common.copy"))} onClick={() => void copy()}>
      {copied ? <Check size={14} aria-hidden className="text-good" /> : <Copy size={14} aria-hidden />}
    </IconButton>
  );
}

/** The command that does or shows the same from a terminal (ux.md rule 7). */
export function CommandLine({ command }: { command: string }): ReactNode {
  return (
    <div className="flex max-w-full items-center gap-1 rounded border border-line bg-sunken pl-2.5">
      <code className="min-w-0 flex-1 overflow-x-auto py-1 font-mono text-xs whitespace-nowrap" tabIndex={0}>
        {visible(command)}
      </code>
      <CopyButton text={command} />
    </div>
  );
}
