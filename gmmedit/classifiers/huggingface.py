"""Folders of the transformers library (`pip install gmmedit[hf]`), and the image classifiers in them.

Nothing is downloaded and no code of a folder runs: a hub name is looked up in the local cache only, weights are read
from safetensors or by torch's restricted unpickler, and images are preprocessed here, with the values of
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
SAVED = "give a folder that save_pretrained wrote, with model.safetensors and config.json"


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
        message = f"{name} is neither a local folder nor a model in the Hugging Face cache"
        raise InputError(message, hint=f"hf download {name}") from error


def load_model(folder: Path, kind: str, device: str) -> tuple[Any, list[str]]:
    """The model in a folder by transformers' class `kind`, on the device, and the names of missing weights.

    InputError: there is no such model, or it needs code from the folder or further libraries.
    """
    library = import_transformers()
    check_utf8(folder, "transformers")
    check_config(folder)
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
        raise InputError(message, hint=SAVED) from error
    return freeze(model, device), sorted(found["missing_keys"])


def check_config(folder: Path) -> None:
    """InputError: the folder has no config.json that names a kind of model."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{folder} is not a transformers model: it has no config.json", hint=SAVED)
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON", hint=SAVED) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{folder} is not a transformers model: its config.json has no model_type", hint=SAVED)


def check_complete(folder: Path, missing: list[str]) -> None:
    """InputError: weights are missing, which the library replaces by random ones."""
    if missing:
        message = f"{folder} has no weights for {missing[0]}, which a classifier needs"
        raise InputError(message, hint="give a model trained for classification, or add prompts for CLIP")


def read_image_classifier(folder: Path, description: Description, device: str) -> OpenedNetwork:
    """An image classifier. Its labels are the values of one attribute, or attributes of their own if multi-label.

    InputError: the folder holds no image classifier, weights are missing, or there is no rule for its preprocessing.
    """
    model, missing = load_model(folder, "AutoModelForImageClassification", device)
    check_complete(folder, missing)
    config = model.config
    names = tuple(make_unique([str(config.id2label[i]) for i in range(config.num_labels)]))
    several = config.problem_type == "multi_label_classification"
    if len(names) == 1 and not several and description.attributes is None:
        message = f"{folder} has a single output, {names[0]!r}, and a softmax needs at least two"
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
    """SHA-256 over the model's weights."""
    return weights.fingerprint_tensors(model.state_dict())


def make_unique(names: list[str]) -> list[str]:
    """Names that `--attr NAME=VALUE:STRENGTH` can take; names that occur twice get their index."""
    names = [re.sub(r"[=:]", " ", name) for name in names]
    return [f"{name} {i}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def read_preprocessing(folder: Path, config: Any = None) -> Preprocessing | None:
    """The preprocessing of the folder's image processor; None: it has none.

    `config` is the model's, which gives the processor's class where its own file does not. InputError: the file cannot
    be read, or there is no rule for the class.
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
            raise InputError(f"{path} is not an image processor: {error}", hint=DESCRIBE) from error
        if kind not in RULES:
            message = f"{path}: {kind or 'a processor without image_processor_type'} is not supported"
            raise InputError(message, hint=DESCRIBE)
        try:
            return preprocessing_of(kind, settings, import_transformers())
        except Exception as error:  # the library raises whatever its parts raise
            raise InputError(f"{path}: unsupported settings of {kind}: {first_line(error)}", hint=DESCRIBE) from error
    return None


def processor_class(settings: dict[str, Any], config: Any) -> str:
    """The class that the library would use, without the suffix of a backend; "" if it is unknown."""
    name = settings.get("image_processor_type")
    if name is None and "feature_extractor_type" in settings:  # before 2023
        name = settings["feature_extractor_type"].replace("FeatureExtractor", "ImageProcessor")
    if name is None:
        import_transformers()
        from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

        names = IMAGE_PROCESSOR_MAPPING_NAMES.get(getattr(config, "model_type", ""), ())
        name = next(filter(None, names.values() if isinstance(names, dict) else names), "")
    return str(name).removesuffix("Fast").removesuffix("Pil")
