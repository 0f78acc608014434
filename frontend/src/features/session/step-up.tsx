/**
 * Step-up: when the portal refuses an act because no factor was proved within the last minutes, the dialog asks for
 * one, and the same act is done again. Screens only see its end.
 */

import { KeyRound } from "lucide-react";
import { createContext, lazy, Suspense, useCallback, useContext, useMemo, useState, type ReactNode } from "react";

import { isProblem, Problem } from "@/lib/problem";

import type { Factor } from "./requests";

const StepUpDialog = lazy(() => import("./step-up-dialog"));

export const StepUpIcon = KeyRound;

interface Asked {
  factors: readonly Factor[];
  answer: (isProved: boolean) => void;
}

const Ask = createContext<(factors: readonly Factor[]) => Promise<boolean>>(() => Promise.resolve(false));

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

/** The user has closed the step-up dialog: the act did not happen, and nobody needs to be told. */
export class StepUpDismissed extends Error {}

export function useStepUp(): <T>(run: () => Promise<T>) => Promise<T> {
  const ask = useContext(Ask);
  return useMemo(
    () =>
      async <T,>(run: () => Promise<T>): Promise<T> => {
        try {
          return await run();
        } catch (error) {
          if (!isProblem(error, "step-up-required")) throw error;
          if (!(await ask(factorsOf(error)))) throw new StepUpDismissed();
          return run();
        }
      },
    [ask],
  );
}

function factorsOf(problem: Problem): readonly Factor[] {
  const factors = problem.members["factors"];
  return Array.isArray(factors) && factors.length > 0 ? (factors as Factor[]) : ["password"];
}
