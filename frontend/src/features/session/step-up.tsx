/** Asks for a fresh factor in a dialog (lib/step-up.ts), whichever screen needs it. */

import { lazy, Suspense, useCallback, useState, type ReactNode } from "react";

import type { Factor } from "@/lib/session";
import { Ask } from "@/lib/step-up";

const StepUpDialog = lazy(() => import("./step-up-dialog"));

interface Asked {
  factors: readonly Factor[];
  answer: (isProved: boolean) => void;
}

export function StepUpProvider({ children }: { children: ReactNode }): ReactNode {
  const [asked, setAsked] = useState<Asked | null>(null);
  const ask = useCallback(
    (factors: readonly Factor[]) =>
      new Promise<boolean>((resolve) => {
        setAsked({
          factors,
          answer: (isProved) => {
            setAsked(null);
            resolve(isProved);
          },
        });
      }),
    [],
  );
  return (
    <Ask value={ask}>
      {children}
      {asked && (
        <Suspense>
          <StepUpDialog factors={asked.factors} onAnswer={asked.answer} />
        </Suspense>
      )}
    </Ask>
  );
}
