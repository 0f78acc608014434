import { useId, type ReactNode } from "react";

interface Choice<T> {
  value: T;
  text: string;
  hint: string | null;
  isPossible: boolean;
}

/** One of a few, all of them in sight with what each means. */
export function Choices<T extends string>({ label, value, choices, onChoose }: { label: string; value: T; choices: readonly Choice<T>[]; onChoose: (value: T) => void }): ReactNode {
  const name = useId();
  return (
    <fieldset className="flex flex-col gap-1">
      <legend className="pb-1 text-sm font-medium">{label}</legend>
      {choices.map((choice) => (
        <label
          key={choice.value}
          className="target flex items-start gap-2 rounded border border-line px-2.5 py-1.5 text-sm has-checked:border-accent has-checked:bg-accent/8 has-disabled:cursor-not-allowed has-disabled:text-muted"
        >
          <input
            type="radio"
            name={name}
            value={choice.value}
            checked={choice.value === value}
            disabled={!choice.isPossible}
            onChange={() => onChoose(choice.value)}
            className="mt-0.5 size-4 shrink-0 accent-accent"
          />
          <span>
            {choice.text}
            {choice.hint && <span className="block text-xs text-muted">{choice.hint}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}
