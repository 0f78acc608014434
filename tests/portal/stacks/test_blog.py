"""`homeport stack init blog` and `check blog`: what is the sites' own in them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portal.stacks import dotenv
from portal.stacks.prepare import CannotPrepare, prepare
from portal.stacks.secret_files import BLOG_SECRETS
from portal.stacks.stack import Stack
from tests.portal.conftest import Ended
from tests.portal.stacks.conftest import DOCKER, Workplace

ROOT = Path(__file__).parents[3]
BLOG = ROOT / "stacks" / "blog"
README = (BLOG / "README.md").read_text()
COMPOSE = (BLOG / "compose.yaml").read_text()
STACK = Stack("blog", BLOG, {})


class Blog(Workplace):
    @property
    def stack(self) -> Stack:
        return Stack("blog", self.directory, self.environ)


@pytest.fixture
def blog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_stack: Callable[..., Ended]) -> Blog:
    """Everything in order, but the places, which are this machine's."""
    directory = tmp_path / "stacks" / "blog"
    directory.mkdir(parents=True)
    for name in ("compose.yaml", ".env.example"):
        shutil.copy(BLOG / name, directory)
    docker = tmp_path / "bin"
    docker.mkdir()
    (docker / "docker").write_text(DOCKER)
    (docker / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker}:/usr/bin:/bin")
    work = Blog(directory, docker, run_stack)
    for name, said in {"engine": "20.10.24\n", "compose": "2.26.1-4\n", "config": "", "ps": ""}.items():
        work.answer(name, said)
    prepare(work.stack, datetime.now(UTC))
    for variable in ("HOMEPORT_SSD", "HOMEPORT_HDD"):
        (tmp_path / variable).mkdir()
        work.set(**{variable: str(tmp_path / variable)})
    return work


def test_init_draws_every_password_and_leaves_the_tunnels_token_to_the_operator(blog: Blog) -> None:
    assert {path.name for path in blog.secrets.iterdir()} == {each.path for each in BLOG_SECRETS if each.draw}
    assert blog.found() == [
        ("secrets", "secrets/blog_cloudflared_token is missing"),
    ]
    blog.secret("blog_cloudflared_token", "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZiJ9\n")
    assert blog.found() == []


def test_remedies_name_this_stack(blog: Blog) -> None:
    blog.secret("blog_db_admin_password", "changeme")
    assert "homeport stack init blog" in blog.run("check", "blog").out


def test_there_is_no_certificate_to_be_made(blog: Blog) -> None:
    with pytest.raises(CannotPrepare, match="tunnel"):
        prepare(blog.stack, datetime.now(UTC), self_signed=True)


def test_cache_that_does_not_fit_is_a_problem_before_it_is_full(blog: Blog) -> None:
    blog.secret("blog_cloudflared_token", "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZiJ9\n")
    blog.set(BLOG_DB_BUFFER_POOL="900M", BLOG_REDIS_CACHE="500mb", BLOG_REDIS_MEMORY="1g")
    assert blog.found() == [
        ("memory", "BLOG_DB_MEMORY is 1g, too little for BLOG_DB_BUFFER_POOL, which is 900M"),
    ]
    blog.set(BLOG_DB_MEMORY="1536m")
    assert blog.found() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BLOG_DB_BUFFER_POOL", "256"),
        ("BLOG_REDIS_CACHE", "256M"),
        ("BLOG_PHP_MEMORY", "2GB"),
        ("WP_CLI", "latest"),
    ],
)
def test_value_that_its_program_would_not_take_is_said(blog: Blog, name: str, value: str) -> None:
    blog.set(**{name: value})
    assert any(check == "values" and text.startswith(name) for check, text in blog.found())


def test_example_is_read_without_mistake_and_has_every_variable() -> None:
    text = (BLOG / ".env.example").read_text()
    assert dotenv.read(text).mistakes == ()
    named = dict(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE))
    assert named == STACK.defaults


def test_every_secret_of_the_file_is_known_and_drawn_or_asked_for() -> None:
    named = set(re.findall(r"^  (blog_\w+): \{ file:", COMPOSE, re.MULTILINE))
    assert named == {each.path for each in BLOG_SECRETS}


def test_readme_lists_every_service_and_network() -> None:
    services = set(re.findall(r"^  (blog-[a-z-]+):", COMPOSE.partition("\nservices:\n")[2], re.MULTILINE))
    assert set(re.findall(r"^\| `(blog-[a-z-]+)` ", README, re.MULTILINE)) == services
    networks = COMPOSE.partition("\nnetworks:\n")[2].partition("\nvolumes:")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` ", README, re.MULTILINE)) == set(
        re.findall(r"^  ([a-z_]+):", networks, re.MULTILINE)
    )
