"""The architecture as rules over the syntax tree: each rule reads one module and yields what breaks it.

An area is the first name below the package (`http`, `store`, `types`); a rule speaks of areas, never of single files that
would be excused from it.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "inferway"
MAX_LINES = 600

BASE = frozenset({"types", "errors", "locks", "outbox"})
FEATURES = frozenset({"access", "limits", "media", "cache", "usage", "resilience"})
MAY_IMPORT: dict[str, frozenset[str]] = {
    "types": BASE,
    "errors": BASE,
    "locks": BASE,
    "outbox": BASE,
    "settings": BASE,
    **dict.fromkeys(FEATURES, BASE),
    # What operators see is made of the records that the ledger holds, so that both say the same.
    "observe": BASE | {"usage.records"},
    "client": BASE | {"settings"},
    "providers": BASE,
    "plugins": BASE | {"providers.base"},
    # Stores implement the Protocols that the features state, for the values that the features own.
    "store": BASE | FEATURES,
    "pipeline": BASE | FEATURES | {"observe", "providers.base"},
    "http": BASE | FEATURES | {"pipeline", "observe", "settings", "providers.base"},
    "cli": BASE | FEATURES | {"pipeline", "settings", "client", "app"},
    "__main__": frozenset({"cli"}),
    # The version and the names that a user of the library imports.
    "__init__": BASE | {"client", "app"},
}
"""Area → the areas and modules it may import besides itself. `app`, the composition root, imports everything."""

HTTP_CLIENTS = frozenset(
    {
        "aiohttp",
        "http.client",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "niquests",
        "pyreqwest",
        "requests",
    }
    | {"urllib.request", "urllib3", "websockets"}
)
DATABASES = frozenset({"aiosqlite", "alembic", "asyncpg", "psycopg", "sqlalchemy", "sqlite3"})
WEB_FRAMEWORKS = frozenset({"fastapi", "granian", "hypercorn", "starlette", "uvicorn"})
OWNERS: tuple[tuple[str, frozenset[str], frozenset[str]], ...] = (
    ("HTTP client", HTTP_CLIENTS, frozenset({"providers.transport", "media", "client"})),
    ("database", DATABASES, frozenset({"store"})),
    ("web framework", WEB_FRAMEWORKS, frozenset({"http", "app"})),
)
"""What stands outside, the packages that reach it, and the parts that own it."""

DIALLING = frozenset({"open_connection", "create_connection"})
ENVIRONMENT = frozenset({"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"})
SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|CREATE\s+\w+\s|PRAGMA\s)",
    re.DOTALL,
)
VAGUE_NAMES = frozenset({"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"})
PURE_CALLS = frozenset(
    """
    bytes bytes.fromhex dict dict.fromkeys frozenset int len list max min range set sorted str sum tuple zip
    re.compile struct.Struct logging.getLogger PurePosixPath ContextVar contextvars.ContextVar
    MappingProxyType types.MappingProxyType timedelta datetime.timedelta Decimal decimal.Decimal Fraction
    TypeVar typing.TypeVar ParamSpec typing.ParamSpec NewType typing.NewType auto enum.auto field dataclasses.field
    Meta msgspec.Meta msgspec.field msgspec.json.Encoder msgspec.json.Decoder
    ip_address ip_network ipaddress.ip_address ipaddress.ip_network
    """.split()
)
"""Constructors that make a value and touch nothing."""
PURE_METHODS = frozenset({"items", "keys", "values"})
MUTATORS = frozenset("add append clear discard extend insert pop popitem remove setdefault update".split())
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, kw_only=True, slots=True)
class Module:
    """One source file: `name` is dotted and without the package, e.g. `providers.openai.chat`; `area` its first part."""

    name: str
    is_package: bool
    source: str
    tree: ast.Module
    provider_folders: frozenset[str]

    @property
    def area(self) -> str:
        """The first part of the name; the package's own file is `__init__`."""
        return self.name.partition(".")[0] or "__init__"

    def is_within(self, parts: frozenset[str]) -> bool:
        """Tell whether this module is one of the parts or lies below one."""
        return any(self.name == part or self.name.startswith(part + ".") for part in parts)


def read_tree(package: Path) -> list[Module]:
    """Every module of the package folder."""
    folders = frozenset(path.parent.name for path in package.glob("providers/*/*.py")) - {"transport"}
    return [_read(path, package, folders) for path in sorted(package.rglob("*.py"))]


def _read(path: Path, package: Path, folders: frozenset[str]) -> Module:
    parts = path.relative_to(package).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    source = path.read_text(encoding="utf-8")
    name = ".".join(parts[:-1] if is_package else parts)
    tree = ast.parse(source)
    return Module(name=name, is_package=is_package, source=source, tree=tree, provider_folders=folders)


def find_violations(modules: list[Module]) -> list[str]:
    """All breaches of all rules, as `module:line: what`."""
    return [
        f"{module.name or '__init__'}:{line}: {what}"
        for module in modules
        for rule in RULES
        for line, what in rule(module)
    ]


Breach = tuple[int, str]


def imports(module: Module) -> Iterator[tuple[int, str, str]]:
    """Line, absolute module and imported name (empty for `import x`) of every import, wherever it stands."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(module, node)
            yield from ((node.lineno, source, alias.name) for alias in node.names)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *filter(None, module.name.split("."))]
    base = here[: len(here) - node.level + module.is_package]
    return ".".join([*base, *filter(None, [node.module])])


def own_imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and package-relative dotted target of every import of the product's own code."""
    for line, source, name in imports(module):
        if source == PACKAGE:
            yield line, name
        elif source.startswith(PACKAGE + "."):
            target = source.removeprefix(PACKAGE + ".")
            yield line, f"{target}.{name}" if name else target


def arrows(module: Module) -> Iterator[Breach]:
    """Imports follow the arrows; nothing imports the composition root but the command line and the package's own face."""
    if module.area == "app":
        return
    allowed = MAY_IMPORT.get(module.area)
    if allowed is None:
        yield 1, f"area {module.area!r} has no place in the architecture"
        return
    for line, target in own_imports(module):
        area = target.partition(".")[0]
        if area in {module.area, "__version__", ""} or any(_covers(part, target) for part in allowed):
            continue
        yield line, f"{module.area} may not import {target}"


def _covers(part: str, target: str) -> bool:
    return target == part or target.startswith(part + ".")


def siblings(module: Module) -> Iterator[Breach]:
    """A provider's folder knows no other provider's folder: what two need stands beside them, in a module."""
    own = _provider_folder(module.name, module)
    for line, target in own_imports(module) if own else ():
        other = _provider_folder(target, module)
        if other and other != own:
            yield line, f"provider {own} may not import provider {other}"


def _provider_folder(name: str, module: Module) -> str | None:
    area, _, rest = name.partition(".")
    folder = rest.partition(".")[0]
    return folder if area == "providers" and folder in module.provider_folders else None


def owners(module: Module) -> Iterator[Breach]:
    """Each outside thing is reached from one part only."""
    for what, packages, parts in OWNERS:
        if module.is_within(parts):
            continue
        for line, source, name in imports(module):
            if any(_covers(package, source) or f"{source}.{name}" == package for package in packages):
                yield line, f"the {what} ({source}) belongs to {', '.join(sorted(parts))}"


def dialling(module: Module) -> Iterator[Breach]:
    """TCP connections are opened where the HTTP clients are."""
    if module.is_within(OWNERS[0][2]):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in DIALLING:
            yield node.lineno, f"{node.attr} belongs to {', '.join(sorted(OWNERS[0][2]))}"


def sql(module: Module) -> Iterator[Breach]:
    """SQL text stands in the stores."""
    if module.area == "store":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
            yield node.lineno, "SQL belongs to store"


def environment(module: Module) -> Iterator[Breach]:
    """The environment is read in the settings."""
    if module.area == "settings":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            names = {node.attr}
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names = {alias.name for alias in node.names}
        else:
            continue
        if names & ENVIRONMENT:
            yield node.lineno, "the environment belongs to settings"


def privacy(module: Module) -> Iterator[Breach]:
    """What starts with an underscore stays in its module, or in the folder whose module it is."""
    for line, source, name in imports(module):
        private = [part for part in [*source.split("."), name] if _is_private(part)]
        if private and not _shares_folder(module, source, name):
            yield line, f"{private[0]} is private to {source}"
    names = _imported_names(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr) and ast.unparse(node.value) in names:
            yield node.lineno, f"{node.attr} is private to {ast.unparse(node.value)}"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _shares_folder(module: Module, source: str, name: str) -> bool:
    """A private module (a name with an underscore in the path) may be imported by its neighbours; private names may not."""
    if _is_private(name):
        return False
    folder = ".".join([PACKAGE, *module.name.split(".")[: None if module.is_package else -1]])
    return source.rpartition(".")[0] == folder


def _imported_names(module: Module) -> set[str]:
    """The names that imports of the product's own code bind here (foreign ones are the linter's affair)."""
    names = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname or alias.name for alias in node.names if _covers(PACKAGE, alias.name)}
        elif isinstance(node, ast.ImportFrom) and _is_own(module, node):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _is_own(module: Module, node: ast.ImportFrom) -> bool:
    return _absolute(module, node).partition(".")[0] == PACKAGE


def work_at_import(module: Module) -> Iterator[Breach]:
    """Importing a module defines names and does nothing else."""
    yield from _work_in(module.tree.body, module)


def _work_in(body: list[ast.stmt], module: Module) -> Iterator[Breach]:
    for node in body:
        if _only_defines(node):
            continue
        value = _value(node)
        if value is not None:
            yield from _calls_in(value, module)
        if isinstance(node, ast.ClassDef | ast.If | ast.Try):
            yield from _work_in(_inner(node), module)
        elif value is None:
            yield node.lineno, f"{type(node).__name__} at import"


def _only_defines(node: ast.stmt) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Pass():
            return True
        case ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
            return True
        case ast.If(test=test):
            return _is_main_guard(test)
        case _:
            return False


def _value(node: ast.stmt) -> ast.expr | None:
    match node:
        case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.If(test=value):
            return value
        case _:
            return None


def _inner(node: ast.ClassDef | ast.If | ast.Try) -> list[ast.stmt]:
    """The statements that run when this one does."""
    if isinstance(node, ast.ClassDef):
        return node.body
    if isinstance(node, ast.If):
        return [*node.body, *node.orelse]
    handled = [statement for handler in node.handlers for statement in handler.body]
    return [*node.body, *handled, *node.orelse, *node.finalbody]


def _is_main_guard(test: ast.expr) -> bool:
    return ast.unparse(test) == "__name__ == '__main__'"


def _calls_in(value: ast.AST, module: Module) -> Iterator[Breach]:
    """Calls that run while the value is made: what stands in a lambda runs later."""
    if isinstance(value, ast.Lambda):
        return
    if isinstance(value, ast.Call) and not _is_pure(value.func, module):
        yield value.lineno, f"{ast.unparse(value.func)}() at import"
    for child in ast.iter_child_nodes(value):
        yield from _calls_in(child, module)


def _is_pure(function: ast.expr, module: Module) -> bool:
    """Whitelisted constructors, methods of a literal, and values of classes that are the product's own."""
    name = ast.unparse(function)
    if name in PURE_CALLS:
        return True
    if isinstance(function, ast.Attribute) and (
        isinstance(function.value, ast.Constant) or function.attr in PURE_METHODS
    ):
        return True
    if not re.fullmatch(r"_?[A-Z]\w*[a-z]\w*", name.rpartition(".")[2]):
        return False
    root = name.partition(".")[0]
    return root in _own_names(module)


def _own_names(module: Module) -> set[str]:
    """Classes defined here and names imported from the product."""
    names = {node.name for node in module.tree.body if isinstance(node, ast.ClassDef)}
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and _is_own(module, node):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def mutable_state(module: Module) -> Iterator[Breach]:
    """A module's names are never changed after import."""
    shared = {target.id for node in module.tree.body for target in _targets(node)}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Global):
            yield node.lineno, f"global {', '.join(node.names)}"
        elif isinstance(node, Function):
            local = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
            local |= {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
            yield from _changes(node, shared - local)


def _targets(node: ast.stmt) -> Iterator[ast.Name]:
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    yield from (target for target in targets if isinstance(target, ast.Name))


def _changes(function: Function, shared: set[str]) -> Iterator[Breach]:
    for node in ast.walk(function):
        match node:
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in shared:
                yield node.lineno, f"{name} is changed after import"
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()) if name in shared:
                yield node.lineno, f"{name} is changed after import"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)):
                if name in shared and attr in MUTATORS:
                    yield node.lineno, f"{name} is changed after import"


def form(module: Module) -> Iterator[Breach]:
    """A module says its duty, has a name that tells something, and is short enough to be read."""
    if not ast.get_docstring(module.tree):
        yield 1, "no module docstring"
    for part in module.name.split("."):
        if part in VAGUE_NAMES:
            yield 1, f"the name {part!r} tells nothing"
    lines = module.source.count("\n")
    if lines > MAX_LINES:
        yield 1, f"{lines} lines, more than {MAX_LINES}"


Rule = Callable[[Module], Iterator[Breach]]
RULES: tuple[Rule, ...] = (
    arrows,
    siblings,
    owners,
    dialling,
    sql,
    environment,
    privacy,
    work_at_import,
    mutable_state,
    form,
)
