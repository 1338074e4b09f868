"""Objects of a task whose methods misbehave: each must end as a failure of its task, in a bounded message."""

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any, NoReturn

NOT_TOLD = "a message of hostile.py"


def _raise(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError(NOT_TOLD)


def _exit(*_: Any, **__: Any) -> NoReturn:
    raise SystemExit(3)


class Meta(type):
    __name__ = property(_raise)  # type: ignore[assignment]


class NoTextError(Exception):
    __str__ = __repr__ = _raise


class ExitsInText(BaseException):
    __str__ = __repr__ = _exit


class OddTextError(Exception):
    def __str__(self) -> Any:
        return 7  # noqa: PLE0307 - that is what is odd


class Text(str):
    __slots__ = ()
    encode = __getitem__ = __len__ = __str__ = __repr__ = __hash__ = __format__ = _raise  # type: ignore[assignment]


class TextOfOddTextError(Exception):
    def __str__(self) -> str:
        return Text("odd")


class NoNameError(Exception, metaclass=Meta):
    pass


class LiarError(Exception):
    @property
    def __class__(self) -> Any:
        return _raise()

    __cause__ = __context__ = __notes__ = property(_raise)  # type: ignore[assignment]


NAMELESS = type("N" * 1_000_000, (Exception,), {})

EXCEPTIONS: dict[str, tuple[BaseException, str]] = {
    "str raises": (NoTextError(), "NoTextError: (no text: its __str__ raised RuntimeError)"),
    "str exits": (ExitsInText(), "ExitsInText: (no text: its __str__ raised SystemExit)"),
    "str is no text": (OddTextError(), "OddTextError: (no text: its __str__ raised TypeError)"),
    "odd text": (TextOfOddTextError(), "TextOfOddTextError: odd"),
    "no name": (NoNameError("x"), "NoNameError: x"),
    "liar": (LiarError("x"), "LiarError: x"),
    "long name": (NAMELESS("x"), "NNNN"),
    "surrogates": (ValueError("\ud800" * 5000), "ValueError: \\ud800"),
    "huge": (ValueError("x" * 100_000_000), "ValueError: xxx"),
    "exit": (SystemExit(), "SystemExit"),
    "exit with an object": (SystemExit(NoTextError()), "SystemExit: (no text: its __str__ raised RuntimeError)"),
    "exit with a number": (SystemExit(10**400), "SystemExit: 1000"),
    "interrupt": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "generator": (GeneratorExit(), "GeneratorExit"),
    "group": (
        BaseExceptionGroup("some", [NoTextError(), SystemExit(0)]),
        "BaseExceptionGroup: some (2 sub-exceptions)",
    ),
    "arguments": (ValueError(NoTextError(), Text("a")), "ValueError: (no text: its __str__ raised RuntimeError)"),
}


class Key:
    __repr__ = __str__ = _raise


class OddKey:
    def __repr__(self) -> str:
        return "k" * 1_000_000


class Number(int):
    __int__ = __index__ = __le__ = __ge__ = __lt__ = __neg__ = __str__ = __repr__ = __bool__ = _raise  # type: ignore[assignment]


class Fraction(float):
    __float__ = __le__ = __str__ = __repr__ = __bool__ = _raise  # type: ignore[assignment]


class Items(list):  # type: ignore[type-arg]
    __iter__ = __len__ = __getitem__ = __repr__ = __bool__ = _raise  # type: ignore[assignment]


class Pair(tuple):  # type: ignore[type-arg]
    __slots__ = ()
    __iter__ = __len__ = __getitem__ = __repr__ = _raise  # type: ignore[assignment]


class Table(dict):  # type: ignore[type-arg]
    items = __iter__ = __len__ = keys = _raise  # type: ignore[assignment]


class EndlessTable(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        number = 0
        while True:
            number += 1
            yield str(number), 1


class OddTable(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        return [("a", 1, 2)]


class ClassLiar:
    @property
    def __class__(self) -> Any:
        return _raise()


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


def _cycle() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = [value]
    return value


VALUES: dict[str, tuple[Any, str, str]] = {
    "key": ({Key(): 1}, "result_invalid", "result has the key (Key whose __repr__ raised RuntimeError)"),
    "long key": ({OddKey(): 1}, "result_invalid", "result has the key kkkk"),
    "tuple as a key": ({("a", Key()): 1}, "result_invalid", "result has the key (tuple whose __repr__ raised"),
    "value": ([Key()], "result_invalid", "result[0] is a Key, which JSON cannot say"),
    "place": ({"a" * 1_000_000: {1}}, "result_invalid", "result['aaa"),
    "liar": ([ClassLiar()], "result_invalid", "result[0] is a ClassLiar"),
    "class": (Key, "result_invalid", "result is a type"),
    "nameless": ([NAMELESS()], "result_invalid", "result[0] is a NNN"),
    "table": (Table(a=1), "result_invalid", "The result cannot be read: RuntimeError: a message of hostile.py"),
    "endless": (EndlessTable(), "result_too_large", "The result has more than"),
    "odd table": (OddTable(), "result_invalid", "The result cannot be read: ValueError"),
    "cycle": (_cycle(), "result_invalid", "nested too deeply, or holds itself"),
    "generator": ((n for n in range(3)), "result_invalid", "result is a generator"),
    "bytes": (b"x", "result_invalid", "result is a bytes"),
    "complex": ([1j], "result_invalid", "result[0] is a complex"),
    "surrogate": ([Text("\ud800")], "result_invalid", "A string in the result is not Unicode text"),
    "surrogate key": ({"\ud800": float("nan")}, "result_invalid", "result['\\ud800'] is nan"),
}

READABLE: dict[str, tuple[Any, Any]] = {
    "int": (Number(7), 7),
    "big int": (Number(2**60), str(2**60)),
    "float": (Fraction(0.5), 0.5),
    "list, tuple and str": (Items([1, Pair((2, Text("x")))]), [1, [2, "x"]]),
    "dict and enums": (OrderedDict(a=Colour.RED, b=Level.HIGH), {"a": "red", "b": 3}),
}
