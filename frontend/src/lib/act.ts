/** An act of the user's: done once at a time, with step-up where the portal asks for it. Errors stay with the caller. */

import { useMutation, useQueryClient, type QueryKey, type UseMutationResult } from "@tanstack/react-query";

import { StepUpDismissed, useStepUp } from "./step-up";

/**
 * run        does it
 * refreshes  keys of the queries whose data it changes
 * onDone     called with what `run` returned; not when the user has closed the step-up dialog
 */
export function useAct<V = void, T = unknown>(
  run: (variables: V) => Promise<T>,
  { refreshes = [], onDone }: { refreshes?: readonly QueryKey[]; onDone?: (result: T, variables: V) => void } = {},
): UseMutationResult<T | null, Error, V> {
  const client = useQueryClient();
  const withStepUp = useStepUp();
  return useMutation<T | null, Error, V>({
    mutationFn: async (variables) => {
      try {
        const result = await withStepUp(() => run(variables));
        await Promise.all(refreshes.map((queryKey) => client.invalidateQueries({ queryKey })));
        onDone?.(result, variables);
        return result;
      } catch (error) {
        if (error instanceof StepUpDismissed) return null;
        throw error;
      }
    },
  });
}
