import type { ReactNode } from "react";

import type { RecordProblem } from "@/api/types.gen";
import { useRecordProblemText } from "@/lib/record-problem";

import { Status } from "./status";

/** What is to be said of a record, or of lines of a file: errors and warnings, each a sentence. */
export default function RecordProblems({ problems }: { problems: readonly RecordProblem[] }): ReactNode {
  const textOf = useRecordProblemText();
  return (
    <ul className="flex max-h-64 flex-col gap-0.5 overflow-y-auto text-[0.8125rem]">
      {problems.map((problem, index) => (
        // Several lines of a file may have the same fault.
        // oxlint-disable-next-line react/no-array-index-key
        <li key={`${problem.code} ${problem.field} ${index}`}>
          <Status tone={problem.severity === "error" ? "bad" : "warn"} wraps>
            {lineOf(problem)}
            <span className="quoted">{textOf(problem)}</span>
          </Status>
        </li>
      ))}
    </ul>
  );
}

/** Where in a file, as "12: " */
function lineOf({ code, params, field }: RecordProblem): string {
  if (code.startsWith("line-")) return ""; // its sentence says it
  const line = params["line"];
  return typeof line === "number" || (typeof line === "string" && line !== "") ? `${line}: ` : /^line \d+$/.test(field) ? `${field.slice(5)}: ` : "";
}
