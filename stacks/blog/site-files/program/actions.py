"""What the program does, one function an action. Each is given the sites' root, held open and locked for that site."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import archives
import configuration
import trees
from failures import Failure
from request import Request

ROOT = os.environ.get("HOMEPORT_SITES_ROOT", "/srv/sites")
IMPORTS = os.environ.get("HOMEPORT_IMPORT_DIR", "/srv/import")
WORDPRESS = os.environ.get("HOMEPORT_WORDPRESS", "/usr/local/share/homeport/wordpress")

WEB_GROUP = 33  # www-data: nginx
SITE_MODE, PUBLIC_MODE, OWN_MODE, SECRET_MODE = 0o711, 0o2750, 0o700, 0o400
LOCKS, REMOVED = ".locks", ".removed"
FRESH = ".fresh"  # beside public/ while that is the WordPress of `create`, which an import may replace
_IMPORTED, _REPLACED = ".import", ".replaced"
_CONTENT = {"plugin": "plugins", "theme": "themes"}
_MAX_CONFIG = 256 * 1024


def do(asked: Request) -> dict[str, Any]:
    """Return what the answer says besides "ok". Raise Failure, or OSError."""
    with trees.directory(ROOT) as root, _locked(asked.site, root):
        return _ACTIONS[asked.action](asked, root)


def create(asked: Request, root: int) -> dict[str, Any]:
    if trees.kind(asked.site, root):
        with _own_tree(asked, root) as tree:
            if not trees.kind(FRESH, tree):
                raise Failure("exists", "the site has a tree already")
            _write_secrets(asked, tree)  # an answer that got lost is asked for again: uids are given once
        return {}
    with _new_tree(asked, root) as tree:
        with trees.directory(WORDPRESS) as template, trees.directory("public", tree) as public:
            trees.copy(template, public, uid=asked.uid, is_allowed=lambda _: True, count=trees.Count())
            _tie(public, asked.uid, configuration.DEFAULT_PREFIX)
        trees.write(FRESH, tree, b"", mode=SECRET_MODE, uid=0, gid=0)
    return {}


def import_archive(asked: Request, root: int) -> dict[str, Any]:
    """A new tree, or that of `create`, with what the archive holds."""
    if not trees.kind(asked.site, root):
        with _new_tree(asked, root) as tree:
            return _import_into(tree, asked)
    with _own_tree(asked, root) as tree:
        if trees.kind(_REPLACED, tree) and not trees.kind("public", tree):  # a former import ended between two renames
            os.rename(_REPLACED, "public", src_dir_fd=tree, dst_dir_fd=tree)
        if not _is_replaceable(tree):
            raise Failure("exists", "the site holds something already")
        _write_secrets(asked, tree)
        return _import_into(tree, asked)


def _import_into(tree: int, asked: Request) -> dict[str, Any]:
    count = trees.Count()
    trees.remove(_IMPORTED, tree)
    trees.remove(_REPLACED, tree)
    with (
        trees.gone_on_failure(_IMPORTED, tree),
        trees.directory(IMPORTS) as imports,
        trees.new_directory(_IMPORTED, tree) as unpacked,
    ):
        skipped = archives.unpack(asked.texts["archive"], imports, unpacked, uid=asked.uid, count=count)
        with _wordpress_in(unpacked) as (place, parts), trees.directory("private", tree) as private:
            prefix = _set_aside(place, private, asked.uid)
            _tie(place, asked.uid, prefix)
            trees.give(place, asked.uid, WEB_GROUP, PUBLIC_MODE)
        _sync(unpacked)
    found = "/".join((_IMPORTED, *parts))  # of directories that root alone can enter
    os.rename("public", _REPLACED, src_dir_fd=tree, dst_dir_fd=tree)
    os.rename(found, "public", src_dir_fd=tree, dst_dir_fd=tree)
    trees.remove(FRESH, tree)
    os.fsync(tree)
    trees.remove(_REPLACED, tree)
    trees.remove(_IMPORTED, tree)
    return {"files": count.files, "bytes": count.bytes, "skipped": skipped, "table_prefix": prefix}


def remove(asked: Request, root: int) -> dict[str, Any]:
    with _tree(asked, root):
        pass
    with contextlib.suppress(FileExistsError):
        os.mkdir(REMOVED, OWN_MODE, dir_fd=root)
    with trees.directory(REMOVED, root) as removed:
        moment = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        while trees.kind(name := f"{asked.site}-{moment}-{asked.texts['id']}", removed):
            moment += "-2"
        os.rename(asked.site, name, src_dir_fd=root, dst_dir_fd=removed)
        os.fsync(removed)
    os.fsync(root)
    return {"removed_as": name}


def bring_back(asked: Request, root: int) -> dict[str, Any]:
    """The tree that went last under this id; one that is there never went."""
    if trees.kind(asked.site, root):
        with _tree(asked, root):
            return {"was_removed": False}
    if not trees.kind(REMOVED, root):
        raise Failure("missing", "no tree was ever removed")
    with trees.directory(REMOVED, root) as removed:
        form = re.compile(rf"{asked.site}-([0-9]{{8}}T[0-9]{{6}}Z(?:-2)*)-{asked.texts['id']}")
        with os.scandir(removed) as entries:
            found = {match[1]: match[0] for entry in entries if (match := form.fullmatch(entry.name))}
        if not found:
            raise Failure("missing", "no tree of this site was removed under this id")
        last = found[max(found)]
        with trees.directory(last, removed) as tree, _owned("private", tree, asked.uid):
            pass
        os.rename(last, asked.site, src_dir_fd=removed, dst_dir_fd=root)
        os.fsync(removed)
    os.fsync(root)
    return {"was_removed": True}


def keep(asked: Request, root: int) -> dict[str, Any]:
    with _tree(asked, root) as tree, _owned("kept", tree, asked.uid) as kept, _content(asked, tree) as content:
        name = _installed(asked.texts["slug"], content)
        label, new = _label(asked), f".new-{asked.texts['id']}"
        if not trees.kind(asked.texts["id"], kept):
            _own_directory(asked.texts["id"], kept, asked.uid)
        with _owned(asked.texts["id"], kept, asked.uid) as place:
            if not trees.kind(label, place):
                trees.remove(new, kept)
                with trees.gone_on_failure(new, kept):
                    _own_directory(new, kept, asked.uid)
                    with _owned(new, kept, asked.uid) as target:
                        _copy_installed(name, content, name, target, asked.uid)
                os.rename(new, label, src_dir_fd=kept, dst_dir_fd=place)
                os.fsync(place)
    return {"version_kept": True}


def put_back(asked: Request, root: int) -> dict[str, Any]:
    new, old = f".new-{asked.texts['id']}", f".old-{asked.texts['id']}"
    with (
        _tree(asked, root) as tree,
        _content(asked, tree) as content,
        _owned("kept", tree, asked.uid) as kept,
        _owned(asked.texts["id"], kept, asked.uid) as place,
        _owned(_label(asked), place, asked.uid) as source,
    ):
        name = _installed(asked.texts["slug"], source)
        for left in (new, old):
            trees.remove(left, content)
        with trees.gone_on_failure(new, content):
            _copy_installed(name, source, new, content, asked.uid)
        if trees.kind(name, content):
            os.rename(name, old, src_dir_fd=content, dst_dir_fd=content)
        os.rename(new, name, src_dir_fd=content, dst_dir_fd=content)
        os.fsync(content)
        trees.remove(old, content)
    return {}


def forget(asked: Request, root: int) -> dict[str, Any]:
    with _tree(asked, root) as tree, _owned("kept", tree, asked.uid) as kept:
        for name in (asked.texts["id"], f".new-{asked.texts['id']}"):
            trees.remove(name, kept)
    return {}


def write_secrets(asked: Request, root: int) -> dict[str, Any]:
    with _tree(asked, root) as tree:
        _write_secrets(asked, tree)
        if asked.drop_mail or asked.renew_salts:
            with trees.directory("private", tree) as private:
                if asked.drop_mail:
                    trees.remove(configuration.FILES["mail"], private)
                if asked.renew_salts:
                    _own(private, "wp-salts.php", configuration.salts(), asked.uid)
    return {}


def measure(asked: Request, root: int) -> dict[str, Any]:
    counts = {name: trees.Count() for name in ("public", "kept", "private", "tmp")}
    is_whole = True
    with _tree(asked, root) as tree:
        for name, count in counts.items():
            with trees.directory(name, tree) as place:
                is_whole &= trees.measure(place, count)
    return {
        "files": sum(count.files for count in counts.values()),
        "bytes": sum(count.bytes for count in counts.values()),
        "public_bytes": counts["public"].bytes,
        "kept_bytes": counts["kept"].bytes,
        "is_truncated": not is_whole,
    }


_ACTIONS: Mapping[str, Callable[[Request, int], dict[str, Any]]] = {
    "create": create,
    "import": import_archive,
    "remove": remove,
    "bring-back": bring_back,
    "keep": keep,
    "put-back": put_back,
    "forget": forget,
    "secrets": write_secrets,
    "measure": measure,
}


@contextlib.contextmanager
def _locked(site: str, root: int) -> Iterator[None]:
    """One action on a site at a time; a second one waits, for as long as its caller lets it."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(LOCKS, OWN_MODE, dir_fd=root)
    with trees.directory(LOCKS, root) as locks:
        held = os.open(site, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=locks)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
        finally:
            os.close(held)


@contextlib.contextmanager
def _new_tree(asked: Request, root: int) -> Iterator[int]:
    """Make a tree with an empty public/, which is the site's when this is left without an error, and gone otherwise."""
    new = f".new-{asked.site}"
    trees.remove(new, root)
    with trees.gone_on_failure(new, root), trees.new_directory(new, root) as tree:
        with trees.new_directory("public", tree) as public:
            trees.give(public, asked.uid, WEB_GROUP, PUBLIC_MODE)
        for name in ("private", "tmp", "kept"):
            _own_directory(name, tree, asked.uid)
        with trees.directory("private", tree) as private:
            _own(private, "wp-secrets.php", configuration.SECRETS.encode(), asked.uid)
            _own(private, "wp-salts.php", configuration.salts(), asked.uid)
        _write_secrets(asked, tree)
        yield tree
        os.fchmod(tree, SITE_MODE)
        _sync(tree)
    os.rename(new, asked.site, src_dir_fd=root, dst_dir_fd=root)
    os.fsync(root)


@contextlib.contextmanager
def _tree(asked: Request, root: int) -> Iterator[int]:
    """The site's directory, if it is that of this uid."""
    if not trees.kind(asked.site, root):
        raise Failure("missing", "the site has no tree")
    with trees.directory(asked.site, root) as tree:
        with _owned("private", tree, asked.uid):
            pass
        yield tree


@contextlib.contextmanager
def _own_tree(asked: Request, root: int) -> Iterator[int]:
    """The same for who wants to make it: whatever else is there is in the way."""
    with contextlib.ExitStack() as stack:
        try:
            tree = stack.enter_context(_tree(asked, root))
        except Failure as failure:
            raise Failure("exists", f"something else is there: {failure}") from None
        yield tree


@contextlib.contextmanager
def _owned(name: str, place: int, uid: int) -> Iterator[int]:
    with trees.directory(name, place) as opened:
        if os.fstat(opened).st_uid != uid:
            raise Failure("unsafe", f"{name} belongs to another uid")
        yield opened


@contextlib.contextmanager
def _content(asked: Request, tree: int) -> Iterator[int]:
    """Where plugins or themes are."""
    with (
        _owned("public", tree, asked.uid) as public,
        _owned("wp-content", public, asked.uid) as content,
        _owned(_CONTENT[asked.texts["kind"]], content, asked.uid) as place,
    ):
        yield place


def _installed(slug: str, place: int) -> str:
    """The name of a plugin's or theme's directory, or of the single file that a plugin may be."""
    for name, wanted in ((slug, stat.S_IFDIR), (f"{slug}.php", stat.S_IFREG)):
        if trees.kind(name, place) == wanted:
            return name
    raise Failure("missing", "it is not there")


def _copy_installed(name: str, source: int, new: str, target: int, uid: int) -> None:
    def is_own(status: os.stat_result) -> bool:
        return status.st_uid == uid

    if trees.kind(name, source) == stat.S_IFREG:
        trees.copy_file(name, source, new, target, uid=uid, is_allowed=is_own)
        return
    with _owned(name, source, uid) as inner, trees.new_directory(new, target) as made:
        trees.copy(inner, made, uid=uid, is_allowed=is_own, count=trees.Count())
        trees.give(made, uid, uid, trees.DIRECTORY_MODE)


def _label(asked: Request) -> str:
    return f"{asked.texts['kind']}-{asked.texts['slug']}"


def _own_directory(name: str, place: int, uid: int) -> None:
    with trees.new_directory(name, place) as made:
        trees.give(made, uid, uid, OWN_MODE)


def _write_secrets(asked: Request, tree: int) -> None:
    with _owned("private", tree, asked.uid) as private:
        for part, fields in asked.secrets.items():
            _own(private, configuration.FILES[part], configuration.WRITERS[part](fields), asked.uid)


def _own(place: int, name: str, content: bytes, uid: int) -> None:
    trees.write(name, place, content, mode=SECRET_MODE, uid=uid, gid=uid)


def _tie(public: int, uid: int, prefix: str) -> None:
    """Put the files into a WordPress that tie it to Homeport."""

    def put(place: int, name: str, content: bytes) -> None:
        trees.write(name, place, content, mode=trees.FILE_MODE, uid=uid, gid=uid)

    put(public, "wp-config.php", configuration.config(prefix))
    with contextlib.ExitStack() as stack:
        place = public
        for name in ("wp-content", "mu-plugins"):
            if not trees.kind(name, place):
                with trees.new_directory(name, place) as made:
                    trees.give(made, uid, uid, trees.DIRECTORY_MODE)
            place = stack.enter_context(trees.directory(name, place))
            if name == "wp-content":
                put(place, "object-cache.php", configuration.OBJECT_CACHE.encode())
        put(place, "homeport.php", configuration.MUST_USE.encode())


def _is_replaceable(tree: int) -> bool:
    """Whether public/ is empty, or what `create` put there and nobody has uploaded to."""
    with trees.directory("public", tree) as public:
        if not trees.names(public):
            return True
        if not trees.kind(FRESH, tree):
            return False
        with trees.directory("wp-content", public) as content:
            return not trees.kind("uploads", content)


@contextlib.contextmanager
def _wordpress_in(unpacked: int) -> Iterator[tuple[int, list[str]]]:
    """The directory of an unpacked archive that WordPress lies in: the archive itself, or one of its first levels."""
    level: list[list[str]] = [[]]
    for _ in range(6):
        below: list[list[str]] = []
        for parts in level:
            with contextlib.ExitStack() as stack:
                place = unpacked
                for part in parts:
                    place = stack.enter_context(trees.directory(part, place))
                if trees.kind("wp-settings.php", place) == stat.S_IFREG:
                    yield place, parts
                    return
                below += [[*parts, name] for name in trees.names(place) if trees.kind(name, place) == stat.S_IFDIR]
        level = below
    raise Failure("unreadable", "there is no WordPress in the archive")


def _set_aside(place: int, private: int, uid: int) -> str:
    """Move what ours replaces to private/, where nothing is served; return the prefix of the tables."""
    prefix = configuration.DEFAULT_PREFIX
    content = trees.read("wp-config.php", place, _MAX_CONFIG)
    if content is not None:
        prefix = configuration.prefix_of(content) or prefix
        _own(private, "wp-config.imported.php", content, uid)
        trees.remove("wp-config.php", place)
    if trees.kind("wp-content", place):
        with trees.directory("wp-content", place) as inner:
            cache = trees.read("object-cache.php", inner, _MAX_CONFIG * 4)
            if cache is not None:
                _own(private, "object-cache.imported.php", cache, uid)
                trees.remove("object-cache.php", inner)
    return prefix


def _sync(place: int) -> None:
    """Have the file system write what it holds: one call instead of one for each of some thousand files."""
    if ctypes.CDLL(None, use_errno=True).syncfs(place) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
