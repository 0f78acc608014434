"""WordPress sites: what runs in them, what can be updated, and every act on one.

What changes a site is planned: the plan is shown, and done after a yes or with --yes; `undo` plans the way back. A site
that cannot be read is a line with its trouble, and what was last known of it.

Exit codes: 0 done · 1 refused or failed, said on standard error · 2 wrong usage. With --json, standard output is one
JSON document; a change then needs --yes, or --plan, which only shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from kit.terminal import local_time, print_json, print_pairs, print_table, visible
from portal.client import AsJson, Client, Url
from portal.wordpress import plan_commands
from portal.wordpress.asking import Json, Site, ended, require_done, site_path, size

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None, add_completion=False)
plan_commands.register(app)

ROOT = "/api/wordpress"


@app.command("list")
def list_(url: Url = None, as_json: AsJson = False) -> None:
    """Show every site with what was last known of it, and since when."""
    with Client.connect(url) as client:
        listed = client.get(ROOT)
    if as_json:
        print_json(listed)
        return
    if not listed["is_connected"]:
        typer.echo("No broker is connected: sites can be neither read nor changed.", err=True)
    if not listed["sites"]:
        print("No site is known. A new one: homeport site add; one that exists: homeport site import.")
        return
    heads = ("SITE", "ADDRESS", "STATE", "CORE", "PHP", "PLUGINS", "THEMES", "DATABASE", "READ", "TROUBLE")
    print_table(heads, [_row(each) for each in listed["sites"]])


@app.command()
def show(site: Site, url: Url = None, as_json: AsJson = False) -> None:
    """Show one site: versions, plugins, themes, users, what is wrong."""
    with Client.connect(url) as client:
        found = client.get(site_path(site))
    if as_json:
        print_json(found)
        return
    print_pairs([(label, text) for label, text in _pairs(found) if text])
    for title, members, heads in _TABLES:
        if found[members]:
            print(f"\n{title}")
            print_table(heads, [_CELLS[members](each) for each in found[members]])


@app.command()
def refresh(
    site: Annotated[str | None, typer.Argument(help="The site; all when none is named.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Read one site now, or begin to read all."""
    with Client.connect(url) as client:
        if site is None:
            begun = client.post(f"{ROOT}/refresh", {})
            print_json(begun) if as_json else print(f"{len(begun['sites'])} sites are being read.")
            return
        found = client.post(f"{site_path(site)}/refresh", {})
    if as_json:
        print_json(found)
        return
    reading = found["reading"]
    print(f"{found['name']}: {reading['trouble'] or 'read'} {visible(reading['error'])}".strip())


@app.command()
def verify(site: Site, url: Url = None, as_json: AsJson = False) -> None:
    """Compare the files of core and plugins with wordpress.org's sums. Exit code 1 when something differs."""
    with Client.connect(url) as client:
        require_done(ended(client, client.post(f"{site_path(site)}/checksums", {})))
        sums = client.get(site_path(site))["checksums"]
    if as_json:
        print_json(sums)
    else:
        print_pairs([("core", visible(sums["core_detail"])), ("plugins", visible(sums["plugins_detail"]))])
        for each in sums["problems"]:
            print(f"{visible(each['plugin'])}: {visible(each['file'])}: {visible(each['message'])}")
    if not (sums["is_core_verified"] and sums["are_plugins_verified"]):
        raise typer.Exit(1)


@app.command()
def cache(site: Site, url: Url = None, as_json: AsJson = False) -> None:
    """Empty the site's object cache."""
    with Client.connect(url) as client:
        operation = ended(client, client.post(f"{site_path(site)}/cache", {}))
    print_json(operation) if as_json else print("emptied" if operation["state"] == "done" else "")
    require_done(operation)


@app.command()
def password(
    site: Site,
    login: Annotated[str, typer.Argument(help="The user's login, as `show` lists it.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Give a user of the site another password. It is shown this once."""
    with Client.connect(url) as client:
        made = client.post(f"{site_path(site)}/users/{quote(login, safe='')}/password", {})
    print_json(made) if as_json else print(made["password"])


@app.command()
def salts(site: Site, url: Url = None, as_json: AsJson = False) -> None:
    """Draw the site's salts anew: every login ends, also a stolen one. Passwords stay."""
    with Client.connect(url) as client:
        operation = ended(client, client.post(f"{site_path(site)}/salts", {}))
    print_json(operation) if as_json else print("every login has ended" if operation["state"] == "done" else "")
    require_done(operation)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def wp(
    context: typer.Context,
    site: Site,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run one allowed subcommand of wp as the site's own user: homeport wordpress wp SITE plugin list --format=csv.

    The exit code is wp's own.
    """
    command, arguments, options = _line(context.args)
    with Client.connect(url) as client:
        document = {"command": command, "arguments": arguments, "options": options}
        answer = client.post(f"{site_path(site)}/wp", document)
    if as_json:
        print_json(answer)
    else:
        for name in ("stdout", "stderr"):
            for line in answer[name].splitlines():
                typer.echo("\t".join(map(visible, line.split("\t"))), err=name == "stderr")
    raise typer.Exit(answer["exit_code"])


@app.command()
def php(
    site: Site,
    memory_mib: Annotated[int | None, typer.Option(min=64, max=1024, help="Of one request.")] = None,
    upload_mib: Annotated[int | None, typer.Option(min=1, max=512, help="Of one uploaded file.")] = None,
    seconds: Annotated[int | None, typer.Option(min=5, max=300, help="After which a request is ended.")] = None,
    children: Annotated[int | None, typer.Option(min=1, max=32, help="Requests at once.")] = None,
    xmlrpc: Annotated[bool | None, typer.Option(help="Whether /xmlrpc.php answers.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Change how the site's PHP runs. What the web server refuses leaves everything as it was."""
    asked = {
        "memory_limit_mib": memory_mib,
        "upload_max_mib": upload_mib,
        "max_execution_s": seconds,
        "max_children": children,
    }
    with Client.connect(url) as client:
        found = client.get(site_path(site))
        settings = found["php"] | {name: value for name, value in asked.items() if value is not None}
        wanted = {"php": settings, "xmlrpc": found["xmlrpc"] if xmlrpc is None else xmlrpc}
        operation = ended(client, client.put(f"{site_path(site)}/php", wanted))
    print_json(operation) if as_json else print_pairs([(name, str(value)) for name, value in settings.items()])
    require_done(operation)


@app.command()
def ring(
    site: Site,
    number: Annotated[int, typer.Argument(min=1, max=2, help="1: first, and then watched; 2: with the rest.")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Choose when `update` comes to the site: in ring 1, or in ring 2 once that one has come through."""
    with Client.connect(url) as client:
        found = client.get(site_path(site))
        wanted = {"php": found["php"], "xmlrpc": found["xmlrpc"], "ring": number}
        operation = ended(client, client.put(f"{site_path(site)}/php", wanted))
    print_json(operation) if as_json else print(f"{site} is in ring {number}." if operation["state"] == "done" else "")
    require_done(operation)


@app.command()
def packages(url: Url = None, as_json: AsJson = False) -> None:
    """Show the zip files of plugins and themes that can be installed."""
    with Client.connect(url) as client:
        found = client.get(f"{ROOT}/packages")
    if as_json:
        print_json(found)
    elif not found["packages"]:
        print("None. Lay zip files into the directory packages of the import directory.")
    else:
        rows = [(each["file"], each["kind"], each["slug"], each["version"]) for each in found["packages"]]
        print_table(("FILE", "KIND", "SLUG", "VERSION"), rows)


def _line(words: list[str]) -> tuple[list[str], list[str], dict[str, str]]:
    """Take apart what was written behind the site: the words of a subcommand, its arguments, its options."""
    from portal.broker.wp import ALLOWED

    options = dict(_option(word) for word in words if word.startswith("--"))
    plain = [word for word in words if not word.startswith("--")]
    for count in (3, 2, 1):
        if tuple(plain[:count]) in ALLOWED:
            return plain[:count], plain[count:], options
    raise typer.BadParameter(f"{' '.join(plain[:2])!r} is no allowed subcommand of wp", param_hint="COMMAND")


def _option(word: str) -> tuple[str, str]:
    name, _, value = word[2:].partition("=")
    return name, value


def _row(site: Json) -> tuple[Any, ...]:
    reading = site["reading"]
    return (
        site["name"],
        site["hostnames"][0] if site["hostnames"] else "",
        "maintenance" if site["is_maintained"] else site["state"],
        _with_update(site["core_version"], site["core_update"]),
        site["php_version"] or "",
        _counted(site["plugins"], site["plugin_updates"]),
        _counted(site["themes"], site["theme_updates"]),
        size(site["database_bytes"]),
        (local_time(reading["read_at"]) or "never") + (" (old)" if reading["is_stale"] else ""),
        reading["trouble"],
    )


def _with_update(version: str | None, update: str | None) -> str:
    return f"{version or '?'} -> {update}" if update else version or ""


def _counted(count: int | None, updates: int | None) -> str:
    return "" if count is None else f"{count} ({updates} updates)" if updates else str(count)


def _pairs(site: Json) -> list[tuple[str, str]]:
    reading, cron = site["reading"], site["cron"] or {}
    return [
        ("title", visible(site["title"] or "")),
        ("addresses", ", ".join(site["hostnames"])),
        ("state", "maintenance" if site["is_maintained"] else site["state"]),
        ("ring", str(site["ring"])),
        ("read", local_time(reading["read_at"]) or "never"),
        ("trouble", f"{reading['trouble']} {visible(reading['error'])}".strip()),
        ("core", _with_update(site["core_version"], site["core_update"])),
        ("PHP", f"{site['php_version'] or ''} {_php(site['php'])}".strip()),
        ("database", f"{site['server']}/{site['database']} {size(site['database_bytes'])}".strip()),
        ("files", size(site["site_bytes"])),
        ("cron", f"{cron['overdue']} overdue" if cron.get("overdue") else ""),
        ("debugging", ", ".join(name for name, is_on in site["debug"].items() if is_on)),
        ("files verified", {True: "yes", False: "no", None: ""}[site["is_verified"]]),
        ("could not be read", "; ".join(visible(each) for each in site["errors"])),
    ]


def _php(settings: Json) -> str:
    limits = "{memory_limit_mib} MiB, uploads of {upload_max_mib} MiB, {max_execution_s} s, {max_children} at once"
    return f"({limits.format(**settings)})"


_EXTENSION = ("NAME", "STATE", "VERSION", "UPDATE", "TITLE")
_TABLES = (
    ("Plugins", "plugin_list", _EXTENSION),
    ("Themes", "theme_list", _EXTENSION),
    ("Users", "users", ("ID", "LOGIN", "ROLES", "LAST LOGIN")),
    ("Put aside", "kept", ("KIND", "SLUG", "VERSION", "AT")),
)


def _extension(each: Json) -> tuple[str, ...]:
    return (each["name"], each["state"], each["version"], each["update_version"] or "", each["title"])


_CELLS: Mapping[str, Callable[[Json], tuple[Any, ...]]] = {
    "plugin_list": _extension,
    "theme_list": _extension,
    "users": lambda each: (each["id"], each["login"], ", ".join(each["roles"]), local_time(each["last_login_at"])),
    "kept": lambda each: (each["kind"], each["slug"], each["version"], local_time(each["kept_at"])),
}
