/** What came of a piece of work, member by member: those that have a name here, in their own units. */

import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { bytes, duration } from "@/lib/format";

import { CommandLine } from "./copy";
import { Fact, Facts, Panel } from "./panel";
import { Quoted } from "./quoted";
import { Status } from "./status";

/** In the order in which they are shown; whatever else a result has is shown by its own room. */
const MEMBERS = ["point", "verified", "target", "files", "bytes", "new_bytes", "seconds", "not_scanned", "safety_copy", "undo", "damage", "damaged", "drills"] as const;
type Member = (typeof MEMBERS)[number];

export function OperationResult({ result }: { result: unknown }): ReactNode {
  const { t } = useTranslation();
  const members = membersOf(result);
  if (members.length === 0) return null;
  return (
    <Panel title={t("operations.result.title")}>
      <Facts>
        {members.map(([name, value]) => (
          <Fact key={name} name={t(`operations.result.${name}`)}>
            <Value name={name} value={value} />
          </Fact>
        ))}
      </Facts>
    </Panel>
  );
}

/** Given what an operation returned, the named members that say something, in order. */
export function membersOf(result: unknown): [Member, unknown][] {
  if (typeof result !== "object" || result === null) return [];
  const record = result as Readonly<Record<string, unknown>>;
  return MEMBERS.filter((name) => record[name] !== undefined && record[name] !== null && record[name] !== "").map((name) => [name, record[name]]);
}

function Value({ name, value }: { name: Member; value: unknown }): ReactNode {
  const { t } = useTranslation();
  if (typeof value === "number") return name === "bytes" || name === "new_bytes" ? bytes(value) : name === "seconds" ? duration(value) : name === "not_scanned" && value > 0 ? <Status tone="warn">{value}</Status> : value;
  if (typeof value === "boolean") return <Status tone={value ? "good" : "bad"}>{t(value ? "common.yes" : "common.no")}</Status>;
  if (name === "undo" && typeof value === "string") return <CommandLine command={value} />;
  if (name === "drills" && Array.isArray(value)) return <Drills drills={value as Drill[]} />;
  if (Array.isArray(value)) {
    if (value.length === 0) return <Status tone="good">{t("operations.result.none")}</Status>;
    return (
      <ul>
        {value.map((each) => (
          <li key={JSON.stringify(each)} className="text-bad">
            <Quoted mono>{typeof each === "string" ? each : JSON.stringify(each)}</Quoted>
          </li>
        ))}
      </ul>
    );
  }
  return <Quoted mono>{typeof value === "string" ? value : JSON.stringify(value)}</Quoted>;
}

interface Drill {
  asset_kind: string;
  asset: string;
  ok: boolean;
  seconds: number;
  detail: string;
}

function Drills({ drills }: { drills: readonly Drill[] }): ReactNode {
  return (
    <ul className="flex flex-col gap-1.5">
      {drills.map(({ asset_kind, asset, ok, seconds, detail }) => (
        <li key={`${asset_kind} ${asset}`}>
          <Status tone={ok ? "good" : "bad"}>
            <Quoted>{`${asset_kind} ${asset}`}</Quoted>
          </Status>{" "}
          <span className="text-muted">{duration(seconds)}</span>
          {detail && (
            <span lang="en" className="block text-xs text-muted">
              <Quoted>{detail}</Quoted>
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}
