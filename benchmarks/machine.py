"""What the figures were measured on."""

import os
import platform
from pathlib import Path

import torch


def described(device: str = "cpu") -> str:
    """One line: the processor, its cores, PyTorch."""
    if device != "cpu":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    kind = " with AMX" if torch.cpu._is_amx_tile_supported() else ""
    return f"{names[0] if names else platform.processor()}{kind}, {os.cpu_count()} cores, torch {torch.__version__}"
