import { Languages, Monitor, Moon, Sun } from "lucide-react";
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

import { setTheme, storedTheme, THEMES, type Theme } from "@/lib/appearance";
import { LANGUAGE_NAMES, setLanguage, type Language } from "@/lib/language";

import { Button, IconButton } from "./button";

/** To the other language, named in it. */
export function LanguageSwitch(): ReactNode {
  const { i18n } = useTranslation();
  const other: Language = i18n.language === "ja" ? "en" : "ja";
  return (
    <Button look="quiet" lang={other} onClick={() => void setLanguage(other, { isChoice: true })}>
      <Languages size={15} aria-hidden />
      {LANGUAGE_NAMES[other]}
    </Button>
  );
}

const ICONS = { system: Monitor, light: Sun, dark: Moon } as const;

/** System, light, dark, and round again. */
export function ThemeSwitch(): ReactNode {
  const { t } = useTranslation();
  const [theme, show] = useState<Theme>(storedTheme);
  const Icon = ICONS[theme];
  return (
    <IconButton
      label={t("preferences.themeNow", { theme: t(`preferences.${theme}`) })}
      onClick={() => {
        const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
        setTheme(next);
        show(next);
      }}
    >
      <Icon size={16} aria-hidden />
    </IconButton>
  );
}

