"""What the safe pickle reader makes of a file: names, objects and byte strings, as plain data."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

SHOWN = 80  # characters of a name in a message
LONGEST = 512  # characters of a name joined from the keys of nested dictionaries


class Refused(ValueError):
    """The file needs more than plain data, or contradicts itself; the message lacks its subject, the file."""


def shorten(text: str) -> str:
    """A name from a file, printable and at most SHOWN characters long."""
    short = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in short)


def join_names(outer: str, mark: str, key: object) -> str:
    """`outer`, the mark and the key; the key alone if `outer` is empty.

    Refused: the joined name is longer than LONGEST. A file may use one large key in many places, a name in none.
    """
    name = f"{key}"
    if outer and len(outer) + len(mark) + len(name) > LONGEST:
        raise Refused(f"holds a name of more than {LONGEST} characters")
    return f"{outer}{mark}{name}" if outer else name


class TextBytes:
    """Bytes that protocol 2 writes as text, one letter per byte; opens like a file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """A stream of the bytes."""
        return io.BytesIO(self.text.encode("latin-1"))


@dataclass(frozen=True)
class Span:
    """A byte string that stays in its file: `size` bytes from `start`."""

    source: Path | TextBytes
    start: int
    size: int

    def read(self) -> bytes:
        """The bytes. EOFError: the file is shorter."""
        with self.source.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.size)
        if len(data) != self.size:
            raise EOFError
        return data


@dataclass(frozen=True)
class Name:
    """A global that a pickle names, as text: "torch.FloatStorage"."""

    text: str


@dataclass(eq=False)
class Node:
    """An object whose class is not imported: the name of the class and the attributes of the object."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        """Take the attributes that pickle's BUILD gives. Refused: they are no dictionary."""
        if not isinstance(state, dict):
            raise Refused(f"gives a {shorten(self.name)} a state that is no dictionary")
        self.state = state


@dataclass(eq=False)
class Inert(Node):
    """A name that is not on the allow-list, and whatever the file makes of it: nothing is imported or run.

    It can stand where a tensor is expected, and refuses to give shape and numbers.
    """

    reason: str = ""

    @property
    def refusal(self) -> Refused:
        """The error for whoever needs this object."""
        return Refused(self.reason or refusal_text(self.name))

    @property
    def shape(self) -> tuple[int, ...]:
        """Refused, always: where a tensor is needed, this is none."""
        raise self.refusal

    def read(self) -> NoReturn:
        """Refused, always: see `shape`."""
        raise self.refusal

    def build(self, state: Any) -> None:
        """Take the attributes, if they are a dictionary."""
        self.state = state if isinstance(state, dict) else {}


def refusal_text(name: str) -> str:
    """The message for a name that is not on the allow-list."""
    return f"needs {shorten(name)}, which is not plain data; it was not imported or run"
