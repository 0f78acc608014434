import type { ComponentProps, ReactNode } from "react";

type Look = "primary" | "plain" | "danger" | "quiet";

const LOOKS: Record<Look, string> = {
  primary: "border-accent bg-accent text-on-accent hover:brightness-110",
  plain: "border-edge/60 bg-panel hover:bg-sunken",
  danger: "border-bad bg-bad text-on-bad hover:brightness-110",
  quiet: "border-transparent hover:bg-sunken",
};

export function buttonLook(look: Look = "plain", extra = ""): string {
  return `target inline-flex items-center justify-center gap-1.5 rounded border px-2.5 py-1 text-sm font-medium whitespace-nowrap select-none disabled:cursor-not-allowed disabled:opacity-55 disabled:brightness-100 aria-disabled:cursor-not-allowed aria-disabled:opacity-55 ${LOOKS[look]} ${extra}`;
}

/** A button. `busy` keeps its width and refuses clicks; it stays focusable, so that focus is not lost. */
export function Button({
  look = "plain",
  busy = false,
  className = "",
  onClick,
  ...rest
}: ComponentProps<"button"> & { look?: Look; busy?: boolean }): ReactNode {
  return (
    <button
      type="button"
      {...rest}
      aria-busy={busy || undefined}
      aria-disabled={busy || undefined}
      onClick={(event) => {
        if (busy) event.preventDefault();
        else onClick?.(event);
      }}
      className={buttonLook(look, className)}
    />
  );
}

/** A button that shows only an icon: its name is what screen readers say and what hovering shows. */
export function IconButton({ label, className = "", ...rest }: ComponentProps<"button"> & { label: string }): ReactNode {
  return <button type="button" aria-label={label} title={label} {...rest} className={buttonLook("quiet", `!px-1 ${className}`)} />;
}
