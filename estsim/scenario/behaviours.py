"""``behaviour: mypkg.mod:Class`` of a cohort: the class that it names, imported only where that is allowed.

The module is looked for in the scenario file's folder, then in the working directory, then where Python finds modules.
Code of a scenario is the user's own: nothing is imported unless the caller passes :class:`CodeAccess` that allows it.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module, invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from traceback import walk_tb
from typing import Final

from estsim.device.behaviour import Behaviour
from estsim.device.custom_behaviour import behaviour_of, flaw_of, name_of
from estsim.device.policy import Policy
from estsim.errors import BehaviourFailed, UnitError
from estsim.units import harmless, shown

ELSEWHERE: Final = (
    "names Python code, which only estsim run and estsim validate import, with --allow-code: no Locust master, user or "
    "web form, and no estsim worker"
)
OF_LIBRARY: Final = "names Python code, which a library scenario must not: use a file of your own (estsim new)"
_MOST_TOLD: Final = 200  # characters of a foreign message
_imported: Final[set[str]] = set()  # top-level names that scenarios have brought in


@dataclass(frozen=True, slots=True)
class CodeAccess:
    """Whether the classes that a scenario names may be imported: ``refusal`` says why not.

    ``given`` holds classes by their names that a caller of the Python API has at hand.
    """

    refusal: str | None = ELSEWHERE
    given: Mapping[str, type[Behaviour]] = field(default_factory=dict)

    def giving(self, kinds: Iterable[type[Behaviour]]) -> "CodeAccess":
        """Return this access with classes that are at hand."""
        return replace(self, given={name_of(kind): kind for kind in kinds})

    def refuses(self, name: str) -> str | None:
        """Return why the class of this name is refused, if it is."""
        return None if name in self.given else self.refusal

    def class_of(self, name: str, folder: Path) -> type[Behaviour]:
        """Return the class of a name, for a scenario in this folder. Raises UnitError with what is wrong with it."""
        kind = self.given[name] if name in self.given else _imported_class(name, folder)
        if (flaw := _flaw(kind, name)) is not None:
            raise UnitError(flaw)
        assert isinstance(kind, type)  # noqa: S101 - checked with the rest
        try:
            behaviour_of(Policy(), kind)
        except BehaviourFailed as error:
            raise UnitError(f"{shown(name)} cannot be made: {_told(error.__cause__ or error)}") from error
        return kind


NO_CODE: Final = CodeAccess()
ANY_CODE: Final = CodeAccess(None)


def code_access(option: str, *, allowed: bool) -> CodeAccess:
    """Return the access that a user's option gives, such as ``--allow-code``."""
    return ANY_CODE if allowed else CodeAccess(f"names Python code: add {option} to import it")


def _flaw(kind: object, name: str) -> str | None:
    """Return what is wrong with a class; one may have a metaclass, or signatures, that raise."""
    try:
        return flaw_of(kind, name)
    except Exception as error:  # noqa: BLE001 - of the user's code, whatever it is
        return f"{shown(name)} cannot be checked: {_told(error)}"


def _imported_class(name: str, folder: Path) -> object:
    module_name, _, class_name = name.partition(":")
    folders = [str(folder.absolute()), str(Path.cwd())]
    _make_room(module_name.partition(".")[0], folders)
    try:
        with _searching(folders):
            module = import_module(module_name)
            found: object = getattr(module, class_name)
    except AttributeError as error:
        if error.obj is not sys.modules.get(module_name) or error.name != class_name:
            raise UnitError(f"{shown(module_name)} cannot be imported: {_told(error)}") from error
        where = getattr(error.obj, "__file__", None) or "a package without a file"
        raise UnitError(f"no class {shown(class_name)} in {harmless(where)}") from error
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UnitError(f"{shown(module_name)} cannot be imported: {_told(error)}") from error
        where = " or ".join(dict.fromkeys(folders))
        raise UnitError(f"no module {shown(error.name)} in {harmless(where)}, nor installed") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UnitError(f"{shown(module_name)} cannot be imported: {_told(error)}") from error
    _imported.add(module_name.partition(".")[0])
    return found


def _make_room(top: str, folders: list[str]) -> None:
    """Forget a module of another scenario's folder that has this name; raises UnitError where it is somebody else's."""
    invalidate_caches()
    spec, loaded = PathFinder.find_spec(top, folders), sys.modules.get(top)
    if spec is None:
        return
    if top in sys.stdlib_module_names:
        raise UnitError(f"{shown(top)} is the name of a module of Python: rename yours")
    if loaded is None or _home(loaded.__spec__) == _home(spec):
        return
    if top not in _imported:
        raise UnitError(f"the name {shown(top)} is taken by a module that is already loaded: rename yours")
    for each in [*sys.modules]:
        if each == top or each.startswith(f"{top}."):
            del sys.modules[each]


def _home(spec: ModuleSpec | None) -> object:
    if spec is None:
        return None
    return spec.origin if spec.has_location else [*(spec.submodule_search_locations or ())]


@contextmanager
def _searching(folders: list[str]) -> Iterator[None]:
    """Look for modules in these folders first, and afterwards last: a class may import more when it is used."""
    added = [each for each in dict.fromkeys(folders) if each not in sys.path]
    sys.path[:0] = added
    try:
        yield
    finally:
        for each in added:
            sys.path.remove(each)
        sys.path.extend(added)


def _told(error: BaseException) -> str:
    """Return an exception in a line, and the innermost line of a file that is no part of Python's import."""
    text = harmless(str(error)[:_MOST_TOLD])
    told = f"{type(error).__qualname__}{f': {text}' if text else ''}"
    if isinstance(error, SyntaxError):
        return told  # which has its file and line
    at = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    own = [f"{Path(file).name}:{line}" for file, line in at if not file.startswith("<") and file not in _MACHINERY]
    return f"{told} ({own[-1]})" if own else told


_MACHINERY: Final = frozenset({__file__, import_module.__code__.co_filename, behaviour_of.__code__.co_filename})
