import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { Fact } from "@/components/panel";
import { LongText } from "@/components/record-field";
import type records from "@/locales/records/en.json";

/** The parts of a structured record, each by its name in words where it has one. */
export default function RecordParts({ data }: { data: Readonly<Record<string, unknown>> }): ReactNode {
  const { t, i18n } = useTranslation();
  return Object.entries(data).map(([name, value]) => (
    <Fact key={name} name={i18n.exists(`dns.data.${name}`) ? t(`dns.data.${name as keyof typeof records.dns.data}`) : name}>
      <LongText text={String(value)} />
    </Fact>
  ));
}
