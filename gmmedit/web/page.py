"""The page: sliders on one side, the image before and after on the other, built of gradio's parts.

Importing this module imports gradio, which `gmmedit.web.server.import_gradio` must have done before.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from gmmedit.errors import GmmeditError
from gmmedit.web.bars import show_bars
from gmmedit.web.controls import (
    Act,
    AnyAim,
    AnyControl,
    edit_command,
    list_acts,
    list_controls,
    list_directions,
    to_aims,
    to_values,
)
from gmmedit.web.downloads import write_image, write_projected
from gmmedit.web.parts import CHOSEN, lay_out_all, show_image, to_shown, triggers_of
from gmmedit.web.sessions import Edited, Tab
from gmmedit.web.tabs import Tabs
from gmmedit.web.uploads import Upload

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a strip
OFFERED = 12  # samples of the gallery
LARGEST_SEED = 2**32 - 1
WAITING = 32  # events in the queue; more are refused
EXPIRY = (300, 3600)  # seconds between deletions of displayed images, and their age then
FIRST, ONE_PASS, DONE = "the unedited image", "one pass; the optimised edit follows", "optimised, as gmmedit edit does"

FOLLOWS = "do: with what follows from it, without the controls of attributes and directions"

PROGRESS = gr.Progress()

Texts = Sequence[Any]


def build_page(tabs: Tabs, run: Path, config: Path | None, title: str) -> gr.Blocks:
    """The page of a run. tabs: the sessions of its visitors. title: a line that names the run and its generator.

    config: the file of settings that the command names.
    """
    with gr.Blocks(title="gmmedit", analytics_enabled=False, delete_cache=EXPIRY, fill_width=True) as page:
        Page(tabs, run, config, title).connect(page)
    page.queue(max_size=WAITING, api_open=False)
    return page


class Page:
    """The parts of the page and what they do. Every handler finds the visitor's session by gradio's session hash."""

    def __init__(self, tabs: Tabs, run: Path, config: Path | None, title: str) -> None:
        self.tabs, self.run, self.config, self.attributes = tabs, run, config, tabs.attributes
        acts = list_acts(tabs.attributes, tabs.causes is not None)
        self.controls: list[AnyControl] = [
            *list_controls(tabs.attributes), *list_directions(tabs.directions), *acts
        ]  # fmt: skip
        gr.Markdown(f"## gmmedit\n{title}", elem_id="title")
        with gr.Row(elem_id="work"):
            with gr.Column(elem_id="images"):
                with gr.Row(elem_classes="pair"):
                    self.before, self.after = show_image("before"), show_image("after")
                self.status = gr.HTML(elem_id="status")
            with gr.Column(elem_id="controls"):
                self.lay_out_starts()
                self.inputs = lay_out_all(self.controls)
            with gr.Column(elem_id="results"):
                self.lay_out_results()

    def lay_out_starts(self) -> None:
        """The parts that choose an image."""
        with gr.Row():
            self.seed = gr.Number(
                0, label="seed", precision=0, minimum=0, maximum=LARGEST_SEED, elem_id="seed", min_width=100
            )
            self.next = gr.Button("next seed", min_width=100)
        with gr.Accordion("choose among samples", open=False) as self.samples:
            self.gallery = gr.Gallery(
                columns=4, allow_preview=False, show_label=False, height="auto", elem_id="samples", interactive=False
            )
            self.more = gr.Button("more samples", size="sm")
        with gr.Accordion("your own photograph", open=False):
            self.file = gr.File(label="a photograph, or a file of latents", elem_id="file", height=110)
            self.cut = gr.Image(label="as it was cut", visible=False, format="png", interactive=False, buttons=[],
                                elem_id="cut", alt_text="the photograph as it was cut", height=180)  # fmt: skip

    def lay_out_results(self) -> None:
        """The parts below the images."""
        with gr.Row():
            self.undo = gr.Button("undo", min_width=80, elem_id="undo")
            self.reset = gr.Button("reset", min_width=80, elem_id="reset")
            self.strip = gr.Button("strip", min_width=80, elem_id="strip")
        self.strips = gr.Gallery(
            columns=len(ALPHAS), show_label=False, visible=False, height="auto", elem_id="strips", interactive=False
        )
        self.bars = gr.HTML(elem_id="bars")
        self.command = gr.Textbox(
            label="command that makes this edit", lines=2, max_lines=4, interactive=False, buttons=["copy"],
            elem_id="command", placeholder="move a slider first",
        )  # fmt: skip
        with gr.Row():
            self.png = gr.DownloadButton("download PNG", interactive=False, elem_id="png", min_width=120)
            self.npz = gr.DownloadButton("download projected_w.npz", interactive=False, elem_id="npz", min_width=120)

    # Events

    def connect(self, page: gr.Blocks) -> None:
        """Bind the handlers to the parts."""
        shown = [self.after, self.status, self.bars, self.command, self.strips, self.png, self.npz]
        everything = [self.before, self.seed, self.cut, *self.inputs, *shown]
        asked = [self.seed, *self.inputs]
        bind = partial(gr.on, show_progress="hidden", api_visibility="private")
        moved = [trigger for part in self.inputs for trigger in triggers_of(part)]
        bind(moved, self.preview, asked, shown, trigger_mode="always_last", concurrency_id="quick")
        bind(moved, self.optimise, asked, shown, trigger_mode="always_last", concurrency_id="slow")
        for choice, strength in pairwise(self.inputs):
            if isinstance(choice, gr.Dropdown):
                chosen = bind([choice.input], None, [choice, strength], [strength], js=CHOSEN)
                for function, lane in ((self.preview, "quick"), (self.optimise, "slow")):
                    chosen.then(function, asked, shown, show_progress="hidden", api_visibility="private",
                                concurrency_id=lane)  # fmt: skip
        choose = partial(bind, outputs=everything, concurrency_id="quick")
        dropped = {"show_progress": "full", "show_progress_on": self.file, "concurrency_id": "slow"}
        for event in (
            choose([page.load], self.choose, asked),
            choose([self.seed.input, self.seed.submit], self.choose, asked, trigger_mode="always_last"),
            choose([self.next.click], self.choose_next, asked),
            choose([self.gallery.select], self.choose_offered, asked),
            choose([self.file.upload], self.choose_file, [self.file, *self.inputs], **dropped),
            choose([self.reset.click], self.clear, asked),
        ):
            event.then(
                self.optimise, asked, shown, show_progress="hidden", api_visibility="private", concurrency_id="slow"
            )
        choose([self.undo.click], self.go_back, [])
        bind([self.strip.click], self.make_strip, asked, [self.strips], show_progress="minimal", concurrency_id="slow")
        offer = partial(bind, fn=self.offer, outputs=[self.gallery], concurrency_id="quick", show_progress="minimal")
        offer([self.samples.expand, self.more.click])
        page.unload(self.close)

    def preview(self, request: gr.Request, *values: Any) -> Texts:
        """While a control moves: the edit of one pass."""
        tab, aims = self.find(request, values)
        return self.show(tab, reported(tab.preview, aims))

    def optimise(self, request: gr.Request, *values: Any) -> Any:
        """Once the controls are at rest: the edit of `gmmedit edit`."""
        tab, aims = self.find(request, values)
        found = reported(tab.optimise, aims)
        return gr.skip() if found is None else self.show(tab, found)

    def choose(self, request: gr.Request, *values: Any) -> Any:
        """Edit the image of the seed; nothing while its number is being typed anew."""
        return gr.skip() if values[0] is None else self.start(request, check_seed(values[0]), values[1:])

    def choose_next(self, request: gr.Request, *values: Any) -> Texts:
        """Edit the image of the next seed."""
        return self.start(request, -1 if values[0] is None else check_seed(values[0]), values[1:], 1)

    def choose_offered(self, request: gr.Request, event: gr.SelectData, *values: Any) -> Texts:
        """Edit the sample that was selected in the gallery."""
        tab = self.tabs.find(name_of(request))
        return self.start(request, tab.offered - OFFERED + int(event.index), values[1:])

    def clear(self, request: gr.Request, *values: Any) -> Texts:
        """Bring all controls back to no edit."""
        tab, _ = self.find(request, values)
        return self.show_all(tab, reported(tab.preview, ()))

    def start(self, request: gr.Request, seed: int, values: Texts, step: int = 0) -> Texts:
        """Edit the image of the seed, `step` further."""
        tab = self.tabs.find(name_of(request))
        start = reported(self.tabs.draw, (seed + step) % (LARGEST_SEED + 1))
        return self.show_all(tab, reported(tab.choose, start, to_aims(self.controls, values)))

    def choose_file(
        self, request: gr.Request, path: str | None, progress: gr.Progress = PROGRESS, *values: Any
    ) -> Any:  # fmt: skip
        """Edit a photograph, or the first latent of a file."""
        if path is None:
            return gr.skip()
        tab, upload = self.tabs.find(name_of(request)), reported(Upload, Path(path))
        if upload.holds_latents:
            start = reported(self.tabs.read, upload, self.run)
        else:
            start = reported(self.tabs.invert, upload, lambda done, total, words: progress((done, total), words))
        return self.show_all(tab, reported(tab.choose, start, to_aims(self.controls, values)))

    def go_back(self, request: gr.Request) -> Texts:
        """Undo."""
        tab = self.tabs.find(name_of(request))
        return self.show_all(tab, reported(tab.undo))

    def make_strip(self, request: gr.Request, *values: Any) -> Any:
        """The optimised edit at several strengths."""
        tab, aims = self.find(request, values)
        if not aims:
            raise gr.Error("move a slider first", print_exception=False)
        start, shown = reported(tab.want, aims), []
        for alpha in ALPHAS:
            edited = reported(tab.optimise_at, start, aims, alpha)
            if edited is None:
                return gr.skip()
            shown.append((to_shown(edited.pixels), f"alpha {alpha:g}"))
        return gr.Gallery(shown, visible=True)

    def offer(self, request: gr.Request) -> list[tuple[np.ndarray, str]]:
        """The next samples of the gallery."""
        tab = self.tabs.find(name_of(request))
        seeds = range(tab.offered, tab.offered + OFFERED)
        shown = [(to_shown(reported(self.tabs.draw, seed).pixels), f"seed {seed}") for seed in seeds]
        tab.offered += OFFERED
        return shown

    def close(self, request: gr.Request) -> None:
        """Free what a page that was closed held."""
        self.tabs.close(name_of(request))

    # What is shown

    def find(self, request: gr.Request, values: Texts) -> tuple[Tab, tuple[AnyAim, ...]]:
        """The visitor's session and the aims of the controls; a session that was closed starts anew from its seed."""
        tab = self.tabs.find(name_of(request))
        if tab.start is None and values[0] is not None:
            reported(tab.choose, reported(self.tabs.draw, check_seed(values[0])))
        return tab, to_aims(self.controls, values[1:])

    def show_all(self, tab: Tab, edited: Edited) -> Texts:
        """The values of all parts."""
        start = edited.start
        seed = start.number if start.source[0] == "--seeds" else None
        shown = to_values(self.controls, edited.aims)
        cut = (
            gr.Image(visible=False) if start.photograph is None else gr.Image(to_shown(start.photograph), visible=True)
        )
        return [to_shown(start.pixels), seed, cut, *shown, *self.show(tab, edited)]

    def show(self, tab: Tab, edited: Edited) -> Texts:
        """The values of the parts that an edit changes."""
        start, aims = edited.start, edited.aims
        text = (FIRST if not aims else DONE) if edited.final else ONE_PASS
        names = [aim.name if isinstance(aim, Act) else aim.attribute for aim in aims]
        if names and isinstance(aims[0], Act):
            text = f"{text}; {FOLLOWS}"
        bars = show_bars(self.attributes, start.labels.tolist(), edited.labels.tolist(), names)
        command = edit_command(self.run, start.source, aims, self.config, start.command)
        if edited.final:
            with tab.networks:  # two events may show the same image at once
                files = write_image(tab, edited), write_projected(tab, edited)
            downloads = [gr.DownloadButton(value=file, interactive=file is not None) for file in files]
        else:
            downloads = [gr.DownloadButton(interactive=False)] * 2
        return [
            to_shown(edited.pixels),
            f'<p role="status">{text}</p>',
            bars,
            command,
            gr.Gallery(visible=False),
            *downloads,
        ]


def name_of(request: gr.Request) -> str:
    """The name of the visitor's session."""
    return str(request.session_hash)


def check_seed(seed: Any) -> int:
    """The seed. Raises gr.Error: there is none, or it is out of range."""
    if seed is None or not 0 <= seed <= LARGEST_SEED:
        raise gr.Error(f"a seed is a number from 0 to {LARGEST_SEED}", print_exception=False)
    return int(seed)


def reported(function: Callable[..., Any], *given: Any) -> Any:
    """function(*given), with its errors shown on the page."""
    try:
        return function(*given)
    except GmmeditError as error:
        text = f"{error.message}: {error.hint}" if error.hint else error.message
        raise gr.Error(text, print_exception=False) from error
