"""Generators of a user's own: a network that makes images of latents, and a description of those latents.

The network is a torch.export program, TorchScript, ONNX, or what a Python function returns. The description is
YAML beside the file, or attributes of the object that the function returns.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from gmmedit.errors import InputError, out_of_memory
from gmmedit.generators.base import Generator
from gmmedit.generators.formats.beside import notes
from gmmedit.networks import (
    Network,
    exported,
    file_fingerprint,
    frozen,
    in_fixed_batches,
    onnx,
    python,
    reason,
    torchscript,
    weights,
)
from gmmedit.runtime.registry import Registry
from gmmedit.runtime.validation import explain_error

EXAMPLE = "write z_dim: 128, and what else docs/generators.md lists"
TRY = "compare z_shape with its input; export it for any batch"
SAME = 1e-2  # of the values' range: how much a picture may depend on the batch it is made in
Size = Annotated[int, Field(ge=1, le=1 << 16)]  # of a latent; public ones have 16,384 at most


class Description(BaseModel):
    """How the network wants its latents, and what its images are. gmmedit's own latents are standard normal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: Size
    z_shape: tuple[Size, ...] | None = None  # of one latent as the network takes it, e.g. [100, 1, 1]
    prior: Literal["normal", "uniform"] = "normal"  # uniform: in [-1, 1]
    n_classes: Annotated[int, Field(ge=0, le=1 << 16)] = 0  # with classes, the network's second input is one-hot
    range: tuple[float, float] = (-1.0, 1.0)  # of the images' values

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> "Description":
        """InputError: a setting that there is not, or a value that it cannot have."""
        try:
            found = cls.model_validate(given)
        except ValidationError as error:
            message, hint = explain_error(error, cls, EXAMPLE)
            raise InputError(f"{where}: {message}", hint=hint) from None
        if found.z_shape and math.prod(found.z_shape) != found.z_dim:
            message = f"{where}: z_shape {list(found.z_shape)} does not hold z_dim {found.z_dim} numbers"
            raise InputError(message, hint="their product must be z_dim")
        if found.range[0] >= found.range[1]:
            raise InputError(f"{where}: range {list(found.range)} is empty", hint="range: [0, 1]")
        return found


class Custom(Generator):
    """The network as a generator. With classes, w is z and the one-hot class; without, there is no w.

    Truncation scales z, which only classes let the stages do.
    """

    family = "user's own"
    anchor: Tensor  # where the network computes; it may have no parameters

    def __init__(self, network: Network, description: Description, where: str, fingerprint: str) -> None:
        """InputError: the network does not take such latents, or makes no images of them."""
        super().__init__()
        self.network, self.description, self.where = network.module, description, where
        self.fingerprint = sha256(f"{fingerprint}\n{description.model_dump_json()}".encode()).hexdigest()
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        self.z_dim, self.n_classes = description.z_dim, description.n_classes
        self.w_shape = (1, self.z_dim + self.n_classes) if self.n_classes else None
        self.rows = network.shapes[0][0] if network.shapes and network.shapes[0] else None  # at once; None: any number
        self.image_shape = self.tried()

    @property
    def device(self) -> torch.device:
        return self.anchor.device

    def train(self, mode: bool = True) -> "Custom":
        return self  # always in evaluation mode; a program cannot be switched

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z as it is without classes; else w (N, z_dim + n_classes): psi z, and the class."""
        if not self.n_classes:
            return z
        if c is None:
            raise ValueError("this generator is conditional: it needs a class for every latent")
        return torch.cat([psi * z, c], dim=1)

    def synthesize(self, w: Tensor) -> Tensor:
        """z (N, z_dim), or w or W+ (N, 1, z_dim + n_classes) with classes, to images."""
        w = w.flatten(1)
        low, high = self.description.range
        images = in_fixed_batches(self.images, w, self.rows).float()
        return images if (low, high) == (-1, 1) else (images - low) * (2 / (high - low)) - 1

    def images(self, w: Tensor) -> Tensor:
        z, c = w[:, : self.z_dim], w[:, self.z_dim :]
        if self.description.prior == "uniform":
            z = torch.special.erf(z / math.sqrt(2))  # the normal distribution function, from -1 to 1
        z = z.reshape(len(z), *(self.description.z_shape or (self.z_dim,)))
        try:
            images: Tensor = self.network(z, c) if self.n_classes else self.network(z)
        except Exception as error:  # anything may be in a user's network
            if out_of_memory(error):
                raise
            raise InputError(f"{self.where} fails on {len(z)} latents: {reason(error)}", hint=TRY) from error
        if len(images) != len(z):
            raise InputError(f"{self.where} makes {list(images.shape)} of {len(z)} latents", hint=TRY)
        return images

    @torch.enable_grad()  # whoever loads it may compute without
    def tried(self) -> tuple[int, int, int]:
        """The shape of its images, found with two latents, and whether gradients pass."""
        try:
            latents = torch.linspace(-1, 1, 2 * (self.z_dim + self.n_classes)).reshape(2, -1)
            latents[:, self.z_dim :] = 0
            latents[:, self.z_dim : self.z_dim + 1] = 1  # the first class
            single = self.synthesize(latents[:1].requires_grad_())
            self.differentiable = single.requires_grad
            single, both = single.detach(), self.synthesize(latents).detach()
            turned = self.synthesize(latents.flip(0)).detach().flip(0)
        except Exception as error:  # anything may be in a user's network
            if out_of_memory(error) or (isinstance(error, InputError) and not error.__cause__):
                raise
            shape = ["N", *(self.description.z_shape or (self.z_dim,))]
            why = reason(error.__cause__ or error)
            message = f"{self.where} makes no images of latents [{', '.join(map(str, shape))}]: {why}"
            raise InputError(message, hint=TRY) from error
        if single.ndim != 4 or single.shape[1] > 4 or len(single) != 1 or len(both) != 2 or not single.numel():
            message = f"{self.where} makes {list(single.shape)} of one latent"
            raise InputError(message, hint="it must make images (N, channels, height, width) of N latents, any N")
        alone = torch.cat([single, turned[1:]]) if turned.shape == both.shape else single * torch.nan
        if not (both - alone).abs().max() <= SAME * (1 + single.abs().max()):
            message = f"{self.where} makes another picture of the same latent beside others"
            raise InputError(message, hint="make it in evaluation mode, without random noise, for any batch")
        _, channels, height, width = single.shape
        return channels, height, width


class Program(Custom):
    """A torch.export program, which names its device in the graph: it is moved by loading it again."""

    def __init__(self, path: Path, network: Network, description: Description) -> None:
        super().__init__(network, description, str(path), file_fingerprint(path))
        self.path = path

    def to(self, device: str, **_: Any) -> "Program":  # type: ignore[override]
        if torch.device(device) != self.device:
            self.anchor = self.anchor.to(device)
            self.network = exported.load(self.path, device).module
        return self


def read_exported(path: Path) -> Generator:
    network = exported.load(path)
    return Program(path, network, described(path, network))


def read_torchscript(path: Path) -> Generator:
    network = torchscript.load(path)
    return Custom(network, described(path, network), str(path), file_fingerprint(path))


def read_onnx(path: Path) -> Generator:
    network = onnx.load(path)
    if len(network.outputs) > 1:
        raise InputError(f"{path} has {len(network.outputs)} outputs", hint=onnx.HINT)
    return Custom(network, described(path, network), str(path), file_fingerprint(*onnx.files_of(path)))


def described(path: Path, network: Network) -> Description:
    """The YAML beside the file; it may leave out what the file tells. InputError: neither tells the latent's size."""
    beside, tells = path.with_suffix(".yaml"), [shape[1:] for shape in network.shapes]
    given: dict[str, Any] = {}
    if tells and None not in tells[0]:
        given["z_shape"] = tells[0]
    if len(tells) == 2 and len(tells[1]) == 1 and tells[1][0]:
        given["n_classes"] = tells[1][0]
    given |= notes(path)
    if "z_dim" not in given and isinstance(given.get("z_shape"), tuple | list):
        given["z_dim"] = math.prod(given["z_shape"])
    if "z_dim" not in given:
        raise InputError(f"{path} does not tell the size of its latents", hint=f"{EXAMPLE}, into {beside}")
    return Description.of(given, str(beside))


def is_python(name: str) -> bool:
    return python.PATTERN.fullmatch(name) is not None


def from_python(name: str, trusted: bool) -> Generator:
    """`my_gan.py:load`. InputError: as `python.call`, or it returns no generator."""
    return adapted(python.call(name, trusted), name)


def from_package(name: str, registry: Registry) -> Generator:
    """The generator of another package. InputError: its function fails, or returns no generator."""
    function = registry.load(name)
    try:
        made = function()
    except InputError:
        raise
    except Exception as error:  # somebody else's code
        raise InputError(f"generator {name} fails: {reason(error)}", hint="--debug shows where") from error
    return adapted(made, name)


def adapted(made: object, where: str) -> Generator:
    """A `Generator` as it is; any other module by its attributes: z_dim, and what else a Description knows."""
    if not isinstance(made, nn.Module):
        message = f"{where} returns a {type(made).__name__}"
        raise InputError(message, hint="return a torch.nn.Module with the attribute z_dim, or a gmmedit Generator")
    if isinstance(made, Generator):
        return checked(made, where)
    given = {name: getattr(made, name) for name in Description.model_fields if hasattr(made, name)}
    if "z_dim" not in given:
        raise InputError(f"the module of {where} has no z_dim", hint="module.z_dim = 128")
    description = Description.of(given, where)
    module = frozen(made, "cpu")
    return Custom(Network(module), description, where, weights.fingerprint(module.state_dict()))


def checked(made: Generator, where: str) -> Generator:
    """InputError: it lacks what every stage asks for."""
    if not hasattr(made, "fingerprint"):
        made.fingerprint = weights.fingerprint(made.state_dict())
    made.n_classes = getattr(made, "n_classes", 0)
    made.family = getattr(made, "family", type(made).__name__)
    lacking = [name for name in ("z_dim", "w_shape", "image_shape") if not hasattr(made, name)]
    if lacking:
        raise InputError(f"the Generator of {where} has no {', '.join(lacking)}", hint="gmmedit.generators.Generator")
    try:
        found = trial(made)
    except Exception as error:  # the user's own code
        if out_of_memory(error):
            raise
        message = f"the Generator of {where} makes no images of two latents: {reason(error)}"
        raise InputError(message, hint="--debug shows where") from error
    wanted = [f"float32 {[2, *shape]}" for shape in ((made.w_shape or (1, made.z_dim))[1:], made.image_shape)]
    for what, tensor, expected in zip(("w", "images"), found, wanted, strict=True):
        told = f"{tensor.dtype} {list(tensor.shape)}".removeprefix("torch.")
        if told != expected:
            message = f"the Generator of {where} makes {what} {told} of two latents, {expected} was expected"
            raise InputError(message, hint="gmmedit.generators.Generator; .float() makes float32 of float64")
    return made


@torch.no_grad()
def trial(made: Generator) -> tuple[Tensor, Tensor]:
    """What it makes of two latents: w, or the latents where it has none, and images."""
    z = torch.linspace(-1, 1, 2 * made.z_dim).reshape(2, -1)
    c = torch.eye(made.n_classes)[:1].expand(2, -1) if made.n_classes else None
    w = made.map(z, c) if made.w_shape else z
    return w, made.synthesize(w.float())  # as samples.h5 keeps it
