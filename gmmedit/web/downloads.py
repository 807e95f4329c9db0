"""The files that the page's buttons download, in the folder of a session."""

from pathlib import Path

from PIL import Image

from gmmedit.editing.latent_files import to_npz
from gmmedit.pictures.sheets import to_png
from gmmedit.runtime.storage import write_file
from gmmedit.web.sessions import Edited, Tab


def write_image(tab: Tab, edited: Edited) -> Path:
    """The PNG, with the name and bytes that `gmmedit edit` gives it."""
    pixels, path = edited.pixels, tab.folder / f"image_{edited.start.number}.png"
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    write_file(path, to_png(image), synced=False)
    return path


def write_projected(tab: Tab, edited: Edited) -> Path | None:
    """The edited latent as NVIDIA's `projected_w.npz`. None: the generator has no W."""
    renderer = tab.session.renderer
    if "w" not in renderer.generator.spaces:
        return None
    path = tab.folder / "projected_w.npz"
    w = renderer.to_projected(edited.latent, tab.session.space)
    write_file(path, to_npz({"w": w.numpy()}), synced=False)
    return path
