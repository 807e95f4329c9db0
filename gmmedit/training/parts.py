"""A step in parts: every process computes the gradients of some, and all add them up in the order of the parts.

A step has the same parts however many processes there are, so that its result has the same bits.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from gmmedit.errors import InputError
from gmmedit.runtime.distributed import Processes

Loss = tuple[Tensor, Tensor]  # of a part: its loss (), and figures (F,) of which the mean is wanted


class Parts:
    """The parts of a step, and which of them this process computes: neighbours, as many as every other process.

    InputError: the processes cannot share the parts evenly.
    """

    def __init__(self, processes: Processes, most: int, batch: int) -> None:
        self.processes, self.total = processes, math.gcd(most, batch)
        if self.total % processes.count:
            message = f"torchrun started {processes.count} processes, a step of this training has {self.total} parts"
            raise InputError(message, hint=f"--nproc-per-node {self.total}")
        size = self.total // processes.count
        self.mine = range(processes.rank * size, (processes.rank + 1) * size)

    def gather(self, own: Sequence[Tensor]) -> Iterable[Tensor]:
        """The tensors (F,) of all parts in their order, of which this process has those of its own parts."""
        if self.processes.count == 1:
            return own
        return self.processes.gather_rows(torch.stack(list(own)).cpu()).to(own[0].device)

    def mean(self, own: Sequence[Tensor]) -> Tensor:
        """The mean (F,) over all parts of a tensor of each."""
        return add_up(self.gather(own)) / self.total

    def set_gradients(self, network: nn.Module, measure: Callable[[int], Loss]) -> Tensor:
        """Set the gradients of the network's parameters to those of the mean loss of all parts; the mean figures (F,).

        measure: a part's number to its loss and figures. A parameter that no loss depends on gets no gradient.
        """
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        found, figures = [], []
        for part in self.mine:
            loss, shown = measure(part)
            found.append(torch.autograd.grad(loss, parameters, allow_unused=True))
            figures.append(shown.detach())
        used = [p for p, gradient in zip(parameters, found[0], strict=True) if gradient is not None]
        own = [[gradient for gradient in gradients if gradient is not None] for gradients in found]
        for parameter in parameters:
            parameter.grad = None
        for parameter, gradient in zip(used, self.mean_of_each(own), strict=True):
            parameter.grad = gradient
        return self.mean(figures)

    def mean_of_each(self, own: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The mean over all parts of every tensor that a part has, any shapes."""
        if self.total == 1:
            return list(own[0])
        if self.processes.count == 1:
            return [add_up(tensors) / self.total for tensors in zip(*own, strict=True)]
        whole = self.mean([torch.cat([tensor.flatten() for tensor in tensors]) for tensors in own])
        pieces = whole.split([tensor.numel() for tensor in own[0]])
        return [piece.view(like.shape) for piece, like in zip(pieces, own[0], strict=True)]


def add_up(tensors: Iterable[Tensor]) -> Tensor:
    """The sum of tensors of one shape, added in their order: another order may round differently."""
    first, *others = tensors
    whole = first.clone()
    for tensor in others:
        whole += tensor
    return whole
