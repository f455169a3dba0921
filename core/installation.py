"""What is installed, and what it can do: the lines of `python main.py --doctor` that need no data."""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from core.doctor import Check, Line, in_bytes

PROJECT = Path(__file__).parents[1]
SOUND_CODINGS = ("mp3", "aac", "opus", "vorbis", "flac")
PICTURE_CODINGS = ("h264", "hevc", "vp9", "av1")
NEEDED_CODINGS = {"mp3", "aac", "h264"}


def checks(precision: str, device: str) -> list[Check]:
    """Of the project, its packages and this machine. precision, device: as the flags of these names."""
    return [
        ("project", _project),
        ("python", _python),
        ("packages", _packages),
        ("extras", _extras),
        ("imports", _imports),
        ("device", lambda: _device(precision, device)),
        ("FFmpeg", _ffmpeg),
        ("pictures", _pictures),
        ("sound", _sound),
    ]


def _project() -> Iterator[Line]:
    version = re.search(r'^version = "(.*)"', (PROJECT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    commit = "no git checkout"
    if (PROJECT / ".git").exists():
        words = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        found = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
        commit = f"commit {found.stdout.strip()}" if found.returncode == 0 else "commit unknown"
    yield Line(f"{version[1] if version else 'unknown'}, {commit}, in {PROJECT}")


def _python() -> Iterator[Line]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Line(f"{platform.python_version()}, {sys.executable}", broken=sys.version_info < (3, 10))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    yield Line(f"{platform.platform()}, {cores} of {os.cpu_count()} cores, {in_bytes(memory)} of memory")


def _requirements(section: str) -> list[str]:
    """The requirements of a list of pyproject.toml."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(rf"^{section} = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    return re.findall(r'"([^"]+)"', re.sub(r"#.*", "", found[1])) if found else []


def _packages() -> Iterator[Line]:
    from packaging.requirements import Requirement

    versions = []
    for requirement in map(Requirement, _requirements("dependencies")):
        if requirement.marker and not requirement.marker.evaluate():
            continue  # for another version of Python
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Line(f"{requirement.name} is not installed; run `sh run.sh setup`", broken=True)
            continue
        versions.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            yield Line(f"{requirement.name} {version} is not {requirement.specifier}", broken=True)
    yield Line(", ".join(versions))


def _extras() -> Iterator[Line]:
    names = [re.split(r"[<>=~! ]", each)[0] for extra in ("serve", "onnx") for each in _requirements(extra)]
    there = {name: metadata.version(name) for name in names if _is_installed(name)}
    yield Line(", ".join(f"{name} {there.get(name, 'is not installed')}" for name in names))


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _imports() -> Iterator[Line]:
    sound = []
    for name in ("numpy", "torch", "torchaudio", "cv2", "av", "soundfile", "tokenizers", "safetensors"):
        try:
            importlib.import_module(name)
            sound.append(name)
        except Exception as error:  # a library that does not fit raises what it likes
            reason = (str(error).strip().splitlines() or [""])[0]
            yield Line(f"import {name}: {type(error).__name__}: {reason}; run `sh run.sh setup`", broken=True)
    yield Line(", ".join(sound))


def _device(precision: str, name: str) -> Iterator[Line]:
    import torch

    from core.device import choose_device, choose_precision, describe_device

    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        yield Line(f"cuda:{index} {torch.cuda.get_device_name(index)}, {in_bytes(free)} free of {in_bytes(total)}")
    if not torch.cuda.is_available():
        yield Line(f"no CUDA device (PyTorch is built for CUDA {torch.version.cuda or 'not at all'})")
    chosen = choose_device(name)
    dtype, reason = choose_precision(precision, chosen)
    yield Line(f"{describe_device(chosen)}, matrix products in {dtype}: {reason}")


def _ffmpeg() -> Iterator[Line]:
    import av

    known = [name for name in (*SOUND_CODINGS, *PICTURE_CODINGS) if _decodes(name)]
    lacking = [name for name in (*SOUND_CODINGS, *PICTURE_CODINGS) if name not in known]
    version = getattr(av, "ffmpeg_version_info", None) or av.library_versions
    yield Line(f"{version} of PyAV decodes {', '.join(known)}" + (f"; not {', '.join(lacking)}" if lacking else ""))
    if needed := sorted(NEEDED_CODINGS.intersection(lacking)):
        yield Line(
            f"videos with {', '.join(needed)} cannot be read; run `pip install --force-reinstall av`", broken=True
        )


def _decodes(name: str) -> bool:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        Codec(name, "r")
    except UnknownCodecError:
        return False
    return True


def _pictures() -> Iterator[Line]:
    import cv2
    import numpy as np

    library = re.search(r"^\s*JPEG:\s*(.*)", cv2.getBuildInformation(), re.MULTILINE)
    content = cv2.imencode(".jpg", np.full((16, 16, 3), 128, np.uint8))[1]
    decoded = cv2.imdecode(content, cv2.IMREAD_COLOR)
    is_sound = decoded is not None and abs(int(decoded.mean()) - 128) < 4
    yield Line(f"JPEG of OpenCV {cv2.__version__}: {library[1] if library else 'unknown'}", broken=not is_sound)


def _sound() -> Iterator[Line]:
    import soundfile

    has_mp3 = "MP3" in soundfile.available_formats()
    yield Line(f"{soundfile.__libsndfile_version__} {'with' if has_mp3 else 'without'} mp3", broken=not has_mp3)
