"""The sessions of all open pages, which share the networks."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from gmmedit.editing.request import Attributes
from gmmedit.editing.session import EditSession
from gmmedit.web.sessions import Start, Tab
from gmmedit.web.uploads import Upload

MAX_TABS = 16  # the one unused for longest is closed for another


class Tabs:
    """The sessions of all open pages by their names, at most `most` of them."""

    def __init__(self, session: EditSession, attributes: Attributes, folder: Path, most: int = MAX_TABS) -> None:
        self.session, self.attributes, self.folder, self.most = session, attributes, folder, most
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
                self.tabs[name] = Tab(self.session, self.attributes, self.networks, folder)
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

    @torch.no_grad()
    def read(self, upload: Upload, run: Path) -> Start:
        """The image of the first latent of a file. InputError: see `EditSession.read_latents`."""
        with self.networks:
            latent = self.session.to_layers(upload.read(self.session, run)[:1])
        return self.start(latent, 0, ("--latents", upload.name))
