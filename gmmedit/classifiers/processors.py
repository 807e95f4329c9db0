"""The image processors of the transformers library as `Preprocessing`.

The library itself completes the settings of a preprocessor_config.json; a rule for each class of processor converts
them. A class without a rule is refused: its preprocessing would be a guess.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gmmedit.classifiers.preprocessing import LARGEST_EDGE, Interpolation, Preprocessing

Settings = dict[str, Any]

# Pillow's numbers of filters; PyTorch has no Lanczos (1), box (4) and Hamming (5).
RESAMPLING: dict[int, Interpolation] = {0: "nearest", 2: "bilinear", 3: "bicubic"}
WARPED = 384  # from this size on ConvNeXT's processor does not crop


def plain(settings: Settings) -> Preprocessing:
    """Resize, crop the centre, rescale, normalise, as most classes do."""
    return resize_and_crop(settings, edge_of(settings["size"]))


def uncropped(settings: Settings) -> Preprocessing:
    """As `plain`, without the crop."""
    return plain(settings | {"do_center_crop": False})


def mobilevit(settings: Settings) -> Preprocessing:
    """Never normalised, and usually BGR."""
    found = plain(settings | {"do_normalize": False})
    return replace(found, colors="bgr" if settings.get("do_flip_channel_order") else "rgb")


def convnext(settings: Settings) -> Preprocessing:
    """Small sizes are cropped from a larger image, large ones resized without keeping the aspect ratio."""
    size = settings["size"]["shortest_edge"]
    if settings.get("do_center_crop"):
        raise ValueError("do_center_crop is true, in addition to the crop of this class")
    if size >= WARPED:
        return resize_and_crop(settings, (size, size))
    crop = {"do_center_crop": True, "crop_size": {"height": size, "width": size}}
    return resize_and_crop(settings | crop, int(size / settings["crop_pct"]))


def poolformer(settings: Settings) -> Preprocessing:
    """Resized to the size divided by crop_pct, before the crop."""
    edge, share = edge_of(settings["size"]), settings["crop_pct"]
    if isinstance(edge, int) or edge[0] == edge[1]:
        return resize_and_crop(settings, int((edge if isinstance(edge, int) else edge[0]) / share))
    return resize_and_crop(settings, (int(edge[0] / share), int(edge[1] / share)))


def levit(settings: Settings) -> Preprocessing:
    """A number is enlarged by 256 / 224 before the crop."""
    edge = edge_of(settings["size"])
    return resize_and_crop(settings, int(256 / 224 * edge) if isinstance(edge, int) else edge)


def textnet(settings: Settings) -> Preprocessing:
    """Sides are rounded up to multiples."""
    edge, divisor = settings["size"]["shortest_edge"], settings["size_divisor"]
    found = resize_and_crop(settings, edge)
    side = -(-edge // divisor) * divisor
    return replace(found, size=found.size if found.crops else (side, side), edge=edge, divisor=divisor)


def perceiver(settings: Settings) -> Preprocessing:
    """The centre, a share of the shorter edge, is cropped before it is resized."""
    found = uncropped(settings)
    if not settings.get("do_center_crop"):
        return found
    crop = height_and_width(settings["crop_size"])
    return replace(found, share=(found.size[0] / crop[0], found.size[1] / crop[1]))


def efficientnet(settings: Settings) -> Preprocessing:
    """Pixels may start at -1, and are divided by the standard deviation twice with include_top."""
    found = plain(settings)
    if settings.get("rescale_offset") and settings.get("do_rescale"):
        found = replace(found, range=(-1.0, found.range[1] - 1))
    if settings.get("include_top"):
        std = [
            first * again for first, again in zip(found.std * 3, parse_numbers(settings["image_std"]) * 3, strict=False)
        ]
        found = replace(found, std=tuple(std[:3]))
    return found


CLASSES: dict[Callable[[Settings], Preprocessing], str] = {
    plain: (
        "Beit Bit Blip CLIP ChineseCLIP DeiT Flava Idefics MobileNetV1 MobileNetV2 OwlViT PPChart2Table Pvt Siglip ViT"
    ),
    uncropped: "SegGpt Segformer",
    convnext: "ConvNext",
    efficientnet: "EfficientNet",
    levit: "Levit",
    mobilevit: "MobileViT",
    perceiver: "Perceiver",
    poolformer: "PoolFormer",
    textnet: "TextNet",
}
RULES = {f"{name}ImageProcessor": rule for rule, names in CLASSES.items() for name in names.split()}


def preprocessing_of(name: str, given: Settings, library: Any) -> Preprocessing:
    """The preprocessing of the processor class `name` with the settings of a preprocessor_config.json of any version.

    KeyError: there is no rule for the class. Other exceptions: its settings are invalid or not supported.
    """
    rule = RULES[name]
    kind = getattr(library, f"{name}Pil", None) or getattr(library, name)
    settings = kind.from_dict(given).to_dict()
    if not settings.get("do_resize"):
        raise ValueError("do_resize is false, so the size of the images is unknown")
    if settings.get("do_pad") and settings.get("pad_size"):
        raise ValueError("padding to pad_size is not supported")
    return rule(settings)


def resize_and_crop(settings: Settings, edge: int | tuple[int, int]) -> Preprocessing:
    """Resize the shorter edge to `edge`, or the image to (height, width), crop the centre, rescale, normalise.

    ValueError: a size, or a resampling filter that is not supported.
    """
    crops = bool(settings.get("do_center_crop"))
    whole = edge if isinstance(edge, tuple) else (edge, edge)
    size = height_and_width(settings["crop_size"]) if crops else whole
    for side in (*size, *whole):
        if not 1 <= side <= LARGEST_EDGE:
            raise ValueError(f"a size of {side} pixels, 1 to {LARGEST_EDGE} are supported")
    if settings.get("resample") not in RESAMPLING:
        raise ValueError(f"PyTorch has no filter for resample {settings.get('resample')}, bicubic is the nearest")
    normalizes = settings.get("do_normalize")
    return Preprocessing(
        size=size,
        edge=None if edge == size else edge,
        crops=crops or isinstance(edge, tuple),
        interpolation=RESAMPLING[settings["resample"]],
        range=(0.0, 255 * settings["rescale_factor"] if settings.get("do_rescale") else 255.0),
        mean=parse_numbers(settings["image_mean"]) if normalizes else (0.0,),
        std=parse_numbers(settings["image_std"]) if normalizes else (1.0,),
    )


def edge_of(size: Any) -> int | tuple[int, int]:
    """The shorter edge, or (height, width). ValueError: other keys."""
    keys = {key for key in ("shortest_edge", "longest_edge", "height", "width", "max_height", "max_width")
            if size.get(key) is not None}  # fmt: skip
    if keys == {"shortest_edge"}:
        return int(size["shortest_edge"])
    if keys == {"height", "width"}:
        return height_and_width(size)
    raise ValueError(f"a size given by {', '.join(sorted(keys))} is not supported")


def height_and_width(size: Any) -> tuple[int, int]:
    """(height, width) of a dictionary."""
    return int(size["height"]), int(size["width"])


def parse_numbers(values: Any) -> tuple[float, ...]:
    """One number, or one for each of three colours. ValueError: another count."""
    found = tuple(float(value) for value in values) if isinstance(values, list | tuple) else (float(values),)
    if len(found) not in (1, 3):
        raise ValueError(f"{len(found)} means or standard deviations for three colours")
    return found
