"""Count what can be counted of how the code reads: python tests/support/house_counts.py [FOLDER ...]

One line a figure, so that two versions can be laid side by side. Nothing is imported, the files are only parsed.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef

PLACEHOLDERS = {
    *("each", "own", "found", "made", "other", "one", "it", "thing", "given", "what", "tell", "of", "sub", "res"),
    *("tmp", "ret", "val", "obj"),
}
# Names that a protocol of Python, torch, logging, pydantic or an estimator prescribes.
PRESCRIBED = {
    *("forward", "backward", "step", "fit", "predict", "audit", "check", "trainer", "main", "setup", "close", "read"),
    *("write", "save", "load", "fileno", "emit", "format", "visit", "transform", "batch", "batches"),
}
ARRAYS = re.compile(r"\b(ndarray|Tensor|NDArray|ArrayLike)\b")
NAMED_ARRAYS = re.compile(r"\b(dict|Mapping)\[str, (torch\.)?Tensor\]")  # the state of a model: of many shapes
SIZE = r"(\.\.\.|\w+( [*+] \w+)*)"
SHAPE = re.compile(rf"\({SIZE}(, {SIZE})+\)|\({SIZE},\)|\(\.\.\.\)|\bshapes?\b|\bone row an?\b")


@dataclass(frozen=True)
class HouseCounts:
    """Figures of a tree of Python files.

    Attributes:
        files, lines: how many there are.
        file_lines, body_lines: (median, a high quantile, the longest) of files (90 %) and of function bodies (95 %),
            counted in lines that are neither blank, comment nor docstring.
        most_parameters: of any function.
        one_word_names: share of functions whose name is a single word, those aside that a protocol prescribes.
        placeholders: bindings of names that say nothing, in 1,000 lines of the files.
        shapes: share of the documented functions with arrays among arguments or results whose docstring gives shapes.
        comments: in 100 lines of the files.
    """

    files: int
    lines: int
    file_lines: tuple[float, float, int]
    body_lines: tuple[float, float, int]
    most_parameters: int
    one_word_names: float
    placeholders: float
    shapes: float
    comments: float

    def describe(self) -> str:
        """Return the figures as lines of text."""
        return "\n".join(
            [
                f"files                                  {self.files}",
                f"lines                                  {self.lines}",
                "lines of a file, median/p90/max        {:.0f}/{:.0f}/{}".format(*self.file_lines),
                "body of a function, median/p95/max     {:.0f}/{:.0f}/{}".format(*self.body_lines),
                f"most parameters                        {self.most_parameters}",
                f"one-word function names                {self.one_word_names:.1%}",
                f"placeholder bindings per 1,000 lines   {self.placeholders:.1f}",
                f"shapes where arrays go in or out       {self.shapes:.1%}",
                f"comments per 100 lines                 {self.comments:.1f}",
            ]
        )


def count_house(folders: list[Path]) -> HouseCounts:
    """Count over all Python files below the folders."""
    files = sorted({file for folder in folders for file in ([folder] if folder.is_file() else folder.rglob("*.py"))})
    texts = [file.read_text(encoding="utf-8") for file in files]
    trees = [ast.parse(text) for text in texts]
    lines = [len(text.splitlines()) for text in texts]
    functions = [node for tree in trees for node in ast.walk(tree) if isinstance(node, FunctionNode)]
    bodies = [body_length(node) for node in functions]
    named = [node.name for node in functions if is_named_freely(node)]
    documented = [node for node in functions if ast.get_docstring(node) and handles_arrays(node)]
    total = max(1, sum(lines))
    return HouseCounts(
        files=len(files),
        lines=sum(lines),
        file_lines=(median(lines), quantile(lines, 90), max(lines)),
        body_lines=(median(bodies), quantile(bodies, 95), max(bodies)),
        most_parameters=max(count_parameters(node) for node in functions),
        one_word_names=share_of(len([name for name in named if "_" not in name.strip("_")]), len(named)),
        placeholders=1000 * sum(len(list(placeholder_bindings(tree))) for tree in trees) / total,
        shapes=share_of(len([n for n in documented if SHAPE.search(ast.get_docstring(n) or "")]), len(documented)),
        comments=100 * sum(map(count_comments, texts)) / total,
    )


def count_comments(text: str) -> int:
    """Return how many comments a file has, beside code or on lines of their own."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def share_of(part: int, whole: int) -> float:
    """Return part / whole, 0 of nothing."""
    return part / whole if whole else 0.0


def quantile(numbers: list[int], percent: int) -> float:
    """Return a percentile of numbers."""
    return quantiles(numbers, n=100)[percent - 1] if len(numbers) > 1 else float(numbers[0])


def is_named_freely(node: FunctionNode) -> bool:
    """Return whether a function's name was its author's choice: no dunder, property, hook or prescribed name."""
    decorators = {ast.unparse(decorator).split("(")[0].rpartition(".")[2] for decorator in node.decorator_list}
    hidden = node.name.startswith("__") or node.name in PRESCRIBED
    return not hidden and not decorators & {"property", "cached_property", "overload", "setter", "fixture"}


def body_length(node: FunctionNode) -> int:
    """Return how many lines of code a function has below its docstring."""
    statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return sum((statement.end_lineno or statement.lineno) - statement.lineno + 1 for statement in statements)


def count_parameters(node: FunctionNode) -> int:
    """Return how many parameters a function has, ``self`` among them."""
    arguments = node.args
    return len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs])


def handles_arrays(node: FunctionNode) -> bool:
    """Return whether an argument or the result of a function is annotated as an array."""
    arguments = node.args
    annotations = [argument.annotation for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    texts = [ast.unparse(note) for note in [*annotations, node.returns] if note is not None]
    return any(ARRAYS.search(NAMED_ARRAYS.sub("", text)) for text in texts)


def placeholder_bindings(tree: ast.AST) -> Iterator[str]:
    """Yield each binding of a name that says nothing: assigned, looped over, or a parameter."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in PLACEHOLDERS:
            yield node.id
        elif isinstance(node, ast.arg) and node.arg in PLACEHOLDERS:
            yield node.arg


if __name__ == "__main__":
    print(count_house([Path(name) for name in sys.argv[1:]] or [Path("rft")]).describe())
