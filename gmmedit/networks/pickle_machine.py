"""A pickle machine that makes plain data and nothing else: nothing in a file is imported, called or executed.

The standard library's unpickler calls what a pickle names, reaches into objects (BUILD), allocates what a
length or a memo index asks for, and hashes nested tuples without end. This one knows the opcodes of the
protocols 2 to 5, hands every named thing to a table of inert constructors, leaves byte strings in the file,
and charges each step to a budget. What the table lacks is refused, or made an `Inert` where the caller collects
those. Opcodes and their arguments: the standard library's `pickletools`.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

BUDGET = 64 << 20  # bytes of text and numbers read, and STEP bytes an opcode; a StyleGAN needs a fiftieth
STEP = 128
LARGEST_KEY = 1 << 31  # greater integers can be chosen to collide in a dict
LONGEST_LINE = 256
SHOWN = 80  # characters of a name in a message
ODD = (ValueError, TypeError, LookupError, AttributeError)  # what a constructor raises that is given the unexpected

# Arguments in lines of text belong to protocols that nobody writes networks in.
OPCODES = {
    opcode.code.encode("latin-1"): opcode
    for opcode in pickletools.opcodes
    if opcode.proto or opcode.arg is None or opcode.name == "GLOBAL"
}
LENGTHS = {"SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}


class Refused(ValueError):
    """The file asks for something that no data needs, or is not what it says; the text continues "FILE ..."."""


def printable(text: str) -> str:
    """A name out of a file, fit for one line of a message."""
    short = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    return "".join(letter if letter.isprintable() else "?" for letter in short)


class Recoded:
    """Bytes that protocol 2 writes as text, a letter each; opens like a file."""

    def __init__(self, text: str) -> None:
        self.text = text

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        return io.BytesIO(self.text.encode("latin-1"))


@dataclass(frozen=True)
class Span:
    """A byte string that stays where it is."""

    source: Path | Recoded
    start: int
    size: int

    def read(self) -> bytes:
        with self.source.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.size)
        if len(data) != self.size:
            raise EOFError
        return data


@dataclass(frozen=True)
class Name:
    """A global that a pickle names, as mere text: "torch.FloatStorage"."""

    text: str


@dataclass(eq=False)
class Node:
    """An object of a class that is not needed to read it: the class's name and the object's attributes."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)

    def build(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise Refused(f"gives a {printable(self.name)} a state that is no dictionary")
        self.state = state


@dataclass(eq=False)
class Inert(Node):
    """What a file names and nobody here knows, and whatever the file makes of it: nothing of it is imported or run.

    It stands where a tensor may be expected, whose shape and numbers it refuses to give.
    """

    reason: str = ""

    @property
    def refusal(self) -> Refused:
        return Refused(self.reason or asks_for(self.name))

    @property
    def shape(self) -> tuple[int, ...]:
        raise self.refusal

    def read(self) -> NoReturn:
        raise self.refusal

    def build(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


def asks_for(name: str) -> str:
    return f"asks for {printable(name)}, which is no plain data; nothing of it was run"


Constructor = Callable[..., object]
PersistentLoad = Callable[[object], object]


class Stream:
    """A stretch of a file, read forwards within a budget. EOFError: it ends too early."""

    def __init__(self, file: BinaryIO, source: Path | Recoded, start: int = 0, size: int | None = None) -> None:
        self.file, self.source = file, source
        whole = file.seek(0, io.SEEK_END)
        self.end = whole if size is None else min(start + size, whole)
        self.budget = BUDGET
        file.seek(start)

    @property
    def place(self) -> int:
        return self.file.tell()

    def charge(self, size: int) -> None:
        self.budget -= size
        if self.budget < 0:
            raise Refused("is a pickle too large to be a network's description")

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.end - self.place:
            raise EOFError
        self.charge(size)
        return self.file.read(size)

    def readline(self) -> bytes:
        line = self.file.readline(LONGEST_LINE)
        self.charge(len(line))
        if not line.endswith(b"\n") or self.place > self.end:
            raise EOFError
        return line

    def number(self, size: int) -> int:
        """An unsigned little-endian integer of `size` bytes."""
        return int.from_bytes(self.read(size), "little")

    def span(self, size: int) -> Span:
        """The next `size` bytes, stepped over."""
        start = self.place
        if not 0 <= size <= self.end - start:
            raise EOFError
        self.file.seek(start + size)
        return Span(self.source, start, size)


class Machine:
    """Runs one pickle of a stream.

    constructors: "module.name" to what stands in for it; None: it is only ever an argument.
    inert: collects the other names that the file gives, of which it makes `Inert`s, as of what a constructor refuses.
    Without such a set they are refused.
    """

    def __init__(
        self,
        stream: Stream,
        constructors: Mapping[str, Constructor | None],
        persistent: PersistentLoad | None = None,
        inert: set[str] | None = None,
    ) -> None:
        self.stream, self.constructors, self.persistent, self.inert = stream, constructors, persistent, inert
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The object that the pickle describes. Refused: a hostile one; a broken one can raise whatever it breaks."""
        while True:
            code = self.stream.read(1)
            self.stream.charge(STEP)
            opcode = OPCODES.get(code)
            if opcode is None:
                raise Refused(f"is no pickle of the protocols 2 to 5 (byte {self.stream.place - 1})")
            if opcode.name == "STOP":
                return self.stack.pop()
            argument: Any = None
            if opcode.name in LENGTHS:
                argument = self.stream.span(self.stream.number(LENGTHS[opcode.name]))
            elif opcode.arg is not None:
                argument = opcode.arg.reader(self.stream)  # type: ignore[arg-type]
            self.step(opcode.name, argument)

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.marks.append(stack)
                self.stack = []
            case "POP":
                stack.pop()
            case "POP_MARK":
                self.since_mark()
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST" | "EMPTY_SET":  # a set's members may be anything here, as nothing looks them up
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple([stack.pop() for _ in range(int(name[-1]))][::-1]))
            case "TUPLE" | "FROZENSET":
                items = self.since_mark()
                self.stack.append(tuple(items))
            case "APPEND":
                self.extend([stack.pop()])
            case "APPENDS" | "ADDITEMS":
                self.extend(self.since_mark())
            case "SETITEM":
                self.set_items([stack.pop(), stack.pop()][::-1])
            case "SETITEMS":
                self.set_items(self.since_mark())
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(self.global_name(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(self.global_name(module, attribute))
            case "REDUCE" | "NEWOBJ":
                arguments, callee = stack.pop(), stack.pop()
                stack.append(self.construct(callee, arguments))
            case "BUILD":
                state = stack.pop()
                self.build(stack[-1], state)
            case "NEWOBJ_EX":
                keywords, arguments, callee = stack.pop(), stack.pop(), stack.pop()
                stack.append(self.construct(callee, arguments, keywords))
            case "BINPERSID" if self.persistent is not None:
                stack.append(self.attempt("a storage", self.persistent, (stack.pop(),)))
            case _ if argument is not None and name.startswith(("BIN", "SHORT_BIN", "LONG", "BYTE")):
                stack.append(argument)
            case _:
                raise Refused(f"uses the pickle opcode {name}, which no network needs")

    def since_mark(self) -> list[Any]:
        """What has been stacked since the last MARK, taken off."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            raise Refused(f"appends to a {type(target).__name__}")

    def set_items(self, pairs: list[Any]) -> None:
        """Items whose keys no generator has (tuples, addresses of tensors) are left out where others may be inert."""
        target = self.stack[-1]
        if isinstance(target, Inert):
            return
        if type(target) is not dict or len(pairs) % 2:
            raise Refused(f"sets items of a {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            small = type(key) is int and abs(key) < LARGEST_KEY
            if small or type(key) in (str, bool, type(None)):
                target[key] = value
            elif self.inert is None:
                raise Refused(f"has a dictionary key that is a {type(key).__name__}")

    def global_name(self, module: object, attribute: object) -> Name | Inert:
        name = f"{module}.{attribute}" if isinstance(module, str) and isinstance(attribute, str) else "?"
        if name in self.constructors:
            return Name(name)
        if self.inert is None:
            raise Refused(asks_for(name))
        self.inert.add(printable(name))
        return Inert(name)

    def construct(self, callee: object, arguments: object, keywords: object = None) -> object:
        if isinstance(callee, Inert):
            return Inert(callee.name, reason=callee.reason)
        if not isinstance(callee, Name) or not isinstance(arguments, tuple) or keywords:
            raise Refused(f"calls a {type(callee).__name__}")
        constructor = self.constructors[callee.text]
        if constructor is None:
            raise Refused(f"calls {callee.text}, which is only ever a name")
        return self.attempt(callee.text, constructor, arguments)

    def attempt(self, name: str, constructor: Constructor, arguments: tuple[object, ...]) -> object:
        """What the constructor makes; an `Inert` if it refuses and those are collected."""
        try:
            return constructor(*arguments)
        except ODD as error:
            if self.inert is None:
                raise
            cause = next((it.refusal for it in arguments if isinstance(it, Inert)), error)
            return Inert(name, reason=str(cause) if isinstance(cause, Refused) else f"has a {name} of an unknown form")

    def build(self, target: object, state: object) -> None:
        """Give an object its state. A dict keeps its items only: attributes (`_metadata`) are no weights."""
        if hasattr(target, "build"):
            self.attempt("a state", target.build, (state,))
        elif type(target) is not dict:
            raise Refused(f"gives a {type(target).__name__} a state")
