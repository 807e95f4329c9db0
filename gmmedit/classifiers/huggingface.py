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

from gmmedit.classifiers.attributes import Attribute
from gmmedit.classifiers.columns import Activation
from gmmedit.classifiers.description import Description
from gmmedit.classifiers.image_networks import OpenedNetwork
from gmmedit.classifiers.preprocessing import Preprocessing
from gmmedit.classifiers.processors import RULES, preprocessing_of
from gmmedit.errors import InputError
from gmmedit.networks import first_line, freeze, weights
from gmmedit.runtime.regular_files import check_utf8

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
EXTRA = "pip install gmmedit[hf]"
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
DESCRIBE = "describe it in YAML instead: input: {size: 224, mean: [...], std: [...]}, see docs/classifiers.md"


def import_transformers() -> Any:
    """The library, offline and silent. InputError: it is not installed."""
    os.environ.update(QUIET)
    try:
        import transformers
    except ImportError as error:
        raise InputError("this network needs the transformers library", hint=EXTRA) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def find_cached_folder(name: str) -> Path:
    """The folder of a hub name in the local cache. InputError: it is not there."""
    import_transformers()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except Exception as error:  # OSError, ValueError: not a name, nothing cached
        message = f"{name} is no local folder, and no model in the Hugging Face cache"
        raise InputError(message, hint=f"hf download {name}") from error


def load_model(folder: Path, kind: str, device: str) -> tuple[Any, list[str]]:
    """The model in a folder by transformers' class `kind`, on the device, and the weights that were missing.

    InputError: no such model there, or one that needs foreign code or further libraries.
    """
    library = import_transformers()
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
        message = f"{folder} cannot be loaded as {kind}: {first_line(error)}"
        hint = "give a folder that save_pretrained wrote, with model.safetensors and config.json"
        raise InputError(message, hint=hint) from error
    return freeze(model, device), sorted(found["missing_keys"])


def check_complete(folder: Path, missing: list[str]) -> None:
    """InputError: some weights were missing, and the library has drawn random ones."""
    if missing:
        message = f"{folder} has no weights for {missing[0]}, which a classifier needs"
        raise InputError(message, hint="give a model that was trained to classify, or add prompts for CLIP")


def read_image_classifier(folder: Path, description: Description, device: str) -> OpenedNetwork:
    """An image classifier. Its labels are the values of one attribute, or attributes where several may hold."""
    model, missing = load_model(folder, "AutoModelForImageClassification", device)
    check_complete(folder, missing)
    config = model.config
    names = tuple(make_unique([str(config.id2label[i]) for i in range(config.num_labels)]))
    several = config.problem_type == "multi_label_classification"
    if len(names) == 1 and not several and description.attributes is None:
        message = f"{folder} has a single output, {names[0]!r}, which is no choice between values"
        raise InputError(message, hint=f"activation: sigmoid and attributes: {{NAME: {{outputs: {names[0]}}}}} in YAML")
    activation: Activation = "sigmoid" if several else "softmax"
    attributes = tuple(Attribute(name, ("no", "yes")) for name in names) if several else (Attribute("class", names),)

    def forward(pixels: Tensor) -> Tensor:
        return model(pixel_values=pixels).logits

    prepare = None if description.input else read_preprocessing(folder, config)
    return OpenedNetwork(forward, fingerprint_model(model), prepare, attributes, names, activation)


def unwrap_embeddings(found: Any) -> Tensor:
    """The projected embeddings (N, E) of CLIP and SigLIP, which transformers 5 wraps."""
    return found if isinstance(found, Tensor) else found.pooler_output


def fingerprint_model(model: Any) -> str:
    return weights.fingerprint_tensors(model.state_dict())


def make_unique(names: list[str]) -> list[str]:
    """Names as `--attr NAME=VALUE:STRENGTH` can take them; those that occur twice get their number."""
    names = [re.sub(r"[=:]", " ", name) for name in names]
    return [f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def read_preprocessing(folder: Path, config: Any = None) -> Preprocessing | None:
    """What the folder's image processor does to images; None: it has none.

    `config` is the model's, which tells the class of a processor whose own file does not. InputError: the file cannot
    be read, or there is no rule for its class.
    """
    for name in ("processor_config.json", "preprocessor_config.json"):  # as the library looks for them
        path = folder / name
        if not path.is_file():
            continue
        try:
            whole = json.loads(path.read_text(encoding="utf-8"))
            settings = whole if name.startswith("pre") else whole.get("image_processor")
            if settings is None:
                continue
            kind = processor_class(settings, config)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is no image processor: {error}", hint=DESCRIBE) from error
        if kind not in RULES:
            message = f"{path}: what {kind or 'a processor without image_processor_type'} does to images is not known"
            raise InputError(message, hint=DESCRIBE)
        try:
            return preprocessing_of(kind, settings, import_transformers())
        except Exception as error:  # the library raises whatever its parts raise
            raise InputError(f"{path} is no {kind} as it is known here: {first_line(error)}", hint=DESCRIBE) from error
    return None


def processor_class(settings: dict[str, Any], config: Any) -> str:
    """The class that the library would take, as its name without the marks of a backend; "" if nothing tells it."""
    name = settings.get("image_processor_type")
    if name is None and "feature_extractor_type" in settings:  # before 2023
        name = settings["feature_extractor_type"].replace("FeatureExtractor", "ImageProcessor")
    if name is None:
        import_transformers()
        from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

        names = IMAGE_PROCESSOR_MAPPING_NAMES.get(getattr(config, "model_type", ""), ())
        name = next((it for it in (names.values() if isinstance(names, dict) else names) if it), "")
    return str(name).removesuffix("Fast").removesuffix("Pil")
