"""Find in the package's own source which functions read a key of a sweep: `search.lr` and the like.

Everything here is annotated, so the type of `trial.search.lr` follows from annotations alone: of parameters, fields,
properties and what functions return. What is read by a computed name (`getattr(spec, phase).epochs`) counts for every
model that the name can mean.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import ofb_ray

Types = frozenset[str]  # names of classes
Readers = Mapping[tuple[str, str], Sequence[str]]
_NONE: Types = frozenset()
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


@dataclass
class Code:
    """What the annotations of a package say.

    Args:
        fields: of each class its fields, properties and methods, with the types of their values.
        bases: of each class those that it names.
        returns: of each function what it returns.
    """

    fields: dict[str, dict[str, Types]] = field(default_factory=dict)
    bases: dict[str, list[str]] = field(default_factory=dict)
    returns: dict[str, Types] = field(default_factory=dict)

    def line(self, name: str) -> list[str]:
        """The class and those that it descends from."""
        above = [each for base in self.bases.get(name, []) for each in self.line(base)]
        return [name, *above]

    def attribute(self, of: Types, name: str) -> Types:
        """The types of an attribute of any of these classes."""
        found = (self.fields[each].get(name, _NONE) for one in of for each in self.line(one) if each in self.fields)
        return frozenset().union(*found)

    def all_attributes(self, of: Types) -> Types:
        """The types of all attributes of these classes together."""
        found = (types for one in of for each in self.line(one) for types in self.fields.get(each, {}).values())
        return frozenset().union(*found)


@cache
def readers(root: Path | None = None) -> Readers:
    """Of each class and attribute the functions that read it, as `module.function`, in the order of the files.

    Args:
        root: the folder of the package; default: this one.
    """
    root = root or Path(ofb_ray.__file__).parent
    trees = {_module(path, root): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py"))}
    code = _code(trees.values())
    found: dict[tuple[str, str], list[str]] = {}
    for module, tree in trees.items():
        for where, reads in _functions(tree, code):
            name = f"{module}.{where}" if where else module
            for read in reads:
                if name not in (places := found.setdefault(read, [])):
                    places.append(name)
    return found


def _module(path: Path, root: Path) -> str:
    parts = (root.name, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _code(trees: Iterable[ast.Module]) -> Code:
    code = Code()
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    for node in classes:
        code.bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
        code.fields.setdefault(node.name, {})
    known = set(code.fields)
    for node in classes:
        code.fields[node.name] |= _fields(node, known)
    for tree in trees:
        for each in ast.walk(tree):
            if isinstance(each, _Function):
                code.returns[each.name] = code.returns.get(each.name, _NONE) | _named(each.returns, known)
    # `self.spec = spec` takes the type of the parameter.
    for node in classes:
        for method in (each for each in node.body if isinstance(each, _Function)):
            scope = Scope(code, _parameters(method, node.name, known))
            for target, value in _assigned(method):
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                ):
                    own = code.fields[node.name]
                    own[target.attr] = own.get(target.attr, _NONE) | scope.type_of(value)
    return code


def _fields(node: ast.ClassDef, known: set[str]) -> dict[str, Types]:
    found: dict[str, Types] = {}
    for each in ast.walk(node):
        if isinstance(each, ast.AnnAssign):
            name = each.target.id if isinstance(each.target, ast.Name) else getattr(each.target, "attr", "")
            found[name] = _named(each.annotation, known)
        elif isinstance(each, _Function):
            found[each.name] = _named(each.returns, known)
    return found


def _named(annotation: ast.expr | None, known: set[str]) -> Types:
    """The classes of the package that an annotation names; of a container those of its items."""
    if annotation is None:
        return _NONE
    texts = (
        each.value for each in ast.walk(annotation) if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )
    quoted = {name for text in texts for name in re.findall(r"\w+", text)}
    return frozenset(({each.id for each in ast.walk(annotation) if isinstance(each, ast.Name)} | quoted) & known)


def _parameters(function: _Function | ast.Lambda, owner: str | None, known: set[str]) -> dict[str, Types]:
    given = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    types = {each.arg: _named(each.annotation, known) for each in given}
    return types | ({name: frozenset({owner}) for name in ("self", "cls") if name in types} if owner else {})


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Targets with what they are assigned, items of tuples one by one; loops assign the items of what they go over."""
    for each in ast.walk(node):
        if isinstance(each, ast.Assign):
            for target in each.targets:
                yield from _paired(target, each.value)
        elif isinstance(each, ast.For | ast.comprehension):
            yield from _paired(each.target, each.iter)
        elif isinstance(each, ast.NamedExpr):
            yield each.target, each.value
        elif isinstance(each, ast.withitem) and each.optional_vars is not None:
            yield each.optional_vars, each.context_expr


def _paired(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, ast.Tuple):
        yield target, value
    elif isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts):
        for one, each in zip(target.elts, value.elts, strict=True):
            yield from _paired(one, each)
    else:  # of a pair that some call returns, each may be any of the classes that it names
        for one in target.elts:
            yield from _paired(one, value)


@dataclass(frozen=True)
class Scope:
    """The names of a function with their types."""

    code: Code
    names: Mapping[str, Types]

    def type_of(self, node: ast.expr) -> Types:
        """The classes that a value may be of, as far as annotations tell; an item counts as what holds it."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, _NONE)
        if isinstance(node, ast.Attribute):
            return self.code.attribute(self.type_of(node.value), node.attr)
        if isinstance(node, ast.Call):
            return self._called(node)
        if isinstance(node, ast.Subscript | ast.Starred | ast.NamedExpr | ast.Await):
            return self.type_of(node.value)
        if isinstance(node, ast.IfExp):
            return self.type_of(node.body) | self.type_of(node.orelse)
        if isinstance(node, ast.BoolOp):
            return frozenset().union(*map(self.type_of, node.values))
        return _NONE

    def _called(self, node: ast.Call) -> Types:
        function = node.func
        if isinstance(function, ast.Attribute):
            return self.code.attribute(self.type_of(function.value), function.attr) or self._container(node, function)
        if not isinstance(function, ast.Name):
            return _NONE
        if function.id == "getattr" and len(node.args) > 1:
            of, name = self.type_of(node.args[0]), node.args[1]
            if isinstance(name, ast.Constant):
                return self.code.attribute(of, str(name.value))
            return self.code.all_attributes(of)
        if function.id in self.code.fields:
            return frozenset({function.id})
        if function.id in ("enumerate", "zip", "sorted", "list", "tuple", "reversed", "next", "min", "max", "iter"):
            return frozenset().union(*map(self.type_of, node.args))
        return self.code.returns.get(function.id, _NONE)

    def _container(self, node: ast.Call, function: ast.Attribute) -> Types:
        """What `items`, `values`, `get` of a mapping give, and a copy of a model."""
        if function.attr in ("items", "values", "get", "model_copy", "pop"):
            return self.type_of(function.value)
        return self.code.returns.get(function.attr, _NONE) if function.attr == "resolved" else _NONE


def _functions(tree: ast.Module, code: Code) -> Iterator[tuple[str, set[tuple[str, str]]]]:
    """Each function of a module, with what it reads; functions within it count as part of it."""
    for node in tree.body:
        if isinstance(node, _Function):
            yield node.name, _reads(node, None, code)
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, _Function):
                    yield f"{node.name}.{method.name}", _reads(method, node.name, code)


def _reads(function: _Function, owner: str | None, code: Code) -> set[tuple[str, str]]:
    known = set(code.fields)
    inner = [each for each in ast.walk(function) if isinstance(each, _Function | ast.Lambda)]
    names: dict[str, Types] = {}
    for each in inner:
        names = _parameters(each, None, known) | names
    names |= _parameters(function, owner, known)
    for _ in range(2):  # a name may be used above the line that assigns it, in a loop
        for target, value in _assigned(function):
            if isinstance(target, ast.Name) and (types := Scope(code, names).type_of(value)):
                names[target.id] = names.get(target.id, _NONE) | types
    scope = Scope(code, names)
    found: set[tuple[str, str]] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            found |= {(of, node.attr) for of in scope.type_of(node.value)}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            name = node.args[1]
            if isinstance(name, ast.Constant):
                found |= {(of, str(name.value)) for of in scope.type_of(node.args[0])}
    return found
