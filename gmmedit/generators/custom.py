"""User-supplied generators: a network from latents to images, and a description of these latents.

The network is a torch.export program, TorchScript, ONNX, or returned by a Python function. The description is a YAML
file beside the network's, or attributes of the object that the function returns.
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
from gmmedit.generators.formats.sidecar import read_sidecar
from gmmedit.networks import (
    Network,
    exported,
    fingerprint_files,
    first_line,
    freeze,
    onnx,
    python,
    run_in_fixed_batches,
    torchscript,
    weights,
)
from gmmedit.runtime.registry import Registry
from gmmedit.runtime.validation import explain_error

EXAMPLE = "give z_dim: 128 and the other settings that docs/generators.md lists"
TRY = "compare z_shape with its input, and export it for any batch size"
SAME = 1e-2  # of the values' range: how much an image may depend on its batch
Size = Annotated[int, Field(ge=1, le=1 << 16)]  # of a latent; public ones have 16,384 at most


class Description(BaseModel):
    """The latents that the network takes, and the range of its images. gmmedit's own latents are standard normal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    z_dim: Size
    z_shape: tuple[Size, ...] | None = None  # of one latent as the network takes it, e.g. [100, 1, 1]
    prior: Literal["normal", "uniform"] = "normal"  # uniform: in [-1, 1]
    n_classes: Annotated[int, Field(ge=0, le=1 << 16)] = 0  # with classes, the network's second input is one-hot
    range: tuple[float, float] = (-1.0, 1.0)  # of the images' values

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], where: str) -> "Description":
        """The validated description. InputError: an unknown key or an invalid value."""
        try:
            found = cls.model_validate(given)
        except ValidationError as error:
            message, hint = explain_error(error, cls, EXAMPLE)
            raise InputError(f"{where}: {message}", hint=hint) from None
        if found.z_shape and math.prod(found.z_shape) != found.z_dim:
            message = f"{where}: z_shape {list(found.z_shape)} does not have z_dim = {found.z_dim} elements"
            raise InputError(message, hint="the product of z_shape must be z_dim")
        if found.range[0] >= found.range[1]:
            raise InputError(f"{where}: range {list(found.range)} is empty", hint="range: [0, 1]")
        return found


class Custom(Generator):
    """The network as a generator. With classes, w is z and the one-hot class; without, there is no w.

    Truncation scales z, and is only available with classes.
    """

    family = "user's own"
    anchor: Tensor  # on the device where the network computes, which may have no parameters

    def __init__(self, network: Network, description: Description, where: str, fingerprint: str) -> None:
        """InputError: the network does not take such latents, or does not return images."""
        super().__init__()
        self.network, self.description, self.where = network.module, description, where
        self.fingerprint = sha256(f"{fingerprint}\n{description.model_dump_json()}".encode()).hexdigest()
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        self.z_dim, self.n_classes = description.z_dim, description.n_classes
        self.w_shape = (1, self.z_dim + self.n_classes) if self.n_classes else None
        self.rows = network.shapes[0][0] if network.shapes and network.shapes[0] else None  # per call; None: any number
        self.image_shape = self.try_latents()

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return self.anchor.device

    def train(self, mode: bool = True) -> "Custom":
        """Without effect: the network stays in evaluation mode, which a program cannot leave."""
        return self

    def map(self, z: Tensor, c: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """z unchanged without classes, else w (N, z_dim + n_classes): psi z, and the class. ValueError: no class."""
        if not self.n_classes:
            return z
        if c is None:
            raise ValueError("this generator is conditional: every latent needs a class")
        return torch.cat([psi * z, c], dim=1)

    def synthesize(self, w: Tensor) -> Tensor:
        """z (N, z_dim), or w or W+ (N, 1, z_dim + n_classes) with classes, to images."""
        w = w.flatten(1)
        low, high = self.description.range
        images = run_in_fixed_batches(self.run_network, w, self.rows).float()
        return images if (low, high) == (-1, 1) else (images - low) * (2 / (high - low)) - 1

    def run_network(self, w: Tensor) -> Tensor:
        """The network's images for w (N, z_dim + n_classes). InputError: it fails, or returns another number."""
        z, c = w[:, : self.z_dim], w[:, self.z_dim :]
        if self.description.prior == "uniform":
            z = torch.special.erf(z / math.sqrt(2))  # the normal distribution function, scaled to [-1, 1]
        z = z.reshape(len(z), *(self.description.z_shape or (self.z_dim,)))
        try:
            images: Tensor = self.network(z, c) if self.n_classes else self.network(z)
        except Exception as error:  # user code may raise anything
            if out_of_memory(error):
                raise
            raise InputError(f"{self.where} fails on {len(z)} latents: {first_line(error)}", hint=TRY) from error
        if len(images) != len(z):
            raise InputError(f"{self.where} returns {list(images.shape)} for {len(z)} latents", hint=TRY)
        return images

    @torch.enable_grad()  # the caller may have disabled gradients
    def try_latents(self) -> tuple[int, int, int]:
        """The shape of its images, found with two latents; sets `differentiable`.

        InputError: it fails, returns no images (N, C, H, W), or its images depend on the batch.
        """
        try:
            latents = torch.linspace(-1, 1, 2 * (self.z_dim + self.n_classes)).reshape(2, -1)
            latents[:, self.z_dim :] = 0
            latents[:, self.z_dim : self.z_dim + 1] = 1  # the first class
            single = self.synthesize(latents[:1].requires_grad_())
            self.differentiable = single.requires_grad
            single, both = single.detach(), self.synthesize(latents).detach()
            turned = self.synthesize(latents.flip(0)).detach().flip(0)
        except Exception as error:  # user code may raise anything
            if out_of_memory(error) or (isinstance(error, InputError) and not error.__cause__):
                raise
            shape = ["N", *(self.description.z_shape or (self.z_dim,))]
            why = first_line(error.__cause__ or error)
            message = f"{self.where} fails on latents [{', '.join(map(str, shape))}]: {why}"
            raise InputError(message, hint=TRY) from error
        if single.ndim != 4 or single.shape[1] > 4 or len(single) != 1 or len(both) != 2 or not single.numel():
            message = f"{self.where} returns {list(single.shape)} for one latent"
            raise InputError(
                message, hint="it must return images (N, channels, height, width) for N latents, for any N"
            )
        alone = torch.cat([single, turned[1:]]) if turned.shape == both.shape else single * torch.nan
        if not (both - alone).abs().max() <= SAME * (1 + single.abs().max()):
            message = f"{self.where} returns another image for the same latent in another batch"
            raise InputError(message, hint="use evaluation mode, no random noise, and an export for any batch size")
        _, channels, height, width = single.shape
        return channels, height, width


class Program(Custom):
    """A torch.export program. Its graph names the device, so it is moved by loading it again."""

    def __init__(self, path: Path, network: Network, description: Description) -> None:
        super().__init__(network, description, str(path), fingerprint_files(path))
        self.path = path

    def to(self, device: str, **_: Any) -> "Program":  # type: ignore[override]
        """The program on another device, loaded from its file again."""
        if torch.device(device) != self.device:
            self.anchor = self.anchor.to(device)
            self.network = exported.load_program(self.path, device).module
        return self


def read_exported(path: Path) -> Generator:
    """The generator in a torch.export file. InputError: as `exported.load_program`, `read_description`, `Custom`."""
    network = exported.load_program(path)
    return Program(path, network, read_description(path, network))


def read_torchscript(path: Path) -> Generator:
    """The generator in a TorchScript file. InputError: as `read_exported`."""
    network = torchscript.load_script(path)
    return Custom(network, read_description(path, network), str(path), fingerprint_files(path))


def read_onnx(path: Path) -> Generator:
    """The generator in an ONNX file. InputError: as `read_exported`, or it has several outputs."""
    network = onnx.load_session(path)
    if len(network.outputs) > 1:
        raise InputError(f"{path} has {len(network.outputs)} outputs", hint=onnx.HINT)
    return Custom(network, read_description(path, network), str(path), fingerprint_files(*onnx.files_of(path)))


def read_description(path: Path, network: Network) -> Description:
    """The description beside the file, completed from the file. InputError: neither gives the latent's size."""
    sidecar, inputs = path.with_suffix(".yaml"), [shape[1:] for shape in network.shapes]
    given: dict[str, Any] = {}
    if inputs and None not in inputs[0]:
        given["z_shape"] = inputs[0]
    if len(inputs) == 2 and len(inputs[1]) == 1 and inputs[1][0]:
        given["n_classes"] = inputs[1][0]
    given |= read_sidecar(path)
    if "z_dim" not in given and isinstance(given.get("z_shape"), tuple | list):
        given["z_dim"] = math.prod(given["z_shape"])
    if "z_dim" not in given:
        raise InputError(f"{path} does not give the size of its latents", hint=f"{EXAMPLE}, in {sidecar}")
    return Description.from_settings(given, str(sidecar))


def load_from_python(name: str, trusted: bool) -> Generator:
    """The generator that `my_gan.py:load` returns. InputError: as `python.call_factory`, or it returns no generator."""
    return adapt_module(python.call_factory(name, trusted), name)


def load_from_package(name: str, registry: Registry) -> Generator:
    """The generator of another package's entry point. InputError: its function fails, or returns no generator."""
    function = registry.load(name)
    try:
        made = function()
    except InputError:
        raise
    except Exception as error:  # code of another package
        raise InputError(f"generator {name} fails: {first_line(error)}", hint="--debug shows where") from error
    return adapt_module(made, name)


def adapt_module(made: object, where: str) -> Generator:
    """A `Generator` as it is; any other module with a description from its attributes: z_dim and others.

    InputError: it is no module, or lacks z_dim.
    """
    if not isinstance(made, nn.Module):
        message = f"{where} returns a {type(made).__name__}"
        raise InputError(message, hint="return a torch.nn.Module with the attribute z_dim, or a gmmedit Generator")
    if isinstance(made, Generator):
        return check_generator(made, where)
    given = {name: getattr(made, name) for name in Description.model_fields if hasattr(made, name)}
    if "z_dim" not in given:
        raise InputError(f"the module of {where} has no z_dim", hint="set the attribute: module.z_dim = 128")
    description = Description.from_settings(given, where)
    module = freeze(made, "cpu")
    return Custom(Network(module), description, where, weights.fingerprint_tensors(module.state_dict()))


def check_generator(made: Generator, where: str) -> Generator:
    """The generator, its optional attributes filled in. InputError: it lacks required ones, or fails on two latents."""
    if not hasattr(made, "fingerprint"):
        made.fingerprint = weights.fingerprint_tensors(made.state_dict())
    made.n_classes = getattr(made, "n_classes", 0)
    made.family = getattr(made, "family", type(made).__name__)
    lacking = [name for name in ("z_dim", "w_shape", "image_shape") if not hasattr(made, name)]
    if lacking:
        raise InputError(
            f"the Generator of {where} has no {', '.join(lacking)}", hint="see gmmedit.generators.Generator"
        )
    try:
        found = run_trial(made)
    except Exception as error:  # the user's own code
        if out_of_memory(error):
            raise
        message = f"the Generator of {where} fails on two latents: {first_line(error)}"
        raise InputError(message, hint="--debug shows where") from error
    wanted = [f"float32 {[2, *shape]}" for shape in ((made.w_shape or (1, made.z_dim))[1:], made.image_shape)]
    for what, tensor, expected in zip(("w", "images"), found, wanted, strict=True):
        actual = f"{tensor.dtype} {list(tensor.shape)}".removeprefix("torch.")
        if actual != expected:
            message = f"the Generator of {where} returns {what} {actual} for two latents, expected {expected}"
            raise InputError(message, hint="see gmmedit.generators.Generator; .float() converts to float32")
    return made


@torch.no_grad()
def run_trial(made: Generator) -> tuple[Tensor, Tensor]:
    """w (the latents where there is no w) and images for two latents."""
    z = torch.linspace(-1, 1, 2 * made.z_dim).reshape(2, -1)
    c = torch.eye(made.n_classes)[:1].expand(2, -1) if made.n_classes else None
    w = made.map(z, c) if made.w_shape else z
    return w, made.synthesize(w.float())  # as stored in samples.h5
