"""What torchrun's environment says of the processes of this command. Without torchrun there is one."""

import os
import time

HEAD_START = 10.0  # seconds
HEARD = "heard by the other processes"  # of an error


def count() -> int:
    """How many processes the command has."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """The number of this process, from 0, the main one."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def attempt() -> int:
    """How often torchrun has restarted the command (--max-restarts)."""
    return int(os.environ["TORCHELASTIC_RESTART_COUNT"])


def own_device(device: str) -> str:
    """The device of this process: `cuda` is a GPU for each process of a machine, any other device is shared."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if count() > 1 and device == "cuda" else device


def mark_as_heard(error: BaseException) -> None:
    """The processes have met, and the others have heard of this error."""
    vars(error)[HEARD] = True


def after_main(error: BaseException) -> None:
    """Let the main process report an error that all have, as happens before they are connected.

    The others wait for torchrun to end them, which it does as soon as the main one has ended. If it does not, the error
    is this process's own, and it reports it.
    """
    if rank() > 0 and HEARD not in vars(error):
        time.sleep(HEAD_START)
