"""The files of stacks/blog put where its images have them, for daemons of this machine that run without images.

Each service gets its own `web-config` and health check, as each image has; what the Dockerfiles write by a command is
written here again. Not taken over: capabilities, limits, read-only roots (tests/stacks looks at those), tini. PHP and
nginx are of the versions that this machine's system has.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from tests.services.process import ServiceFailed

STACK = Path(__file__).resolve().parents[2] / "stacks" / "blog"
STAND_IN = Path(__file__).with_name("wp")
SHARE = "usr/local/share/homeport"
WORDPRESS = f"{SHARE}/wordpress"

# For tests alone: a changed file counts at once; no mail comes into this machine's own queue (the images have none).
PHP_OF_TESTS = "opcache.revalidate_freq = 0\nsendmail_path = /bin/false\n"
# stacks/blog/nginx/entrypoint.sh asks Compose's network for this; here the tunnel's place is the loopback.
REAL_IP = "set_real_ip_from 127.0.0.1;"


class Contained(NamedTuple):
    """
    service   its name in Compose
    user      "UID:GID" that the container runs as
    script    what a shell runs as root before: mounts and directories of this one alone
    command   of the daemon, which stays in the foreground
    """

    service: str
    user: str
    script: str
    command: str

    @property
    def health(self) -> str:
        return f"/usr/local/bin/{self.service}-health"


def lay_out(root: Path, programs: Path) -> None:
    """Write below `root` what lies over /etc and /usr/local, and to `programs` what each service has of its own."""
    homeport, share, bin_ = root / "etc/homeport", root / SHARE, root / "usr/local/bin"
    for place in (homeport / "web", share, bin_, root / "usr/local/sbin", programs):
        place.mkdir(parents=True, exist_ok=True)
    for source in (STACK / "nginx/nginx.conf", STACK / "php/php-fpm.conf", STACK / "redis/redis.conf"):
        text = source.read_text()
        (homeport / source.name).write_text(text)
        candidate = text.replace("/web/current/", "/web/candidate/")
        (homeport / source.name.replace(".conf", ".candidate.conf")).write_text(candidate)
    _php(root)
    for source in (*STACK.glob("php/*.php"), STACK / "redis/accounts.sh"):
        shutil.copy(source, share / source.name)
    shutil.copytree(STACK / "php/mu-plugins", share / "mu-plugins")
    shutil.copytree(STAND_IN, share / "wp-cli")
    shutil.copytree(STACK / "site-files/program", root / "usr/local/lib/homeport/site-files")
    _program(STACK / "php/wp.sh", bin_ / "wp")
    _program(STACK / "site-files/site-files.sh", bin_ / "site-files")
    _program(STACK / "redis/entrypoint.sh", bin_ / "blog-redis")
    (bin_ / "web-config").touch(mode=0o755)  # over which each service's own is mounted
    for service in ("nginx", "php", "redis", "site-files"):
        _program(STACK / service / "health.sh", bin_ / f"blog-{service}-health")
        if (STACK / service / "web-config.sh").exists():
            _program(STACK / service / "web-config.sh", programs / service)
    for path in (root, *root.rglob("*"), programs):
        if path.is_dir():
            path.chmod(0o755)


def contained(programs: Path) -> tuple[Contained, ...]:
    """The services in the order of their dependence."""

    def own(part: str, directory: str, user: str) -> str:
        return f"mount --bind {programs}/{part} /usr/local/bin/web-config\ninstall -d -o {user} -g {user} {directory}"

    nginx = f"{own('nginx', '/run/nginx', '33')}\necho '{REAL_IP}' > /run/nginx/real-ip.conf"
    return (
        Contained(
            "blog-redis",
            "6379:6379",
            f"{own('redis', '/run/redis', '6379')}\nexport BLOG_REDIS_CACHE=64mb",
            "/usr/local/bin/blog-redis",
        ),
        Contained(
            "blog-php",
            "0:33",
            own("php", "/run/homeport", "0"),
            "php-fpm8.4 --nodaemonize --fpm-config /etc/homeport/php-fpm.conf",
        ),
        Contained("blog-nginx", "33:33", nginx, "nginx -c /etc/homeport/nginx.conf -e /dev/stderr -g 'daemon off;'"),
        Contained("blog-site-files", "0:0", ":", "sleep infinity"),
    )


def _php(root: Path) -> None:
    """This machine's PHP under the name that the image's has, with the image's settings."""
    found = sorted(Path("/usr/sbin").glob("php-fpm*"))
    if not found:
        raise ServiceFailed("php-fpm is not installed: apt-get install php-fpm")
    version = found[-1].name.removeprefix("php-fpm")
    (root / "usr/local/sbin/php-fpm8.4").symlink_to(found[-1])
    for kind in ("fpm", "cli"):
        place = root / "etc/php" / version / kind / "conf.d"
        place.mkdir(parents=True)
        shutil.copy(STACK / "php/php.ini", place / "99-homeport.ini")
        (place / "99-tests.ini").write_text(PHP_OF_TESTS)


def _program(source: Path, target: Path) -> None:
    shutil.copy(source, target)
    target.chmod(0o755)
