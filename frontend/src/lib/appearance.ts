/** Theme and density: kept on this device, applied before the first paint by public/theme.js. */

export const THEMES = ["system", "light", "dark"] as const;
export const DENSITIES = ["comfortable", "compact"] as const;
export type Theme = (typeof THEMES)[number];
export type Density = (typeof DENSITIES)[number];

export function storedTheme(): Theme {
  return oneOf(THEMES, document.documentElement.dataset["theme"], "system");
}

export function storedDensity(): Density {
  return oneOf(DENSITIES, document.documentElement.dataset["density"], "comfortable");
}

export function setTheme(theme: Theme): void {
  keep("theme", theme === "system" ? null : theme);
}

export function setDensity(density: Density): void {
  keep("density", density === "comfortable" ? null : density);
}

function keep(name: "theme" | "density", value: string | null): void {
  if (value === null) delete document.documentElement.dataset[name];
  else document.documentElement.dataset[name] = value;
  try {
    if (value === null) localStorage.removeItem(`homeport.${name}`);
    else localStorage.setItem(`homeport.${name}`, value);
  } catch {
    // storage is blocked: it holds for this page only
  }
}

function oneOf<T extends string>(values: readonly T[], value: string | undefined, otherwise: T): T {
  return values.find((each) => each === value) ?? otherwise;
}
