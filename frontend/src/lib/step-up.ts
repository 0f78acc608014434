/**
 * Step-up: when the portal refuses an act because no factor was proved within the last minutes, whoever provides `Ask`
 * asks for one, and the same act is done again. Screens only see its end.
 */

import { createContext, useContext, useMemo } from "react";

import { isProblem, type Problem } from "./problem";
import type { Factor } from "./session";

/** Asks for one of these factors; true once it was proved. */
export const Ask = createContext<(factors: readonly Factor[]) => Promise<boolean>>(() => Promise.resolve(false));

/** The user has closed the step-up dialog: the act did not happen, and nobody needs to be told. */
export class StepUpDismissed extends Error {}

export function useStepUp(): <T>(run: () => Promise<T>) => Promise<T> {
  const ask = useContext(Ask);
  return useMemo(
    () =>
      async <T>(run: () => Promise<T>): Promise<T> => {
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
