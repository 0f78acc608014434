/** The commands that do the same from a terminal (ux.md rule 7), each ready to be pasted into a shell. */

import type { NewDomainPlan } from "@/api/types.gen";
import { quoted } from "@/lib/shell";

const MAILBOX = "postmaster"; // what the command makes when it is told nothing

export function addCommand({ domain, mailbox, replace_mail, adopt }: NewDomainPlan): string {
  const options = [mailbox && mailbox !== MAILBOX ? ` --mailbox ${quoted(mailbox)}` : "", replace_mail ? " --replace-mail" : "", adopt ? " --adopt" : ""];
  return `homeport domain add ${quoted(domain || "example.org")}${options.join("")}`;
}

export const removeCommand = (domain: string): string => `homeport domain remove ${quoted(domain)}`;
