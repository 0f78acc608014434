import { useId, type ComponentProps, type ReactNode } from "react";

const CONTROL = "target w-full rounded border border-edge bg-panel px-2 py-1 text-sm placeholder:text-muted aria-invalid:border-bad";

interface Frame {
  label: string;
  hint?: ReactNode;
  error?: string | null;
}

function Frame({ id, label, hint, error, children }: Frame & { id: string; children: ReactNode }): ReactNode {
  return (
    <div className="flex flex-col gap-1">
      <label htmlFor={id} className="text-sm font-medium">
        {label}
      </label>
      {children}
      {hint && (
        <p id={`${id}-hint`} className="text-xs text-muted">
          {hint}
        </p>
      )}
      {error && (
        <p id={`${id}-error`} className="text-xs text-bad">
          {error}
        </p>
      )}
    </div>
  );
}

const describedBy = (id: string, { hint, error }: Omit<Frame, "label">): string | undefined =>
  [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;

export function TextField({ label, hint, error, ...rest }: Frame & ComponentProps<"input">): ReactNode {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} error={error}>
      <input id={id} autoComplete="off" {...rest} aria-invalid={error ? true : undefined} aria-describedby={describedBy(id, { hint, error })} className={CONTROL} />
    </Frame>
  );
}

export function SelectField({ label, hint, error, children, ...rest }: Frame & ComponentProps<"select">): ReactNode {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} error={error}>
      <select id={id} {...rest} aria-describedby={describedBy(id, { hint, error })} className={CONTROL}>
        {children}
      </select>
    </Frame>
  );
}

export function TextArea({ label, hint, error, ...rest }: Frame & ComponentProps<"textarea">): ReactNode {
  const id = useId();
  return (
    <Frame id={id} label={label} hint={hint} error={error}>
      <textarea id={id} autoComplete="off" {...rest} aria-invalid={error ? true : undefined} aria-describedby={describedBy(id, { hint, error })} className={`${CONTROL} font-mono text-[0.8125rem]`} />
    </Frame>
  );
}

/** A search or filter box without a visible label. */
export function FilterBox({ label, className = "", ...rest }: ComponentProps<"input"> & { label: string }): ReactNode {
  return <input type="search" aria-label={label} placeholder={label} autoComplete="off" spellCheck={false} {...rest} className={`${CONTROL} ${className}`} />;
}
