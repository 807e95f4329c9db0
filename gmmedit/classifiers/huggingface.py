"""Folders of the transformers library (`pip install gmmedit[hf]`): where they are, and image classifiers in them.

Nothing is fetched and no code of a folder runs: a hub name is looked up in the local cache only, weights are read
from safetensors or by torch's restricted unpickler, and pictures are prepared here, from the values of
preprocessor_config.json.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gmmedit import weights
from gmmedit.classifiers.base import Attribute
from gmmedit.classifiers.columns import Activation
from gmmedit.classifiers.opened import Opened
from gmmedit.classifiers.preprocessing import Interpolation, Preprocessing
from gmmedit.errors import InputError
from gmmedit.files import check_utf8
from gmmedit.networks import frozen, reason

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
EXTRA = "pip install gmmedit[hf]"
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}

# Pillow's numbers of its filters; the windowed sinc has no counterpart in PyTorch, the cubic is the nearest to it.
RESAMPLING: dict[int, Interpolation] = {0: "nearest", 1: "bicubic", 2: "bilinear", 3: "bicubic"}
FULL = 384  # from this size on ConvNeXT's processor crops nothing


def transformers() -> Any:
    """The library, offline and silent. InputError: it is not installed."""
    os.environ.update(QUIET)
    try:
        import transformers
    except ImportError as error:
        raise InputError("this network needs the transformers library", hint=EXTRA) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def folder_of(name: str) -> Path:
    """The folder of a hub name in the local cache. InputError: it is not there."""
    transformers()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception as error:  # OSError, ValueError: not a name, nothing cached
        message = f"{name} is no local folder, and no model in the Hugging Face cache"
        raise InputError(message, hint=f"hf download {name}") from error


def load(folder: Path, kind: str, device: str) -> tuple[Any, list[str]]:
    """The model in a folder by transformers' class `kind`, on the device, and the weights that were missing.

    InputError: no such model there, or one that needs foreign code or further libraries.
    """
    library = transformers()
    check_utf8(folder, "transformers")
    try:
        model, found = getattr(library, kind).from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # the library raises whatever its parts raise
        message = f"{folder} cannot be loaded as {kind}: {reason(error)}"
        hint = "give a folder that save_pretrained wrote, with model.safetensors and config.json"
        raise InputError(message, hint=hint) from error
    return frozen(model, device), sorted(found["missing_keys"])


def check_complete(folder: Path, missing: list[str]) -> None:
    """InputError: some weights were missing, and the library has drawn random ones."""
    if missing:
        message = f"{folder} has no weights for {missing[0]}, which a classifier needs"
        raise InputError(message, hint="give a model that was trained to classify, or add prompts for CLIP")


def read(folder: Path, device: str) -> Opened:
    """An image classifier. Its labels are the values of one attribute, or attributes where several may hold."""
    model, missing = load(folder, "AutoModelForImageClassification", device)
    check_complete(folder, missing)
    config = model.config
    names = tuple(unique([str(config.id2label[i]) for i in range(config.num_labels)]))
    several = config.problem_type == "multi_label_classification"
    activation: Activation = "sigmoid" if several else "softmax"
    attributes = tuple(Attribute(name, ("no", "yes")) for name in names) if several else (Attribute("class", names),)

    def forward(pixels: Tensor) -> Tensor:
        return model(pixel_values=pixels).logits

    size = getattr(config, "image_size", None)
    return Opened(forward, fingerprint_of(model), preprocessing(folder, size), attributes, names, activation)


def embedded(found: Any) -> Tensor:
    """The projected embeddings (N, E) of CLIP and SigLIP, which transformers 5 wraps."""
    return found if isinstance(found, Tensor) else found.pooler_output


def fingerprint_of(model: Any) -> str:
    return weights.fingerprint(model.state_dict())


def unique(names: list[str]) -> list[str]:
    """Names as `--attr NAME=VALUE:STRENGTH` can take them; those that occur twice get their number."""
    names = [re.sub(r"[=:]", " ", name) for name in names]
    return [f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def preprocessing(folder: Path, image_size: object = None) -> Preprocessing | None:
    """What the folder's processor does to pictures; None: it has none. InputError: it cannot be read."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        path = folder / name
        if path.is_file():
            try:
                settings = json.loads(path.read_text(encoding="utf-8"))
                return preprocessing_from(settings.get("image_processor", settings), image_size)
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{path} is no image processor: {error}", hint="describe `input` in YAML") from error
    return None


def preprocessing_from(settings: dict[str, Any], image_size: object = None) -> Preprocessing:
    """The values of a preprocessor_config.json, of any age."""
    wanted = settings.get("size", image_size)
    crops = settings.get("do_center_crop", False)
    edge: int | None = None
    if isinstance(wanted, dict) and "shortest_edge" in wanted:
        edge = int(wanted["shortest_edge"])
    elif crops and isinstance(wanted, int):
        edge = wanted
    size = pair(settings["crop_size"]) if crops and "crop_size" in settings else pair(wanted)
    if edge and not crops and settings.get("crop_pct"):
        edge = int(edge / settings["crop_pct"]) if edge < FULL else None
    normalizes = settings.get("do_normalize", True)
    white = 255 * settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 255.0
    return Preprocessing(
        size=size,
        edge=edge,
        interpolation=RESAMPLING.get(settings.get("resample", 2), "bilinear"),
        colors="bgr" if settings.get("do_flip_channel_order") else "rgb",
        range=(0.0, white),
        mean=numbers(settings.get("image_mean", 0.5)) if normalizes else (0.0,),
        std=numbers(settings.get("image_std", 0.5)) if normalizes else (1.0,),
    )


def pair(size: Any) -> tuple[int, int]:
    """(height, width) of a number, of a list, or of one of the three spellings."""
    if isinstance(size, dict) and "shortest_edge" in size:
        size = size["shortest_edge"]
    if isinstance(size, dict):
        return int(size["height"]), int(size["width"])
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return int(height), int(width)


def numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values) if isinstance(values, list) else (float(values),)
