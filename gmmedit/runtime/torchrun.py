"""What torchrun has told this process of its siblings. Without torchrun it has none."""

import os
import time

HEAD_START = 10.0  # seconds
HEARD = "heard by the other processes"  # of an error


def count() -> int:
    """How many processes the command has."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def rank() -> int:
    """Which of them this is; 0 is the main one."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def attempt() -> int:
    """How often torchrun has started the command again (--max-restarts)."""
    return int(os.environ["TORCHELASTIC_RESTART_COUNT"])


def own_device(device: str) -> str:
    """`cuda` is a GPU for each process of a machine; a device with a number is everybody's."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if count() > 1 and device == "cuda" else device


def mark_as_heard(error: BaseException) -> None:
    """The processes have met, and the others have heard of this error."""
    vars(error)[HEARD] = True


def after_main(error: BaseException) -> None:
    """Before the processes have met, they fail alike, and only the main one is to say so.

    torchrun ends the others as soon as it has. If it does not, the error is one of this process, which goes on to
    say so itself.
    """
    if rank() > 0 and HEARD not in vars(error):
        time.sleep(HEAD_START)
