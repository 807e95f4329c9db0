"""What transformers' image processors do to images: the same settings, its own pixels and ours, for every class."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_networks as small
import torch
from PIL import Image
from torch import Tensor

from gmmedit.classifiers.huggingface import read_preprocessing
from gmmedit.classifiers.processors import RULES
from gmmedit.errors import InputError

SIZES = [(47, 47), (47, 65), (71, 41)]  # height, width; odd, so that no pixel of `nearest` lies between two

# Classes whose settings have another form than most, and settings that change what becomes of an image.
SMALL: dict[str, Any] = {"size": {"height": 28, "width": 24}, "crop_size": {"height": 20, "width": 18}}
EDGE: dict[str, Any] = {"size": {"shortest_edge": 30}, "crop_size": {"height": 26, "width": 22}}
BY_EDGE = ("Bit", "CLIP", "ChineseCLIP", "MobileNetV1", "MobileNetV2", "MobileViT", "Levit", "PoolFormer", "TextNet")
MORE: dict[str, list[dict[str, Any]]] = {
    "ConvNext": [{"size": {"shortest_edge": 32}}, {"size": 32, "crop_pct": 0.7}, {"size": {"shortest_edge": 390}}],
    "EfficientNet": [
        SMALL | {"include_top": top, "rescale_offset": offset, "rescale_factor": factor, "do_normalize": normalizes}
        for top, offset, factor, normalizes in [
            (True, False, 1 / 255, True), (True, True, 1 / 127.5, True), (False, True, 1 / 127.5, False),
            (True, False, 1 / 255, False),
        ]
    ],
    "Idefics": [{"image_size": 28}],
    "MobileViT": [EDGE | {"do_flip_channel_order": False}],
    "Perceiver": [SMALL | {"do_center_crop": False}],
    "PoolFormer": [
        EDGE | {"crop_pct": 0.7}, SMALL | {"size": 24, "crop_pct": 0.8}, SMALL, EDGE | {"do_center_crop": False},
    ],
    "TextNet": [EDGE | {"do_center_crop": True}, {"size": {"shortest_edge": 30}, "size_divisor": 16}],
}  # fmt: skip
COMMON = [
    {}, {"do_center_crop": True}, {"do_center_crop": None}, {"resample": 0}, {"resample": 2}, {"do_rescale": False},
    {"rescale_factor": 1 / 127.5, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}, {"do_normalize": False},
]  # fmt: skip

# What no rule covers, and why. A new class belongs into `CLASSES` of processors.py, or here.
REFUSED = {
    "cuts an image into patches or tiles, or into as many tokens as it has": (
        "Aria CohereCompass Cosmos3Edge DeepseekOcr2 Ernie4_5_VLMoe Fuyu Gemma3 Gemma4 Glm46V Glm4v Glm5Next GlmImage "
        "Glmga GotOcr2 GraniteDocling HunYuanVL Idefics2 Idefics3 Kosmos2_5 LlavaNext LlavaOnevision MiniCPMV4_6 "
        "Mllama Ovis2 PaddleOCRVL Pix2Struct Pixtral Qwen2VL Siglip2 SmolVLM VideoLlama3 Emu3"
    ),
    "pads, or keeps the form, for detection, segmentation, depth or restoration": (
        "BridgeTower ConditionalDetr DPT DeformableDetr Detr Donut Eomt GLPN GroundingDino Mask2Former MaskFormer "
        "Nougat OneFormer Owlv2 PromptDepthAnything RTDetr Sam Swin2SR Vilt VitMatte Yolos ZoeDepth "
        "DeepseekVL DeepseekVLHybrid Janus Llava Tvp"
    ),
    "matches points, in pairs of images": "EfficientLoFTR LightGlue SuperGlue SuperPoint VitPose",
    "gives more or other things than pixels: text, colours by number, several frames": (
        "ImageGPT LayoutLMv2 LayoutLMv3 VideoLlava VideoMAE Vivit"
    ),
    "uses Lanczos' filter, which PyTorch does not have": "Chameleon",
}


def classes() -> dict[str, type | None]:
    """Every class of the installed library by its plain name; None: it needs torchvision to be imported."""
    small.transformers()
    from transformers.models.auto import image_processing_auto as auto

    found: dict[str, type | None] = {}
    for names in auto.IMAGE_PROCESSOR_MAPPING_NAMES.values():
        for backend, name in names.items():
            kind = auto.get_image_processor_class_from_name(name)
            usable = backend == "pil" or not getattr(kind, "is_dummy", False)
            plain = name.removesuffix("Pil")
            found[plain] = found.get(plain) or (kind if usable and not getattr(kind, "is_dummy", False) else None)
    return found


def images_of(height: int, width: int) -> tuple[Image.Image, Tensor]:
    """An image with edges and smooth parts, as Pillow and as gmmedit have it."""
    generator = torch.Generator().manual_seed(height)
    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 5, 7, generator=generator), (height, width), mode="bicubic"
    )
    smooth[..., height // 3 :, width // 2 :] = torch.rand(1, 3, 1, 1, generator=generator)
    pixels = (smooth.clamp(0, 1) * 255).byte()
    return Image.fromarray(pixels[0].permute(1, 2, 0).numpy()), pixels / 127.5 - 1


def cases(name: str) -> list[dict[str, Any]]:
    base = EDGE if name in BY_EDGE else SMALL
    extra = MORE.get(name, [])
    if name in ("ConvNext", "Idefics"):
        return [extra[0] | common for common in COMMON if "do_center_crop" not in common] + extra
    return [base | common for common in COMMON] + extra


@pytest.mark.parametrize("name", sorted(RULES))
def test_pixels_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    kind: Any = classes()[name]
    assert kind is not None, f"{name} cannot be compared here"
    plain = name.removesuffix("ImageProcessor")
    for given in cases(plain):
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(given | {"image_processor_type": name}))
        own = kind.from_pretrained(tmp_path)
        found = read_preprocessing(tmp_path)
        assert found is not None
        for size in SIZES:
            image, tensor = images_of(*size)
            made = own(image, return_tensors="pt")
            wanted = torch.as_tensor(np.asarray(made if isinstance(made, Tensor) else made["pixel_values"])).float()
            if wanted.ndim == 3:
                wanted = wanted[None]
            pixels = found(tensor)
            assert pixels.shape == wanted.shape, (given, size)
            step = (found.range[1] - found.range[0]) / 255 / torch.tensor(found.std).min()  # of one byte
            difference = (pixels - wanted).abs() / step
            assert difference.max() < 2.5 and difference.mean() < 0.5, (
                given,
                size,
                difference.max(),
                difference.mean(),
            )
            if size == (47, 47) and found.crops:
                assert tuple(pixels.shape[-2:]) == found.size


@pytest.mark.parametrize("name", sorted(RULES))
def test_defaults_are_those_of_the_library(name: str, tmp_path: Path) -> None:
    kind: Any = classes()[name]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": f"{name}Fast"}))
    found = read_preprocessing(tmp_path)
    image, tensor = images_of(47, 47)
    made = kind()(image, return_tensors="pt")
    wanted = torch.as_tensor(np.asarray(made if isinstance(made, Tensor) else made["pixel_values"])).float()
    assert found is not None and found(tensor).shape[1:] == wanted.shape[-3:]
    assert (found(tensor) - wanted).abs().mean() < 0.02 and found.size == tuple(wanted.shape[-2:])


def test_every_class_of_the_library_is_known_or_refused(tmp_path: Path) -> None:
    refused = {f"{name}ImageProcessor" for names in REFUSED.values() for name in names.split()}
    assert not refused & RULES.keys()
    found = classes()
    importable = {name for name, kind in found.items() if kind is not None}
    assert importable - RULES.keys() - refused == set(), "new classes: give each a rule, or say why it has none"
    assert (refused | RULES.keys()) - importable == set(), "these classes are gone"
    for name in found.keys() - RULES.keys() | {"MyOwnImageProcessor"}:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": name, "size": 8}))
        with pytest.raises(InputError, match=f"{name} is not supported") as caught:
            read_preprocessing(tmp_path)
        assert "input: {size: 224" in str(caught.value.hint)
