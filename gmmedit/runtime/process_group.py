"""Several processes of one command, on torch.distributed.

They share a store of keys, which torchrun keeps, so that it outlives any of them. Chunks are handed out by a counter
in it, news of errors goes through it, and results on their way to the main process. Only where tensors meet in every
step is there a process group: of gloo, on GPUs too, since what is exchanged lies in main memory.
"""

import io
import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gmmedit.errors import GmmeditError, RunError
from gmmedit.runtime import torchrun as launched
from gmmedit.runtime.batching import TILE, Score, padded
from gmmedit.runtime.distributed import Processes, T, Tensors
from gmmedit.runtime.signals import StopRequest
from gmmedit.runtime.storage import lock

POLL = 0.02  # seconds between looks into the store
STEP_POLL = 1e-4  # the same while tensors are exchanged
HEARD = 1.0  # seconds for the one that failed to say so, before torchrun sees that another has ended
PATIENCE = timedelta(minutes=30)  # with a process that is alive and sends no tensors
FAILED, DONE = "failed", "done"
LOST = "the processes of this command have lost each other"
AGAIN = "finished work is kept: run the same command again"


class Echo(GmmeditError):
    """Another process of this command has failed, and says so: this one only ends, with the same code."""

    def __init__(self, code: int) -> None:
        super().__init__("")
        self.exit_code = code


class ProcessGroup(Processes):
    """This process among the others. RunError: they do not find each other."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        with lost():
            store, self.rank, self.count = next(dist.rendezvous("env://", timeout=PATIENCE))
        self.store = dist.PrefixStore(f"gmmedit {launched.attempt()}", store)
        self._calls = 0
        self._grouped = False

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """The first to fail goes on with its error, the others with an `Echo`; nobody ends before the main one."""
        try:
            with lost():
                yield
                if self.main:
                    self.store.set(DONE, "")
                self._wait(DONE)
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            if isinstance(error, Echo) or not self._first_to_fail(code):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, to whom one has ended: so does this one
                time.sleep(HEARD)
                raise Echo(code) from error
            raise
        finally:
            if self._grouped:
                dist.destroy_process_group()

    def _first_to_fail(self, code: int) -> bool:
        try:
            first = self.store.add("failures", 1) == 1
            if first:
                self.store.set(FAILED, str(code))
            return first
        except RuntimeError:  # torchrun itself has ended
            return self.main

    def check(self) -> None:
        """Echo: another process has failed."""
        if self.store.check([FAILED]):
            raise Echo(int(self.store.get(FAILED)))

    def _pause(self) -> None:
        self.check()
        self._stop.check()
        time.sleep(POLL)

    def _wait(self, key: str) -> None:
        while not self.store.check([key]):
            self._pause()

    def _call(self) -> str:
        self._calls += 1
        return str(self._calls)

    def meet(self) -> None:
        """Wait until all are here."""
        call = self._call()
        if self.store.add(f"{call}/here", 1) == self.count:
            self.store.set(call, "")
        self._wait(call)

    def broadcast(self, make: Callable[[], T]) -> T:
        call = self._call()
        if self.main:
            self.store.set(call, json.dumps(make()))
        self._wait(call)
        told: T = json.loads(self.store.get(call))
        return told

    def main_first(self, make: Callable[[], T]) -> T:
        call = self._call()
        if not self.main:
            self._wait(call)
        made = make()
        if self.main:
            self.store.set(call, "")
        return made

    def numbers(self, total: int) -> Iterator[int]:
        """Numbers below the total, each given to one process. Stopped, Echo: instead of the next one."""
        call = self._call()

        def taken() -> Iterator[int]:
            while (number := self.store.add(f"{call}/next", 1) - 1) < total:
                self.check()
                self._stop.check()
                yield number

        return taken()

    def lock(self, path: Path) -> Any:
        return lock(path) if self.main else nullcontext()

    def gather(self, items: Sequence[int], work: Callable[[int], Tensors]) -> Iterator[tuple[int, Tensors]]:
        call, mine = self._call(), self.numbers(len(items))
        return self._collect(call, mine, items, work) if self.main else self._serve(call, mine, items, work)

    def _serve(
        self, call: str, mine: Iterable[int], items: Sequence[int], work: Callable[[int], Tensors]
    ) -> Iterator[tuple[int, Tensors]]:
        for number in mine:
            packed = io.BytesIO()
            torch.save(work(items[number]), packed)
            self.store.set(f"{call}/{number}", packed.getvalue())  # type: ignore[arg-type]
        yield from ()

    def _collect(
        self, call: str, mine: Iterable[int], items: Sequence[int], work: Callable[[int], Tensors]
    ) -> Iterator[tuple[int, Tensors]]:
        missing = set(range(len(items)))
        for number in mine:
            missing.remove(number)
            yield items[number], work(items[number])
            yield from self._arrived(call, missing, items)
        while missing:
            yield from self._arrived(call, missing, items)
            self._pause()

    def _arrived(self, call: str, missing: set[int], items: Sequence[int]) -> Iterator[tuple[int, Tensors]]:
        for number in sorted(missing):
            key = f"{call}/{number}"
            if self.store.check([key]):
                missing.remove(number)
                result: Tensors = torch.load(io.BytesIO(self.store.get(key)), weights_only=True)
                self.store.delete_key(key)
                yield items[number], result

    def map_rows(self, function: Callable[[Tensor], tuple[Tensor, ...]], rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.gather_rows(part)[: len(rows)] for part in function(self.own_rows(rows, TILE)))

    def own_rows(self, rows: Tensor, tile: int) -> Tensor:
        """This process's stretch of the rows, in whole tiles and as many as everybody's.

        The last row stands in for those that lack.
        """
        whole = padded(rows, tile * self.count)
        size = len(whole) // self.count
        return whole[self.rank * size : (self.rank + 1) * size]

    def gather_rows(self, part: Tensor) -> Tensor:
        """The stretches of all, in the order of the processes."""
        if not part.numel():
            return torch.cat([part] * self.count)
        if not self._grouped:
            self.meet()  # here the death of another is noticed, there it would not be
            group = dist.PrefixStore("group", self.store)
            dist.init_process_group("gloo", store=group, rank=self.rank, world_size=self.count, timeout=PATIENCE)
            self._grouped = True
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.count)]
        try:
            work = dist.all_gather(parts, part.contiguous(), async_op=True)
            while not work.is_completed():
                time.sleep(STEP_POLL)
            work.wait()
        except RuntimeError as error:  # somebody has gone, who may have said why
            self.check()
            raise RunError(LOST, hint=AGAIN) from error
        return torch.cat(parts)

    def share(self, score: Score, tile: int) -> Score:
        def spread(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
            logits, pictures = SharedScore.apply(x, self, score, tile, disturbance)
            return logits, pictures

        return spread


class SharedScore(torch.autograd.Function):
    """A score of rows that are shared out. Every process gets all answers, and the gradients of all rows."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, processes: ProcessGroup, score: Score, tile: int, disturbance: torch.Generator | None
    ) -> Any:
        ctx.processes, ctx.size, ctx.tile = processes, len(x), tile
        with torch.set_grad_enabled(ctx.needs_input_grad[0]):
            ctx.mine = processes.own_rows(x, tile).detach().requires_grad_(ctx.needs_input_grad[0])
            ctx.seen = score(ctx.mine, disturbance)
        return tuple(processes.gather_rows(part.detach())[: len(x)] for part in ctx.seen)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        wanted = [ctx.processes.own_rows(grad, ctx.tile) for grad in grads]
        (mine,) = torch.autograd.grad(ctx.seen, ctx.mine, wanted)
        return ctx.processes.gather_rows(mine)[: ctx.size], None, None, None, None


@contextmanager
def lost() -> Iterator[None]:
    """RunError instead of what torch.distributed raises when a process or torchrun has gone."""
    try:
        yield
    except dist.DistError as error:
        raise RunError(LOST, hint=AGAIN) from error
