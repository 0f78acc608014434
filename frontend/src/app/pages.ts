/** The pages there are, in the order of the navigation. A page that is not here does not exist. */

import { Archive, AtSign, Boxes, Database, Globe, PanelsTopLeft, History, LayoutDashboard, ScrollText, Settings, UserRound, Users, type LucideIcon } from "lucide-react";

export interface PageEntry {
  path: "/" | "/containers" | "/backups" | "/dns" | "/domains" | "/wordpress" | "/databases" | "/operations" | "/audit" | "/users" | "/account" | "/settings";
  key: "dashboard" | "containers" | "backups" | "dns" | "domains" | "wordpress" | "databases" | "operations" | "audit" | "users" | "account" | "settings";
  icon: LucideIcon;
  shortcut: string;
}

export const PAGES: readonly PageEntry[] = [
  { path: "/", key: "dashboard", icon: LayoutDashboard, shortcut: "g d" },
  { path: "/containers", key: "containers", icon: Boxes, shortcut: "g c" },
  { path: "/backups", key: "backups", icon: Archive, shortcut: "g b" },
  { path: "/dns", key: "dns", icon: Globe, shortcut: "g n" },
  { path: "/domains", key: "domains", icon: AtSign, shortcut: "g m" },
  { path: "/wordpress", key: "wordpress", icon: PanelsTopLeft, shortcut: "g w" },
  { path: "/databases", key: "databases", icon: Database, shortcut: "g q" },
  { path: "/operations", key: "operations", icon: History, shortcut: "g o" },
  { path: "/audit", key: "audit", icon: ScrollText, shortcut: "g l" },
  { path: "/users", key: "users", icon: Users, shortcut: "g u" },
  { path: "/account", key: "account", icon: UserRound, shortcut: "g a" },
  { path: "/settings", key: "settings", icon: Settings, shortcut: "g s" },
];
