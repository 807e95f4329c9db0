"""Whether a training computes in bfloat16."""

import torch


def gains_from_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32: newer GPUs, CPUs with AMX or AVX-512 for it."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    return device == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
