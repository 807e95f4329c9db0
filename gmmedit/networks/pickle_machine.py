"""An unpickler that makes plain data and nothing else: nothing in a file is imported, called or executed.

The standard library's unpickler calls what a pickle names, reaches into objects (BUILD), allocates what a
length or a memo index asks for, and hashes nested tuples without end. This one knows the opcodes of the
protocols 2 to 5, hands every named thing to a table of inert constructors, leaves byte strings in the file,
and charges each step to a budget. What the table lacks is refused, or made an `Inert` where the caller collects
these. Opcodes and their arguments: the standard library's `pickletools`.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gmmedit.networks.pickle_values import Inert, Name, Refused, Span, TextBytes, refusal_text, shorten

BUDGET = 64 << 20  # bytes of text and numbers, plus STEP bytes per opcode; a StyleGAN needs a fiftieth
STEP = 128
LARGEST_KEY = 1 << 31  # greater integers can be chosen to collide in a dict
LONGEST_LINE = 256
UNEXPECTED = (ValueError, TypeError, LookupError, AttributeError)  # what constructors raise on unexpected arguments

# Text arguments, one per line, belong to protocols 0 and 1, in which no checkpoint is written.
OPCODES = {
    opcode.code.encode("latin-1"): opcode
    for opcode in pickletools.opcodes
    if opcode.proto or opcode.arg is None or opcode.name == "GLOBAL"
}
LENGTHS = {"SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}

Constructor = Callable[..., object]
PersistentLoad = Callable[[object], object]


class Stream:
    """A part of a file, read forwards within a budget. EOFError: it ends too early."""

    def __init__(self, file: BinaryIO, source: Path | TextBytes, start: int = 0, size: int | None = None) -> None:
        self.file, self.source = file, source
        whole = file.seek(0, io.SEEK_END)
        self.end = whole if size is None else min(start + size, whole)
        self.budget = BUDGET
        file.seek(start)

    @property
    def place(self) -> int:
        """The position in the file, in bytes."""
        return self.file.tell()

    def charge(self, size: int) -> None:
        """Take `size` bytes from the budget. Refused: it is spent."""
        self.budget -= size
        if self.budget < 0:
            raise Refused("holds a pickle that is too large for a network")

    def read(self, size: int) -> bytes:
        """The next `size` bytes."""
        if not 0 <= size <= self.end - self.place:
            raise EOFError
        self.charge(size)
        return self.file.read(size)

    def readline(self) -> bytes:
        """The next line of at most LONGEST_LINE bytes."""
        line = self.file.readline(LONGEST_LINE)
        self.charge(len(line))
        if not line.endswith(b"\n") or self.place > self.end:
            raise EOFError
        return line

    def number(self, size: int) -> int:
        """An unsigned little-endian integer of `size` bytes."""
        return int.from_bytes(self.read(size), "little")

    def span(self, size: int) -> Span:
        """The next `size` bytes, skipped."""
        start = self.place
        if not 0 <= size <= self.end - start:
            raise EOFError
        self.file.seek(start + size)
        return Span(self.source, start, size)


class Machine:
    """Runs one pickle of a stream.

    Args:
        constructors: the allow-list, "module.name" to the function that stands in for it; None: only used as argument.
        persistent: opens persistent ids, the storages of torch.save; None: they are refused.
        inert: collects names that are not on the list; they, and what a constructor refuses, become `Inert`s.
            None: they are refused.
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
        """The object that the pickle describes. Refused: it is hostile. A damaged pickle can raise any exception."""
        while True:
            code = self.stream.read(1)
            self.stream.charge(STEP)
            opcode = OPCODES.get(code)
            if opcode is None:
                raise Refused(f"is not a pickle of protocols 2 to 5 (byte {self.stream.place - 1})")
            if opcode.name == "STOP":
                return self.stack.pop()
            argument: Any = None
            if opcode.name in LENGTHS:
                argument = self.stream.span(self.stream.number(LENGTHS[opcode.name]))
            elif opcode.arg is not None:
                argument = opcode.arg.reader(self.stream)  # type: ignore[arg-type]
            self.step(opcode.name, argument)

    def step(self, name: str, argument: Any) -> None:
        """Execute one opcode. Refused: no network needs it."""
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
            case "EMPTY_LIST" | "EMPTY_SET":  # members of a set are never looked up, so need not be hashable
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
                raise Refused(f"uses the pickle opcode {name}, which networks do not need")

    def since_mark(self) -> list[Any]:
        """Pop everything stacked since the last MARK."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def extend(self, items: list[Any]) -> None:
        """Append the items to the list on top of the stack. Refused: something else lies there."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif not isinstance(target, Inert):
            raise Refused(f"appends to a {type(target).__name__}")

    def set_items(self, pairs: list[Any]) -> None:
        """Set items of the dictionary on top of the stack; with `inert`, keys that are not plain are left out.

        Refused: something else lies there, or without `inert` a key is neither text, a small integer, bool nor None.
        """
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
        """What stands for "module.attribute"; an `Inert` if it is unknown and those are collected, else Refused."""
        name = f"{module}.{attribute}" if isinstance(module, str) and isinstance(attribute, str) else "?"
        if name in self.constructors:
            return Name(name)
        if self.inert is None:
            raise Refused(refusal_text(name))
        self.inert.add(shorten(name))
        return Inert(name)

    def construct(self, callee: object, arguments: object, keywords: object = None) -> object:
        """What the allow-list's constructor makes of the arguments. Refused: the file calls anything else."""
        if isinstance(callee, Inert):
            return Inert(callee.name, reason=callee.reason)
        if not isinstance(callee, Name) or not isinstance(arguments, tuple) or keywords:
            raise Refused(f"calls a {type(callee).__name__}")
        constructor = self.constructors[callee.text]
        if constructor is None:
            raise Refused(f"calls {callee.text}, which is allowed as an argument only")
        return self.attempt(callee.text, constructor, arguments)

    def attempt(self, name: str, constructor: Constructor, arguments: tuple[object, ...]) -> object:
        """What the constructor makes; an `Inert` if it refuses and `inert` is collected."""
        try:
            return constructor(*arguments)
        except UNEXPECTED as error:
            if self.inert is None:
                raise
            cause = next((argument.refusal for argument in arguments if isinstance(argument, Inert)), error)
            return Inert(name, reason=str(cause) if isinstance(cause, Refused) else f"has a {name} in an unknown form")

    def build(self, target: object, state: object) -> None:
        """Give an object its state. Attributes of a dict (`_metadata`) are dropped: they are no weights."""
        if hasattr(target, "build"):
            self.attempt("a state", target.build, (state,))
        elif type(target) is not dict:
            raise Refused(f"gives a {type(target).__name__} a state")
