import type { ReactNode } from "react";

import { visible } from "@/lib/hostile-text";

/** Text that came from outside: a text node, its direction isolated, its control characters visible. */
export function Quoted({ children, mono = false }: { children: string; mono?: boolean }): ReactNode {
  return (
    <bdi dir="auto" className={mono ? "quoted font-mono text-[0.92em]" : "quoted"}>
      {visible(children)}
    </bdi>
  );
}
