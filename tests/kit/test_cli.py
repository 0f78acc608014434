"""`homeport` as installed deployables see it: real distributions in a directory of their own, a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Site:
    """A directory on the import path that holds distributions with entry points."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.distribution("homeport", {})

    def distribution(self, name: str, entries: dict[str, str]) -> None:
        info = self.path / f"{name}-1.2.3.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.3\n")
        lines = [f"{entry} = {target}" for entry, target in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[homeport.commands]", *lines, ""]))

    def module(self, name: str, source: str) -> None:
        path = self.path / (name.replace(".", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(source))

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        # -S: the distributions of this machine's environment stay out; what the CLI needs of it comes by PYTHONPATH
        libraries = [path for path in sys.path if path.endswith("site-packages")]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOMEPORT")}
        return subprocess.Popen(
            [sys.executable, "-S", "-c", RUN, *arguments],
            env=inherited | {"PYTHONPATH": os.pathsep.join([str(self.path), str(ROOT), *libraries])} | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        with self.start(*arguments, **environ) as process:
            out, err = process.communicate(timeout=30)
        return process.returncode, out, err


RUN = "from kit.cli import main; main()"

APP = '''
    """What happens to mail.

    More.
    """
    import sys
    import typer
    app = typer.Typer()
    print("imported mail", file=sys.stderr)

    @app.command()
    def queue(limit: int = 3) -> None:
        print("queue", limit)

    @app.command()
    def fail(kind: str) -> None:
        if kind == "code":
            raise typer.Exit(7)
        if kind == "empty":
            raise KeyError
        raise RuntimeError("the spool is read-only")
'''

ONE_COMMAND = '''
    """Sites."""
    import sys, typer
    print("imported blog", file=sys.stderr)
    app = typer.Typer()

    @app.command()
    def new(name: str) -> None:
        print("new", name)
'''


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.distribution("deployables", {"mail": "demo_mail.commands:app", "blog": "demo_blog.commands:app"})
    site.module("demo_mail.commands", APP)
    site.module("demo_blog.commands", ONE_COMMAND)
    return site


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_cli_help_lists_groups_with_their_summaries_and_imports_none(site: Site, arguments: list[str]) -> None:
    code, out, err = site.run(*arguments)
    assert code == 0
    assert "\n  blog         Sites.\n  mail         What happens to mail.\n" in out
    assert err == ""


def test_cli_version(site: Site) -> None:
    assert site.run("--version") == (0, "homeport 1.2.3\n", "")


def test_cli_runs_a_command_and_imports_only_its_group(site: Site) -> None:
    assert site.run("mail", "queue", "--limit", "9") == (0, "queue 9\n", "imported mail\n")


def test_cli_group_of_one_command_still_takes_its_name(site: Site) -> None:
    assert site.run("blog", "new", "diary") == (0, "new diary\n", "imported blog\n")


def test_cli_group_help_names_the_full_command(site: Site) -> None:
    code, out, _ = site.run("mail", "--help")
    assert code == 0
    assert "homeport mail" in out
    assert "queue" in out


@pytest.mark.parametrize("arguments", [["male"], ["--verbose"], ["mail", "nothing"], ["mail", "queue", "--limit", "x"]])
def test_cli_wrong_usage_is_2(site: Site, arguments: list[str]) -> None:
    code, _, err = site.run(*arguments)
    assert code == 2
    assert "Traceback" not in err


def test_cli_error_is_one_line_and_1(site: Site) -> None:
    assert site.run("mail", "fail", "error") == (
        1,
        "",
        "imported mail\nhomeport: error: the spool is read-only\n",
    )
    assert site.run("mail", "fail", "empty")[2].endswith("homeport: error: KeyError\n")


def test_cli_error_in_debug_has_its_traceback(site: Site) -> None:
    code, _, err = site.run("mail", "fail", "error", HOMEPORT_DEBUG="1")
    assert code == 1
    assert "Traceback" in err


def test_cli_exit_code_of_a_command_is_kept(site: Site) -> None:
    assert site.run("mail", "fail", "code")[0] == 7


def test_cli_interrupted_is_130_without_a_traceback(site: Site) -> None:
    site.module(
        "demo_mail.commands",
        """
        import signal, typer
        app = typer.Typer()

        @app.command()
        def wait() -> None:
            print("waiting", flush=True)
            signal.pause()
        """,
    )
    with site.start("mail", "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_cli_extra_not_installed_says_which_and_breaks_nothing_else(site: Site) -> None:
    site.module("demo_blog.commands", "import lxml_of_another_world\n")
    assert site.run("blog", "new", "x") == (
        2,
        "",
        "homeport: blog needs lxml_of_another_world: pip install 'homeport[demo-blog]'\n",
    )
    assert site.run("mail", "queue")[0] == 0
    assert site.run("--help")[0] == 0


def test_cli_deployable_that_is_not_there_has_no_groups(site: Site) -> None:
    site.distribution("rest", {"dns": "demo_dns.commands:app", "mail.rules": "demo_dns.commands:rules"})
    assert site.run("--help")[1].endswith("\n  blog         Sites.\n  mail         What happens to mail.\n")
    code, _, err = site.run("dns", "list")
    assert (code, err) == (
        2,
        "homeport: error: there is no command 'dns'; `homeport --help` lists what is installed\n",
    )
    assert site.run("mail", "queue") == (0, "queue 3\n", "imported mail\n")


def test_cli_own_module_missing_is_a_defect_not_an_extra(site: Site) -> None:
    site.module("demo_blog.commands", "import demo_blog.forgotten\n")
    assert site.run("blog", "new", "x") == (1, "", "homeport: error: No module named 'demo_blog.forgotten'\n")


SECOND = """
    import typer
    app = typer.Typer()

    @app.command()
    def accounts() -> None:
        print("accounts")
"""


def test_cli_groups_of_one_name_are_merged(site: Site) -> None:
    site.distribution("more", {"mail.accounts": "demo_more.commands:app"})
    site.module("demo_more.commands", SECOND)
    assert site.run("mail", "accounts")[:2] == (0, "accounts\n")
    assert site.run("mail", "queue")[:2] == (0, "queue 3\n")
    assert site.run()[1].count("\n  mail ") == 1


def test_cli_merged_group_with_one_extra_missing_keeps_the_rest(site: Site) -> None:
    site.distribution("more", {"mail.accounts": "demo_more.commands:app"})
    site.module("demo_more.commands", "import lxml_of_another_world\n")
    code, out, err = site.run("mail", "queue")
    assert (code, out) == (0, "queue 3\n")
    assert "homeport[demo-more]" in err


def test_cli_command_defined_twice_is_an_error(site: Site) -> None:
    site.distribution("more", {"mail.again": "demo_more.commands:app"})
    site.module("demo_more.commands", SECOND.replace("accounts", "queue"))
    assert site.run("mail", "queue")[2].endswith("homeport: error: mail: defined twice: queue\n")
