"""The commands that change a site: each is a plan that is shown, and done after a yes."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from kit.terminal import visible
from portal.client import AsJson, Client, Url
from portal.wordpress.asking import (
    PLANS,
    PlanOnly,
    Site,
    WithoutPoint,
    Yes,
    apply,
    carry_out,
    planned,
    site_path,
)

Act = Annotated[
    Literal["activate", "deactivate", "install", "update", "delete"],
    typer.Argument(help="`update` and `install` bring the newest, or --to VERSION: also an older one."),
]
Slug = Annotated[str, typer.Argument(help="As `show` lists it; with install, of wordpress.org or a package's file.")]
To = Annotated[str | None, typer.Option("--to", metavar="VERSION", help="This version instead of the newest.")]
IsActive = Annotated[bool, typer.Option("--activate", help="Of install: and switch it on.")]


def register(app: typer.Typer) -> None:
    for command in (plugin, theme, core, option, maintenance):
        app.command()(command)
    app.command("search-replace")(search_replace)
    app.command("apply")(apply_)
    app.command()(undo)


def plugin(
    site: Site,
    act: Act,
    slug: Slug,
    to: To = None,
    activate: IsActive = False,
    plan: PlanOnly = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Switch, install, update, roll back or delete a plugin."""
    change = _extension("plugin", act, slug, to, is_active=activate)
    _change(site, [change], url, is_only_shown=plan, is_sure=yes, as_json=as_json)


def theme(
    site: Site,
    act: Act,
    slug: Slug,
    to: To = None,
    activate: IsActive = False,
    plan: PlanOnly = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Activate, install, update, roll back or delete a theme."""
    change = _extension("theme", act, slug, to, is_active=activate)
    _change(site, [change], url, is_only_shown=plan, is_sure=yes, as_json=as_json)


def core(
    site: Site,
    to: To = None,
    plan: PlanOnly = False,
    yes: Yes = False,
    without_point: WithoutPoint = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Update WordPress itself, behind a restore point."""
    change = {"kind": "core", "version": to or "latest"}
    _change(site, [change], url, is_only_shown=plan, is_sure=yes, is_without_point=without_point, as_json=as_json)


def option(
    site: Site,
    name: Annotated[str, typer.Argument(help="blogname, blogdescription, siteurl, home, admin_email ...")],
    value: Annotated[str, typer.Argument(help="What it is to be.")],
    plan: PlanOnly = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change a setting of the site."""
    change = {"kind": "option", "name": name, "value": value}
    _change(site, [change], url, is_only_shown=plan, is_sure=yes, as_json=as_json)


def maintenance(
    site: Site,
    want: Annotated[Literal["on", "off"], typer.Argument(help="Whether visitors get the notice.")],
    plan: PlanOnly = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Have the web server answer 503 in the site's place, or not any more."""
    change = {"kind": "maintenance", "is_on": want == "on"}
    _change(site, [change], url, is_only_shown=plan, is_sure=yes, as_json=as_json)


def search_replace(
    site: Site,
    old: Annotated[str, typer.Argument(help="The text that stands there.")],
    new: Annotated[str, typer.Argument(help="The text to stand there.")],
    skip_column: Annotated[list[str] | None, typer.Option(help="A column that stays as it is; repeatable.")] = None,
    plan: PlanOnly = False,
    yes: Yes = False,
    without_point: WithoutPoint = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Replace a text in every table of the site, behind a restore point. --plan only counts."""
    wanted: dict[str, Any] = {"old": old, "new": new, "skip_columns": skip_column or ["guid"]}
    with Client.connect(url) as client:
        made = planned(client, f"{site_path(site)}/search-replace", wanted)
        if not as_json:
            for change in made["changes"]:
                for place, count in change["before"]["tables"].items():
                    typer.echo(f"{count:8d}  {visible(place)}")
        carry_out(client, made, is_only_shown=plan, is_sure=yes, is_without_point=without_point, as_json=as_json)


def apply_(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="As a plan that was shown calls itself.")],
    without_point: WithoutPoint = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Do what was planned. When something has changed since, nothing is done and the new plan is shown: exit code 1."""
    with Client.connect(url) as client:
        apply(client, plan_id, is_without_point=without_point, as_json=as_json)


def undo(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The plan that was applied.")],
    plan: PlanOnly = False,
    yes: Yes = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Take an applied plan back: versions from what was put aside, states, settings."""
    with Client.connect(url) as client:
        made = planned(client, f"{PLANS}/{quote(plan_id.upper(), safe='')}/undo", {})
        carry_out(client, made, is_only_shown=plan, is_sure=yes, is_without_point=False, as_json=as_json)


def _change(
    site: str,
    changes: list[dict[str, Any]],
    url: str | None,
    *,
    is_only_shown: bool,
    is_sure: bool,
    as_json: bool,
    is_without_point: bool = False,
) -> None:
    with Client.connect(url) as client:
        made = planned(client, f"{site_path(site)}/plans", {"changes": changes})
        carry_out(
            client,
            made,
            is_only_shown=is_only_shown,
            is_sure=is_sure,
            is_without_point=is_without_point,
            as_json=as_json,
        )


def _extension(kind: str, act: str, slug: str, to: str | None, *, is_active: bool) -> dict[str, Any]:
    if to is not None and act not in ("install", "update"):
        raise typer.BadParameter("goes with install and update alone", param_hint="--to")
    if is_active and act != "install":
        raise typer.BadParameter("goes with install alone", param_hint="--activate")
    change: dict[str, Any] = {"kind": kind}
    if slug.endswith(".zip"):
        if act != "install" or to is not None:
            raise typer.BadParameter("a package is installed, as the version that it is", param_hint="SLUG")
        return change | {"package": slug} | ({"state": "active"} if is_active else {})
    change["slug"] = slug
    if act in ("install", "update"):
        return change | {"version": to or "latest"} | ({"state": "active"} if is_active else {})
    return change | {"state": {"activate": "active", "deactivate": "inactive", "delete": "absent"}[act]}
