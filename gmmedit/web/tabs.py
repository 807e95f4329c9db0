"""The sessions of all open pages, which share the networks."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from gmmedit.causal.model import CausalModel
from gmmedit.discovery.reading import Directions
from gmmedit.editing.inversion import Inverter, Progress
from gmmedit.editing.request import Attributes
from gmmedit.editing.session import EditSession
from gmmedit.web.sessions import Start, Tab
from gmmedit.web.uploads import Upload

MAX_TABS = 16  # the one unused for longest is closed for another
BREATH = 0.002  # seconds between two steps of an inversion


class Tabs:
    """The sessions of all open pages by their names, at most `most` of them.

    `open_inverter` is called for the first photograph.
    """

    def __init__(
        self, session: EditSession, attributes: Attributes, folder: Path, open_inverter: Callable[[], Inverter],
        most: int = MAX_TABS, directions: Directions | None = None, causes: CausalModel | None = None,
    ) -> None:  # fmt: skip
        self.directions, self.causes = directions, causes
        self.session, self.attributes, self.folder, self.most = session, attributes, folder, most
        self.open_inverter = open_inverter
        self.networks = threading.RLock()
        self.lock = threading.Lock()
        self.tabs: OrderedDict[str, Tab] = OrderedDict()
        self.made = 0

    def find(self, name: str) -> Tab:
        """The session of that page, made if there is none; the one unused for longest is closed for it."""
        with self.lock:
            if name not in self.tabs:
                self.made += 1
                folder = self.folder / f"page_{self.made}"
                folder.mkdir(mode=0o700)
                own = (self.networks, folder, self.directions, self.causes)
                self.tabs[name] = Tab(self.session, self.attributes, *own)
            self.tabs.move_to_end(name)
            surplus = [self.tabs.popitem(last=False)[1] for _ in range(len(self.tabs) - self.most)]
            found = self.tabs[name]
        for tab in surplus:
            tab.close()
        return found

    def close(self, name: str) -> None:
        """Free what the page of that name holds; nothing if there is none."""
        with self.lock:
            tab = self.tabs.pop(name, None)
        if tab:
            tab.close()

    def close_all(self) -> None:
        """Free what all pages hold, and end what is being optimised for them."""
        for name in list(self.tabs):
            self.close(name)

    @torch.no_grad()
    def draw(self, seed: int) -> Start:
        """The image of a seed."""
        with self.networks:
            latent = self.session.to_layers(self.session.draw_latents([seed]))
            return self.start(latent, seed, ("--seeds", str(seed)))

    @torch.no_grad()
    def start(self, latent: Tensor, number: int, source: Sequence[str]) -> Start:
        """The image of a latent (1, L, D)."""
        with self.networks:
            pixels, labels = self.session.generate(latent)
        return Start(latent, number, tuple(source), pixels[0], labels[0])

    @cached_property
    def inverter(self) -> Inverter:
        """What inverts photographs."""
        return self.open_inverter()

    @torch.no_grad()
    def read(self, upload: Upload, run: Path) -> Start:
        """The image of the first latent of a file. InputError: see `EditSession.read_latents`."""
        with self.networks:
            latent = self.session.to_layers(upload.read(self.session, run)[:1])
        return self.start(latent, 0, ("--latents", upload.name))

    def invert(self, upload: Upload, progress: Progress) -> Start:
        """The image that the generator makes most like a photograph; `progress` is called after every step.

        InputError: the file is no photograph that can be used, or no inverter can be opened.
        """
        image = upload.read_photograph()

        def step(done: int, total: int, words: str) -> None:
            self.networks.release()
            try:
                progress(done, total, words)
                time.sleep(BREATH)  # else no other page would get to use the networks
            finally:
                self.networks.acquire()

        with self.networks:
            cut = self.inverter.cut(image, upload.name)
            latent = self.inverter.invert_pixels(cut, step).latent[None]
            found = self.start(self.session.to_layers(latent), 0, ("--inverted",))
            found = replace(found, photograph=cut, command=("gmmedit", "invert", upload.name))
            if not self.session.pastes:
                return found
            return replace(found, pixels=cut, labels=self.session.label(cut[None])[0], generated=found.pixels)
