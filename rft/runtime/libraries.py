"""Libraries that rft can do without: whether one is installed, new enough, and can be imported; an error says which."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, requires, version

from rft.errors import RftError
from rft.runtime.collection import collect_seldom


def find_unmet_requirement(name: str, owner: str = "rft") -> str | None:
    """Return how the installed version of a distribution falls short, as what somebody needs; None where it does not.

    Args:
        name: of the distribution.
        owner: the distribution that needs it; its metadata says which versions.

    >>> find_unmet_requirement("no-such-library")
    'no-such-library, which is not installed'
    """
    try:
        installed = version(name)
    except PackageNotFoundError:
        return f"{name}, which is not installed"
    wanted = _find_versions(name, owner)
    return f"{name}{wanted}, and version {installed} is installed" if wanted else None


def _find_versions(name: str, owner: str) -> str | None:
    """Return the versions of a distribution that its owner asks for, where the installed one is none of them."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    try:
        lines = requires(owner) or []
    except PackageNotFoundError:  # a source tree that was not installed says nothing
        return None
    wanted = {canonicalize_name(line.name): line.specifier for line in map(Requirement, lines)}
    versions = wanted.get(canonicalize_name(name))
    fits = versions is None or versions.contains(version(name), prereleases=True)
    return None if fits else str(versions)


@contextmanager
def library_import(
    name: str, *, error: type[RftError], where: str, install: str, user: str = "", owner: str = "rft"
) -> Iterator[None]:
    """Turn what the import of a library raises into an error that says whether it is absent, too old or broken.

    Args:
        name: of its distribution.
        error: the error to raise.
        where: what of the config needs it.
        install: the pip command that brings it.
        user: who needs it, before "needs"; empty where ``where`` says so.
        owner: the distribution that needs it, whose metadata says which versions.

    Raises:
        RftError: of the kind ``error``.
    """
    start = f"{user} needs".lstrip()
    if (unmet := find_unmet_requirement(name, owner)) is not None:
        raise error(f"{start} {unmet}", where=where, remedy=install)
    try:
        with collect_seldom():
            yield
    except RftError:
        raise
    except Exception as problem:  # a library that does not fit to another one fails in any way
        said = next(iter(str(problem).splitlines()), "")
        what = f"{start} {name}, of which version {version(name)} is installed and cannot be imported: "
        raise error(
            f"{what}{type(problem).__name__}: {said}", where=where, remedy=_suggest_repair(name, problem, install)
        ) from problem


def _suggest_repair(name: str, problem: Exception, install: str) -> str:
    missing = (problem.name or "").split(".")[0] if isinstance(problem, ModuleNotFoundError) else ""
    if missing and missing != _name_module(name):
        return f"It lacks the module {missing!r}: {install} brings what it needs."
    again = f"pip install --force-reinstall --no-deps {name}"
    return (
        f"Install it anew ({again}), or a version that fits to the other libraries: pip check lists those that do not."
    )


def import_library(name: str, *, error: type[RftError], where: str, install: str, owner: str = "rft") -> None:
    """Import the module of a distribution, so that a broken one is told before work that needs it; see above.

    A distribution without a module of its name, such as one of programs, is let be.
    """
    with library_import(name, error=error, where=where, install=install, owner=owner):
        if (module := _name_module(name)) is not None:
            import_module(module)


def _name_module(name: str) -> str | None:
    """Return the module of a distribution: the one of its name, or the first that it lists; None: it has none."""
    likely, about = name.replace("-", "_"), distribution(name)
    files = (file.parts[0].removesuffix(".py") for file in about.files or () if file.suffix == ".py")
    modules = (about.read_text("top_level.txt") or "").split() or list(dict.fromkeys(files))
    return likely if likely in modules else next(iter(modules), None)
