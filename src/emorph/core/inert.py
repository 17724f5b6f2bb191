"""Runs a pickle without running anything that the pickle names.

A pickle is a program for a small stack machine. Two kinds of its instructions can act: those that call a global, and
those that hand state to an object. This machine imports nothing. A global becomes a ``Global``, which is only a name
unless the table of replacements holds a function for it; calling any other is refused. An object of a class that is
not loaded becomes a ``Placeholder``, which swallows its state.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol, runtime_checkable

from emorph.core.errors import CheckpointError

Replacement = Callable[..., object]
PersistentLoad = Callable[[object], object]

_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "posix": "os", "nt": "os"}
_SCALARS = (str, bytes, int, float, complex, bool, type(None))


class Global:
    """A name that a pickle refers to. It can be a key of a dict; calling it is ``InertUnpickler``'s decision."""

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Replacement | None = None) -> None:
        self.name: Final = name
        self.make: Final = make

    def __repr__(self) -> str:
        return f"<{self.name}, not loaded>"


class Placeholder:
    """Stands for an object of a class that is not loaded. A replacement may return a subclass that reads its state."""

    def __init__(self, name: str, args: tuple[object, ...] = ()) -> None:
        self.name = name
        self.args = args
        self.state: object = None
        self.mapping: dict[object, object] = {}
        self.sequence: list[object] = []

    def set_state(self, state: object) -> None:
        """Take what the pickle hands over after construction."""
        self.state = state

    def __repr__(self) -> str:
        return f"<an object of {self.name}, not loaded>"


@runtime_checkable
class TakesState(Protocol):
    """What a pickle may hand state to: a ``Placeholder``, or what a replacement made for it."""

    def set_state(self, state: object) -> None: ...


class Stream(Protocol):
    """The part of a binary file that the machine reads from."""

    def read(self, n: int, /) -> bytes: ...

    def readline(self) -> bytes: ...


class InertUnpickler(pickle._Unpickler):  # the machine in Python: each instruction that could act is overridden below
    """One pickle of a file.

    source: how messages call the file. replacements: "module.name" to the function that is called in its place.
    persistent_load: gives the object of a persistent id. Raises CheckpointError for what is refused; a damaged
    pickle can fail in any way (EOFError, UnpicklingError, IndexError, ...).
    """

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    stack: list[Any]
    append: Callable[[object], None]
    pop_mark: Callable[[], list[Any]]
    readline: Callable[[], bytes]

    def __init__(
        self,
        file: Stream,
        source: str,
        replacements: Mapping[str, Replacement] | None = None,
        persistent_load: PersistentLoad | None = None,
    ) -> None:
        super().__init__(file, encoding="latin1")  # numpy's bytes in pickles of Python 2
        self.source = source
        self.replacements = {**PLAIN, **(replacements or {})}
        self.globals: dict[str, Global] = {}
        self.storage = persistent_load

    def find_class(self, module: str, name: str) -> Global:
        """The name as a ``Global``; nothing is imported."""
        full = f"{_RENAMED.get(module, module)}.{name}"
        if full not in self.globals:
            self.globals[full] = Global(full, self.replacements.get(full))
        return self.globals[full]

    def persistent_load(self, pid: object) -> object:
        """The object of a persistent id, if this pickle may have any."""
        if self.storage is None:
            raise pickle.UnpicklingError("a persistent id where none belongs")
        return self.storage(pid)

    def _call(self, target: object, args: object) -> object:
        if not isinstance(target, Global):
            raise CheckpointError(f"{self.source} asks to call {_kind(target)}, which a checkpoint never does.")
        if target.make is None:
            raise CheckpointError(
                f"{self.source} asks to run {target.name}; it was not run. Get the file from its official place: "
                "a checkpoint of weights has no need of it."
            )
        return target.make(*_tuple(args))

    def _new(self, target: object, args: object) -> object:
        if not isinstance(target, Global):
            raise CheckpointError(f"{self.source} asks to build {_kind(target)}, which is not a class.")
        return new(target, *_tuple(args))

    def _instantiate(self, target: object, args: list[Any]) -> None:
        made = self._call(target, tuple(args)) if args else self._new(target, ())
        self.append(made)

    def load_reduce(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    def load_newobj(self) -> None:
        args = self.stack.pop()
        self.stack[-1] = self._new(self.stack[-1], args)

    def load_newobj_ex(self) -> None:
        self.stack.pop()  # the keyword arguments
        self.load_newobj()

    def load_inst(self) -> None:
        module, name = self.readline()[:-1].decode("ascii"), self.readline()[:-1].decode("ascii")
        self._instantiate(self.find_class(module, name), self.pop_mark())

    def load_obj(self) -> None:
        args = self.pop_mark()
        self._instantiate(args.pop(0), args)

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, TakesState):
            target.set_state(state)
        elif type(target) is not dict:  # an OrderedDict's attributes (state_dict's _metadata) are not needed
            raise CheckpointError(f"{self.source} asks to change {_kind(target)}; it was not changed.")

    def load_append(self) -> None:
        value = self.stack.pop()
        self._list().append(value)

    def load_appends(self) -> None:
        values = self.pop_mark()
        self._list().extend(values)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._dict()[plain_key(key)] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        target = self._dict()
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[plain_key(key)] = value

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({plain_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def load_additems(self) -> None:
        items = self.pop_mark()
        target = self.stack[-1]
        if type(target) is not set:
            raise CheckpointError(f"{self.source} adds to {_kind(target)} as if it were a set.")
        target.update(plain_key(item) for item in items)

    def load_frozenset(self) -> None:
        self.append(frozenset(plain_key(item) for item in self.pop_mark()))

    def load_extension(self) -> None:
        raise CheckpointError(f"{self.source} asks for an entry of this program's extension registry; refused.")

    def _list(self) -> list[object]:
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            return target.sequence
        if type(target) is not list:
            raise CheckpointError(f"{self.source} appends to {_kind(target)} as if it were a list.")
        return target

    def _dict(self) -> dict[object, object]:
        target = self.stack[-1]
        if isinstance(target, Placeholder):
            return target.mapping
        if type(target) is not dict:
            raise CheckpointError(f"{self.source} sets items of {_kind(target)} as if it were a dict.")
        return target


_OVERRIDDEN: dict[bytes, Any] = {
    pickle.REDUCE: InertUnpickler.load_reduce,
    pickle.NEWOBJ: InertUnpickler.load_newobj,
    pickle.NEWOBJ_EX: InertUnpickler.load_newobj_ex,
    pickle.INST: InertUnpickler.load_inst,
    pickle.OBJ: InertUnpickler.load_obj,
    pickle.BUILD: InertUnpickler.load_build,
    pickle.APPEND: InertUnpickler.load_append,
    pickle.APPENDS: InertUnpickler.load_appends,
    pickle.SETITEM: InertUnpickler.load_setitem,
    pickle.SETITEMS: InertUnpickler.load_setitems,
    pickle.DICT: InertUnpickler.load_dict,
    pickle.ADDITEMS: InertUnpickler.load_additems,
    pickle.FROZENSET: InertUnpickler.load_frozenset,
    pickle.EXT1: InertUnpickler.load_extension,
    pickle.EXT2: InertUnpickler.load_extension,
    pickle.EXT4: InertUnpickler.load_extension,
}
InertUnpickler.dispatch.update({code[0]: method for code, method in _OVERRIDDEN.items()})


def new(cls: object, *args: object) -> object:
    """An object of a class as plain construction makes it: its replacement's, or a ``Placeholder``."""
    if not isinstance(cls, Global):
        raise pickle.UnpicklingError(f"{_kind(cls)} is not a class")
    return cls.make(*args) if cls.make else Placeholder(cls.name, args)


def plain_key(key: object) -> object:
    """The key itself if its hash is harmless: deep nests of tuples overflow the C stack when hashed."""
    parts = key if type(key) is tuple else (key,)
    if all(isinstance(part, (*_SCALARS, Global, Placeholder)) for part in parts):
        return key
    raise pickle.UnpicklingError(f"a key of type {type(key).__name__}")


def _kind(value: object) -> str:
    return value.name if isinstance(value, Global) else f"a value of type {type(value).__name__}"


def _tuple(args: object) -> tuple[object, ...]:
    if not isinstance(args, tuple):
        raise pickle.UnpicklingError("arguments that are not a tuple")
    return args


def _table(pairs: Iterable[tuple[object, object]] = ()) -> dict[object, object]:
    return {plain_key(key): value for key, value in pairs}


def _joined(separator: str) -> Replacement:
    def path(*parts: str) -> str:
        return separator.join(parts)  # never str(part): a nest of lists can have an endless text

    return path


def _bytes(text: str | bytes = b"", encoding: str = "latin1") -> bytes:
    """The arguments that protocol 2 gives for bytes; other codecs than latin1 are refused."""
    if isinstance(text, bytes):
        return text
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin1")


PLAIN: Final[Mapping[str, Replacement]] = {
    "collections.OrderedDict": _table,
    "collections.defaultdict": lambda *factory: {},
    "builtins.set": lambda items=(): {plain_key(item) for item in items},
    "builtins.frozenset": lambda items=(): frozenset(plain_key(item) for item in items),
    "builtins.bytearray": _bytes,
    "builtins.bytes": lambda: b"",  # protocol 2's empty bytes
    "builtins.complex": lambda real, imag: complex(float(real), float(imag)),
    "_codecs.encode": _bytes,
    "copyreg._reconstructor": lambda cls, base=None, state=None: new(cls),
    "pathlib.PosixPath": _joined("/"),
    "pathlib.WindowsPath": _joined("\\"),
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch.device": lambda kind="cpu", index=None: kind,
}
