"""Several processes of one command, on torch.distributed.

They share a key-value store of torchrun's, which outlives each of them: a counter in it hands out chunks, and errors
and results are sent through it. A process group is created only where tensors are exchanged in every step. It uses
gloo, on GPUs too, since these tensors are in main memory.
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
from gmmedit.runtime.batching import TILE, Score, pad_rows
from gmmedit.runtime.distributed import Processes, T, Tensors
from gmmedit.runtime.signals import StopRequest, ending_at_once
from gmmedit.runtime.storage import lock

POLL = 0.02  # seconds between reads of the store
STEP_POLL = 1e-4  # the same while tensors are exchanged
ANNOUNCE = 1.0  # seconds for the failed process to report its error, before torchrun sees that another has ended
TIMEOUT = timedelta(minutes=30)  # for a process that is alive and sends no tensors
FAILED, DONE = "failed", "done"
LOST = "the processes of this command lost their connection"
AGAIN = "finished work is kept: run the same command again"


class OtherProcessFailed(GmmeditError):
    """Another process of this command has failed and reports it; this one only ends, with the same exit code."""

    def __init__(self, code: int) -> None:
        super().__init__("")
        self.exit_code = code


class ProcessGroup(Processes):
    """This process among several. RunError: they cannot connect."""

    def __init__(self, stop: StopRequest) -> None:
        self._stop = stop
        with translate_dist_errors():
            store, self.rank, self.count = next(dist.rendezvous("env://", timeout=TIMEOUT))
        self.store = dist.PrefixStore(f"gmmedit {launched.attempt()}", store)
        self._calls = 0
        self._grouped = False

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """When a process fails, the others raise OtherProcessFailed. None ends before the main process."""
        try:
            with translate_dist_errors():
                yield
                if self.main:
                    self.store.set(DONE, "")
                self._wait(DONE)
        except BaseException as error:
            code = getattr(error, "exit_code", 1)
            if isinstance(error, OtherProcessFailed) or not self._first_to_fail(code):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun's, to whom one has ended: so does this one
                time.sleep(ANNOUNCE)
                raise OtherProcessFailed(code) from error
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
        """OtherProcessFailed: another process has failed."""
        if self.store.check([FAILED]):
            raise OtherProcessFailed(int(self.store.get(FAILED)))

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
        """Wait until all processes have called this."""
        call = self._call()
        if self.store.add(f"{call}/here", 1) == self.count:
            self.store.set(call, "")
        self._wait(call)

    def broadcast(self, make: Callable[[], T]) -> T:
        """See `Processes.broadcast`."""
        call = self._call()
        if self.main:
            self.store.set(call, json.dumps(make()))
        self._wait(call)
        result: T = json.loads(self.store.get(call))
        return result

    def main_first(self, make: Callable[[], T]) -> T:
        """See `Processes.main_first`."""
        call = self._call()
        if not self.main:
            self._wait(call)
        made = make()
        if self.main:
            self.store.set(call, "")
        return made

    def share_numbers(self, total: int) -> Iterator[int]:
        """See `Processes.share_numbers`. Stopped, OtherProcessFailed: raised instead of the next number."""
        call = self._call()

        def taken() -> Iterator[int]:
            while (number := self.store.add(f"{call}/next", 1) - 1) < total:
                self.check()
                self._stop.check()
                yield number

        return taken()

    def lock(self, path: Path) -> Any:
        """See `Processes.lock`."""
        return lock(path) if self.main else nullcontext()

    def gather(self, items: Sequence[int], work: Callable[[int], Tensors]) -> Iterator[tuple[int, Tensors]]:
        """See `Processes.gather`."""
        call, mine = self._call(), self.share_numbers(len(items))
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
        """See `Processes.map_rows`."""
        return tuple(self.gather_rows(part)[: len(rows)] for part in function(self.own_rows(rows, TILE)))

    def own_rows(self, rows: Tensor, tile: int) -> Tensor:
        """This process's part of the rows (N, ...): whole tiles, the same number for all processes.

        The last row is repeated to fill the last tiles.
        """
        whole = pad_rows(rows, tile * self.count)
        size = len(whole) // self.count
        return whole[self.rank * size : (self.rank + 1) * size]

    def gather_rows(self, part: Tensor) -> Tensor:
        """See `Processes.gather_rows`."""
        if not part.numel():
            return torch.cat([part] * self.count)
        if not self._grouped:
            self.meet()  # notices a process that has ended, which init_process_group does not
            group = dist.PrefixStore("group", self.store)
            with ending_at_once():  # for one may end between the two, and nothing has been computed yet
                self._stop.check()
                dist.init_process_group("gloo", store=group, rank=self.rank, world_size=self.count, timeout=TIMEOUT)
            self._grouped = True
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(self.count)]
        try:
            work = dist.all_gather(parts, part.contiguous(), async_op=True)
            while not work.is_completed():
                time.sleep(STEP_POLL)
            work.wait()
        except RuntimeError as error:  # a process has ended, and may have reported why
            self.check()
            raise RunError(LOST, hint=AGAIN) from error
        return torch.cat(parts)

    def share(self, score: Score, tile: int) -> Score:
        """See `Processes.share`."""

        def shared(x: Tensor, disturbance: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
            logits, images = SharedScore.apply(x, self, score, tile, disturbance)
            return logits, images

        return shared


class SharedScore(torch.autograd.Function):
    """A score whose rows are divided among the processes. Every process gets all results, and all rows' gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, processes: ProcessGroup, score: Score, tile: int, disturbance: torch.Generator | None
    ) -> Any:
        """x (N, L, D) to logits (N, K) and images (N, ...) of all rows."""
        ctx.processes, ctx.size, ctx.tile = processes, len(x), tile
        with torch.set_grad_enabled(ctx.needs_input_grad[0]):
            ctx.mine = processes.own_rows(x, tile).detach().requires_grad_(ctx.needs_input_grad[0])
            ctx.outputs = score(ctx.mine, disturbance)
        return tuple(processes.gather_rows(part.detach())[: len(x)] for part in ctx.outputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """Gradients of logits and images to those of x (N, L, D)."""
        own = [ctx.processes.own_rows(grad, ctx.tile) for grad in grads]
        (mine,) = torch.autograd.grad(ctx.outputs, ctx.mine, own)
        return ctx.processes.gather_rows(mine)[: ctx.size], None, None, None, None


@contextmanager
def translate_dist_errors() -> Iterator[None]:
    """Raise RunError instead of what torch.distributed raises when a process or torchrun has ended."""
    try:
        yield
    except dist.DistError as error:
        raise RunError(LOST, hint=AGAIN) from error


@contextmanager
def join_processes(stop: StopRequest) -> Iterator[Processes]:
    """The processes of this command, which end together: only the first that fails reports its error.

    stop: of this command; a process that is asked to stop does not wait for the others.
    """
    if launched.count() == 1:
        yield Processes()
        return
    processes = ProcessGroup(stop)
    try:
        with processes.ending_together():
            yield processes
    except BaseException as error:
        launched.mark_as_heard(error)
        raise
