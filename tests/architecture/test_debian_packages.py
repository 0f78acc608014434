"""scripts/debian-packages, run for real in a mount namespace of its own: /usr/sbin there is a fresh, empty directory.

apt and dpkg are stand-ins that record what the script asks of them and what policy-rc.d answered while they ran: a
test must not install packages. That the real ones install without starting a daemon is shown by every `make test` on a
fresh machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

APT_GET = """#!/bin/sh
printf 'apt-get %s\\n' "$*" >> "$LOG"
case " $* " in *" install "*) ;; *) exit 0 ;; esac
mkdir "$STATE/apt-is-running" || { echo "two at once" >> "$LOG"; exit 100; }
/usr/sbin/policy-rc.d; echo "policy-rc.d says $?" >> "$LOG"
eval "$DURING_INSTALL"
rmdir "$STATE/apt-is-running"
"""
APT_CACHE = """#!/bin/sh
case " $KNOWN " in *" $2 "*) printf '%s:\\n  Installed: (none)\\n  Candidate: 1.0\\n' "$2" ;; esac
"""
DPKG_QUERY = """#!/bin/sh
for package; do :; done
case "$package" in
*'$'*) for name in $INSTALLED; do echo "installed $name"; done ;;
*) case " $INSTALLED " in *" $package "*) printf installed ;; *) exit 1 ;; esac ;;
esac
"""
PRELUDE = """
mount -t tmpfs tmpfs /usr/sbin && mount -t tmpfs tmpfs /run && mkdir /run/lock
policy=/usr/sbin/policy-rc.d
show() { ls /usr/sbin; stat -c '%F %a %u:%g %i' $policy 2>/dev/null; cat $policy 2>/dev/null; }
"""


class Machine:
    """A namespace in which the script thinks that `installed` is installed and apt knows `known`."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path
        (tmp_path / "bin").mkdir()
        for name, text in (
            ("apt-get", APT_GET),
            ("apt-cache", APT_CACHE),
            ("dpkg-query", DPKG_QUERY),
            ("systemctl", ""),
        ):
            (tmp_path / "bin" / name).write_text(text or "#!/bin/sh\n")
            (tmp_path / "bin" / name).chmod(0o755)
        self.list = tmp_path / "list.txt"
        self.list.write_text("# comment\npostfix # why\nold-name | new-name # differs\n\nstrace\n")
        self.script = f"{ROOT}/scripts/debian-packages"

    def run(self, commands: str, *, installed: str = "strace", during_install: str = "", ci: str = "true") -> str:
        """Run shell commands in the namespace; return what they print, standard error included."""
        environ = {
            "PATH": f"{self.path}/bin:{os.environ['PATH']}",
            "LOG": str(self.path / "log"),
            "STATE": str(self.path),
            "KNOWN": "postfix new-name strace",
            "INSTALLED": installed,
            "DURING_INSTALL": during_install,
            "CI": ci,
            "TMPDIR": "/run",  # of the namespace, gone with it
        }
        ended = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", PRELUDE + commands],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return ended.stdout

    def log(self) -> list[str]:
        return (self.path / "log").read_text().splitlines() if (self.path / "log").exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_packages_all_installed_nothing_is_said_or_done(machine: Machine) -> None:
    said = machine.run(f"{machine.script} {machine.list}; echo code $?", installed="postfix new-name strace")
    assert said == "code 0\n"
    assert machine.log() == []


def test_packages_missing_are_installed_while_the_policy_forbids_daemons(machine: Machine) -> None:
    machine.run(f"{machine.script} {machine.list}")
    (install, policy) = machine.log()
    assert install.endswith("install postfix new-name")  # the alternative that apt knows; strace is there already
    assert "--no-install-recommends" in install
    assert policy == "policy-rc.d says 101"


def test_packages_unknown_to_apt_until_its_lists_are_updated_fail_by_name(machine: Machine) -> None:
    machine.list.write_text("nowhere\n")
    said = machine.run(f"{machine.script} {machine.list}; echo code $?")
    assert "apt knows no package for one of: nowhere" in said
    assert said.endswith("code 1\n")
    assert [line.split()[-1] for line in machine.log()] == ["update"]


def test_packages_outside_ci_without_a_terminal_nothing_is_done_and_the_command_is_shown(machine: Machine) -> None:
    said = machine.run(f"{machine.script}; echo code $?", ci="false", installed="")
    assert f"to install them, run: {machine.script} -y" in said
    assert said.endswith("code 1\n")
    assert machine.log() == []


def test_packages_outside_ci_yes_installs(machine: Machine) -> None:
    machine.run(f"{machine.script} -y {machine.list}", ci="")
    assert machine.log()[0].endswith("install postfix new-name")


POLICIES = {
    "none": ":",
    "file": "printf '#!/bin/sh\\nexit 0\\n' > $policy; chmod 750 $policy; chown 1:2 $policy",
    "link": "printf '#!/bin/sh\\nexit 0\\n' > /usr/sbin/real; chmod 755 /usr/sbin/real; ln -s real $policy",
    "dangling": "ln -s nowhere $policy",
}
ENDINGS = {
    "well": "",
    "with an error": "exit 100",
    "by Ctrl-C": "kill -INT $PPID",
    "by SIGTERM": "kill -TERM $PPID",
}


@pytest.mark.parametrize("before", POLICIES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_policy_is_as_before_however_the_installation_ends(machine: Machine, before: str, ending: str) -> None:
    said = machine.run(
        f"{POLICIES[before]}; show > /run/before; {machine.script} {machine.list} > /run/said; code=$?\n"
        "show | diff /run/before - && echo same; echo code $code",
        during_install=ENDINGS[ending],
    )
    assert "same" in said.splitlines(), said
    assert ("code 0" in said) == (ending == "well")
    assert "policy-rc.d says 101" in machine.log()


@pytest.mark.parametrize("before", POLICIES)
def test_policy_of_a_killed_run_is_put_back_by_the_next(machine: Machine, before: str) -> None:
    said = machine.run(
        f"{POLICIES[before]}; show > /run/before\n"
        "export DURING_INSTALL='rmdir $STATE/apt-is-running; kill -9 $PPID; exit'\n"
        f"{machine.script} {machine.list} > /run/said; DURING_INSTALL=\n"
        "$policy; echo between: $?\n"
        f"{machine.script} {machine.list} > /run/said; show | diff /run/before - && echo same",
    )
    assert "between: 101" in said
    assert "same" in said.splitlines(), said


def test_two_at_once_wait_for_each_other(machine: Machine) -> None:
    machine.run(
        f"{machine.script} {machine.list} & {machine.script} {machine.list} & wait",
        during_install="sleep 0.3",  # in the stand-in: long enough for the other one to arrive
    )
    assert machine.log().count("policy-rc.d says 101") == 2
    assert "two at once" not in machine.log()
