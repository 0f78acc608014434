/** One value of a row: NULL is not the empty text, bytes are not text, and what is cut says how long it is. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { bytes } from "@/lib/format";
import { visible } from "@/lib/hostile-text";

import type { Cell as Value } from "./requests";

const SHORT = 24; // characters that stand on one line: dates, words, keys
const MAX_CHARACTERS = 300; // that a table shows; the whole is in the title, and in what is copied

/** `kind`: of the column, where it is known. `length`: of the whole value, when only its beginning is here. */
export function CellValue({ value, kind, length = null }: { value: Value; kind?: string; length?: number | null }): ReactNode {
  const { t } = useTranslation();
  if (value === null) return <span className="rounded bg-sunken px-1 text-xs text-muted">NULL</span>;
  if (typeof value === "object") return <CellValue value={value.shown} kind={value.kind} length={value.length} />;
  if (typeof value === "boolean") return value ? "true" : "false";
  const text = String(value);
  if (text === "" && (length ?? 0) === 0) return <span className="text-xs text-muted">{t("databases.cell.empty")}</span>;
  const isBytes = kind === "bytes";
  const shown = text.length > MAX_CHARACTERS ? `${text.slice(0, MAX_CHARACTERS)}…` : text;
  return (
    <>
      <bdi dir="auto" title={shown === text ? undefined : visible(text.slice(0, 4_000))} className={`quoted line-clamp-3 ${text.length <= SHORT && !text.includes("\n") ? "whitespace-pre" : "min-w-44 whitespace-pre-wrap"} ${isBytes ? "font-mono text-[0.92em]" : ""}`}>
        {isBytes && <span className="text-muted">0x</span>}
        {visible(shown, "\n\t")}
      </bdi>
      {length !== null && length > (isBytes ? text.length / 2 : text.length) && (
        <span className="block text-xs text-muted">{isBytes ? t("databases.cell.cutBytes", { size: bytes(length) }) : t("databases.cell.cut", { count: length })}</span>
      )}
    </>
  );
}

const NUMBERS: ReadonlySet<string> = new Set(["integer", "decimal", "float"]);

/** Numbers stand at the right, whether JSON can hold them or not. */
export const isNumeric = (kind: string): boolean => NUMBERS.has(kind);
