"""Read the definitions of findings out of the code: what each call of ``FindingDefinition`` gives, with stand-ins.

A definition is written where it is measured, so that parts of its texts are variables. They are looked up as Python
would: in the module, in the assignments of the function, in the calls of the function; what is only known in a run is
a stand-in, such as ``<attribute>``. A variable without any of these is an error that names the place.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support import ROOT

Function = ast.FunctionDef | ast.Module
Variables = Mapping[str, Any]


@dataclass(frozen=True)
class Site:
    """A call in the code.

    Attributes:
        module: in which it stands.
        function: around it; the module for a constant.
        call: itself.
    """

    module: ModuleType
    function: Function
    call: ast.Call

    @property
    def name(self) -> str:
        """Where it stands, as ``rft.module.function``."""
        return f"{self.module.__name__}.{getattr(self.function, 'name', '<module>')}"


def list_sites(folder: Path, called: str) -> Iterator[Site]:
    """Yield the calls of a name in the files of a folder."""
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if f"{called}(" in source:
            parts = path.relative_to(ROOT).with_suffix("").parts
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            for function, call in _walk_calls(ast.parse(source), called):
                yield Site(module, function, call)


def _walk_calls(tree: ast.Module, called: str) -> Iterator[tuple[Function, ast.Call]]:
    """Yield the calls of a name with the innermost function around each."""
    pending: list[tuple[Function, ast.AST]] = [(tree, tree)]
    while pending:
        function, node = pending.pop()
        if isinstance(node, ast.Call) and ast.unparse(node.func) == called:
            yield function, node
        inner = node if isinstance(node, ast.FunctionDef) else function
        pending += [(inner, child) for child in ast.iter_child_nodes(node)]


@dataclass(frozen=True)
class Evaluation:
    """What one call gives.

    Attributes:
        arguments: by their names.
        statements: the methods (``state_estimate``) that state the definition; empty where it is handed on.
    """

    arguments: Mapping[str, Any]
    statements: frozenset[str]


def evaluate_site(
    site: Site, parameters: Sequence[str], stand_ins: Variables, variants: Sequence[Variables] = ()
) -> Iterator[Evaluation]:
    """Yield what the call gives: once for each variant of the variables, or for each call of its function.

    Args:
        site: the call.
        parameters: those that are wanted, the positional ones first and in their order.
        stand_ins: name -> value of what is only known in a run.
        variants: values of further variables, for what is defined once and stated of several things.
    """
    given = dict(zip(parameters, site.call.args, strict=False))
    given |= {word.arg: word.value for word in site.call.keywords if word.arg and word.arg in parameters}
    calls = list(_list_calls_of_function(site))
    bindings = [(variant, calls) for variant in variants]
    bindings = bindings or [(_bind_parameters(site, call, stand_ins), [call]) for call in calls] or [({}, [])]
    for binding, asked_by in bindings:
        arguments = {name: _evaluate(value, site, {**stand_ins, **binding}) for name, value in given.items()}
        yield Evaluation(arguments, frozenset(_list_statements(site, asked_by)))


@cache
def _parse_module(module: ModuleType) -> ast.Module:
    return ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))


def _list_calls_of_function(site: Site) -> Iterator[Site]:
    """Yield where the function around a site is called in its module."""
    if isinstance(site.function, ast.FunctionDef):
        for caller, call in _walk_calls(_parse_module(site.module), site.function.name):
            yield Site(site.module, caller, call)


def _list_statements(site: Site, asked_by: Sequence[Site]) -> set[str]:
    tree = _parse_module(site.module)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    if isinstance(site.function, ast.Module):
        names = _names_given_to(tree, site.call)
        return set().union(*(_list_methods(function, names, functions) for function in functions.values()))
    stated = _list_methods(site.function, _names_given_to(site.function, site.call), functions)
    for place in asked_by:
        receivers = {ast.unparse(place.call), *_names_given_to(place.function, place.call)}
        stated |= _list_methods(place.function, receivers, functions)
    return stated


def _names_given_to(place: ast.AST, call: ast.Call) -> set[str]:
    """Return the names of the variables that hold what a call gives."""
    return {
        ast.unparse(node.targets[0])
        for node in ast.walk(place)
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == ast.unparse(call)
    }


def _list_methods(function: ast.AST, receivers: set[str], functions: Mapping[str, ast.FunctionDef]) -> set[str]:
    """Return the ``state_...`` methods that a function calls of a definition, or has another function call of it."""
    methods = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in receivers:
            methods.add(node.func.attr)
        handed = [number for number, argument in enumerate(node.args) if ast.unparse(argument) in receivers]
        helper = functions.get(ast.unparse(node.func))
        if handed and helper is not None and helper is not function:
            methods |= _list_methods(helper, {helper.args.args[handed[0]].arg}, functions)
    return methods


def _bind_parameters(site: Site, caller: Site, stand_ins: Variables) -> dict[str, Any]:
    """Return the parameters of the function around a site as one call gives them, but for what only a run knows."""
    assert isinstance(site.function, ast.FunctionDef)
    names = [argument.arg for argument in site.function.args.args]
    given = dict(zip(names, caller.call.args, strict=False))
    given |= {word.arg: word.value for word in caller.call.keywords if word.arg}
    bound = {}
    for name, expression in given.items():
        try:
            bound[name] = _evaluate(expression, caller, stand_ins)
        except LookupError:
            continue  # the definition may do without it, or has a stand-in
    if variadic := site.function.args.vararg:
        bound[variadic.arg] = [_evaluate(extra, caller, stand_ins) for extra in caller.call.args[len(names) :]]
    return _defaults(site) | bound


def _defaults(site: Site) -> dict[str, Any]:
    """Return the defaults of the parameters of the function around a site."""
    assert isinstance(site.function, ast.FunctionDef)
    arguments = site.function.args
    pairs = [*zip(arguments.args[::-1], arguments.defaults[::-1], strict=False)]
    pairs += [(name, value) for name, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value]
    return {name.arg: _evaluate(value, site, {}) for name, value in pairs}


def _evaluate(expression: ast.expr, site: Site, variables: Variables) -> Any:
    """Return the value of an expression; raises ``LookupError`` for a variable that nothing gives a value."""
    known = dict(variables)
    while True:
        try:
            code = compile(ast.Expression(expression), site.name, "eval")
            return eval(code, {**vars(site.module), **known})
        except NameError as error:
            if error.name is None or error.name in known:
                raise
            known[error.name] = _evaluate_local(error.name, site, variables)


def _list_names(expression: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}


def _evaluate_local(name: str, site: Site, variables: Variables) -> Any:
    """Return what a function assigns to a variable, where that does not follow from the variable itself."""
    for node in ast.walk(site.function):
        if not isinstance(node, ast.Assign) or name in {
            inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)
        }:
            continue
        target = node.targets[0]
        names = [ast.unparse(part) for part in target.elts] if isinstance(target, ast.Tuple) else []
        if ast.unparse(target) == name:
            return _evaluate(node.value, site, variables)
        if name in names:
            return _evaluate(node.value, site, variables)[names.index(name)]
    raise LookupError(f"{site.name}: nothing gives {name!r} a value: add a stand-in")
