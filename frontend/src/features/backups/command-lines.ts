/** The command that does the same from a terminal (ux.md rule 7), ready to be pasted into a shell. */

import type { PreviewRestore } from "@/api/types.gen";
import { quoted } from "@/lib/shell";

import { assetKey } from "./judge";

export const runCommand = (scope: string): string => `homeport backups run${scope === "all" ? "" : ` ${quoted(scope)}`}`;
export const verifyCommand = (point: string): string => `homeport backups verify ${point}`;
export const drillCommand = (asset: string, origin: string): string => `homeport backups drill${asset === "" ? "" : ` ${quoted(asset)}`}${origin === "local" ? "" : ` --origin ${origin}`}`;

export function previewCommand({ point, asset, folder, origin, where }: PreviewRestore): string {
  const more = [
    folder == null ? "" : ` --folder ${folder === "" ? "''" : quoted(folder)}`,
    origin === undefined || origin === "local" ? "" : ` --origin ${origin}`,
    where === "in-place" ? " --in-place" : "",
  ];
  return `homeport backups preview ${point} ${quoted(assetKey(asset))}${more.join("")}`;
}

export const restoreCommand = (preview: string, confirmed: string | null): string => `homeport backups restore ${preview}${confirmed === null ? "" : ` --confirm ${confirmed}`}`;
