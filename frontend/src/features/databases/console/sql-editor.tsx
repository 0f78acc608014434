import { useEffect, useEffectEvent, useRef, type ReactNode, type Ref, useImperativeHandle } from "react";
import { useTranslation } from "react-i18next";

import { openEditor, type Editor } from "./editor";
import type { CompletionWords } from "./requests";

export interface SqlEditorHandle {
  goTo: (position: number) => void;
}

/** `fault`: where the statement was refused or failed, in characters from 0. */
export default function SqlEditor({
  ref,
  example,
  value,
  words,
  fault,
  onChange,
  onRun,
}: {
  ref?: Ref<SqlEditorHandle>;
  example: string; // shown while nothing is written
  value: string;
  words: CompletionWords | undefined;
  fault: number | null;
  onChange: (text: string) => void;
  onRun: () => void;
}): ReactNode {
  const { t } = useTranslation();
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor>(null);
  const texts = { label: t("databases.console.statement"), placeholder: example, completions: t("databases.console.completions") };
  const changed = useEffectEvent(onChange);
  const run = useEffectEvent(onRun);
  const open = useEffectEvent((element: HTMLElement) => openEditor(element, { text: value, texts, onChange: (text) => changed(text), onRun: () => run() }));
  useEffect(() => {
    if (!host.current) return undefined;
    const opened = open(host.current);
    editor.current = opened;
    return () => {
      editor.current = null;
      opened.destroy();
    };
  }, []);
  useEffect(() => editor.current?.set(value), [value]);
  useEffect(() => editor.current?.offer(words), [words]);
  useEffect(() => editor.current?.mark(fault), [fault]);
  useEffect(() => editor.current?.describe({ label: texts.label, placeholder: texts.placeholder, completions: texts.completions }), [texts.label, texts.placeholder, texts.completions]);
  useImperativeHandle(ref, () => ({ goTo: (position) => editor.current?.goTo(position) }), []);
  return <div ref={host} className="min-h-32 overflow-hidden" />;
}
