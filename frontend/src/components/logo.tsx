import type { ReactNode } from "react";

export function Logo(): ReactNode {
  return (
    <span className="inline-flex items-center gap-2 text-base font-semibold">
      <img src="/favicon.svg" alt="" width={24} height={24} />
      Homeport
    </span>
  );
}
