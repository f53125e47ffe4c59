"""Draw the rooms of rft into docs/architecture.md, from its imports: python tests/support/draw_rooms.py

An arrow leads from a room to one that it imports from. One that follows from others (a to b and b to c give a to c) is
left out, so that what is drawn can be read.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE, PAGE = ROOT / "rft", ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: drawn by tests/support/draw_rooms.py -->", "<!-- end of rooms -->"
# Imported by nearly all: arrows to them would say nothing.
EVERYWHERE = {"errors", "expectations", "references", "visible", "version"}


def room_of(file: Path) -> str:
    """Return the room of a file of rft: its folder, or its own name at the top."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(file: Path, rooms: Set[str]) -> Iterator[str]:
    """Yield those of the rooms that a file imports from, deferred imports included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rft":
            parts = node.module.split(".")
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            yield from (name for name in names if name in rooms)


def room_imports() -> dict[str, set[str]]:
    """Return room -> the rooms that it imports from."""
    arrows: dict[str, set[str]] = {}
    files = sorted(SOURCE.rglob("*.py"))
    rooms = {room_of(file) for file in files}
    for file in files:
        if (room := room_of(file)) not in ("__init__", "__main__"):
            arrows.setdefault(room, set()).update(set(imported_rooms(file, rooms)) - {room} - EVERYWHERE)
    return {room: targets for room, targets in arrows.items() if room not in EVERYWHERE}


def reachable_rooms(arrows: Mapping[str, set[str]], room: str) -> set[str]:
    """Return all rooms that can be reached from a room."""
    seen: set[str] = set()
    ahead = list(arrows.get(room, ()))
    while ahead:
        if (following := ahead.pop()) not in seen:
            seen.add(following)
            ahead += arrows.get(following, ())
    return seen


def without_detours(arrows: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the arrows that do not follow from others."""
    return {
        room: {
            target
            for target in targets
            if not any(target in reachable_rooms(arrows, between) for between in targets - {target})
        }
        for room, targets in arrows.items()
    }


def draw_rooms() -> str:
    """Return the image as a diagram of Mermaid, which hosts of code show as an image."""
    arrows = without_detours(room_imports())
    lines = [f"    {room} --> {target}" for room in sorted(arrows) for target in sorted(arrows[room])]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def with_rooms(page: str) -> str:
    """Return the text of the page with the present image."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{draw_rooms()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_rooms(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
