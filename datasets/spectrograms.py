"""The spectrograms of sound files, each computed once, kept on disk as float16 and memory-mapped by all who need it.

An entry is named by the content of its sound file and by the recipe of datasets/audio.py, so that a sound which has
changed or moved never meets the entry of another. It holds a header of 32 bytes and the rows, 26 kB a second of sound.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

import numpy as np

from datasets import audio
from datasets.cache import STALE

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 20 * 2**30  # bytes, 9 days of sound
SETTLED = 2_000_000_000  # nanoseconds after which another change of a file shows in its times on every file system

_FIELDS = struct.Struct("<8sLQQ")  # magic, recipe, samples at 16 kHz, rows
_CHECKSUM = struct.Struct("<L")  # of the fields and the rows
_HEADER_SIZE = _FIELDS.size + _CHECKSUM.size
_MAGIC = b"MARTMEL\n"
_ROW = np.dtype("<f2")
_OURS = re.compile(r"[0-9a-f]{32}-[0-9a-f]{8}\.mel|\.[0-9a-f]{32}-[0-9a-f]{8}\.mel-[0-9a-f]{32}")  # whole | unfinished
_unwritable: set[Path] = set()  # folders about which this process has warned


@dataclass(frozen=True, eq=False)
class Sound:
    """What a sample needs of a sound file."""

    spectrogram: np.ndarray  # float16 (n, 128) log-mel, a row per 10 ms; read-only and memory-mapped, or in memory
    seconds: float  # duration


class SpectrogramCache:
    """A folder of spectrograms that any number of processes may use at once.

    folder: made when it is needed; None keeps nothing, and gives the same values.
    limit: bytes that its entries may take; the least recently used are removed for a new one. Where that does not fit
        or cannot be written, nothing is kept either. Other files in the folder are neither counted nor removed.
    """

    def __init__(self, folder: Path | None, limit: int = DEFAULT_LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._digests: dict[Path, tuple[tuple[int, ...], str]] = {}  # of files whose times will show the next change
        self._verified: set[tuple[str, int]] = set()  # entries, by name and inode
        self._sizes: dict[str, int] = {}  # bytes of entries, which do not change while they are there

    def open(self, path: Path) -> Sound:
        """The sound of a file. Raises DataError if that is missing, or as `audio.read_sound` does, cached or not."""
        if self.folder is None:
            return _compute(audio.read_content(path), path)
        stamp, now = _stamp(path), time.time_ns()
        known, digest = self._digests.get(path, (None, ""))
        if known is not None and known == stamp and (sound := self._read(digest)) is not None:
            return sound
        content = audio.read_content(path)
        digest = blake2b(content, digest_size=16).hexdigest()
        if stamp is not None and max(stamp[-2:]) < now - SETTLED:
            self._digests[path] = stamp, digest
        if (sound := self._read(digest)) is None:
            sound = _compute(content, path)
            self._write(digest, sound)
        return sound

    def _read(self, digest: str) -> Sound | None:
        """Maps an entry; None if there is none or it is damaged."""
        entry = self.folder / _name(digest)
        try:
            with entry.open("rb") as file:
                fields, checksum = file.read(_FIELDS.size), file.read(_CHECKSUM.size)
                magic, recipe, samples, rows = _FIELDS.unpack(fields)
                status = os.fstat(file.fileno())
                if (magic, recipe) != (_MAGIC, _recipe()):
                    return None
                if status.st_size != _HEADER_SIZE + rows * audio.MEL_BINS * _ROW.itemsize:
                    return None
                if rows < 1 or rows != audio.n_rows(samples):
                    return None
                if (entry.name, status.st_ino) not in self._verified:
                    found = zlib.crc32(fields)
                    while block := file.read(2**20):  # not through the map, whose pages would stay in memory
                        found = zlib.crc32(block, found)
                    if _CHECKSUM.pack(found) != checksum:
                        return None
                    self._verified.add((entry.name, status.st_ino))
                    with suppress(OSError):  # of a folder that may only be read
                        os.utime(entry)
                spectrogram = np.memmap(file, _ROW, "r", _HEADER_SIZE, (rows, audio.MEL_BINS))
        except (OSError, ValueError, struct.error):
            return None
        return Sound(spectrogram, samples / audio.SAMPLE_RATE)

    def _write(self, digest: str, sound: Sound) -> None:
        """Writes a file of its own and renames it when it is whole. Warns, once, of a folder where that fails."""
        name = _name(digest)
        rows = sound.spectrogram
        fields = _FIELDS.pack(_MAGIC, _recipe(), round(sound.seconds * audio.SAMPLE_RATE), len(rows))
        header = fields + _CHECKSUM.pack(zlib.crc32(rows, zlib.crc32(fields)))
        temporary = self.folder / f".{name}-{uuid4().hex}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as file:
                file.truncate(len(header) + rows.nbytes)  # for others to count before it is written
                if not self._make_room():
                    return
                file.write(header)
                file.write(rows)
            temporary.replace(self.folder / name)
        except OSError as error:
            if self.folder not in _unwritable:
                _unwritable.add(self.folder)
                reason = error.strerror or error
                log.warning("%s: %s; spectrograms that it lacks are computed for every sample", self.folder, reason)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _make_room(self) -> bool:
        """Removes least recently used entries until all, with those being written, are within the limit.

        False, and nothing is removed, if that cannot be.
        """
        with os.scandir(self.folder) as items:
            names = [item.name for item in items]
        sizes = {name: self._sizes[name] for name in names if name in self._sizes}
        sizes |= {name: status.st_size for name, status in self._statuses(set(names) - sizes.keys()).items()}
        self._sizes = {name: size for name, size in sizes.items() if not name.startswith(".")}
        if sum(sizes.values()) <= self.limit:
            return True
        statuses = self._statuses(names)
        excess = sum(status.st_size for status in statuses.values()) - self.limit
        lost = time.time() - STALE
        removable = sorted(
            (status.st_mtime_ns, status.st_size, name)
            for name, status in statuses.items()
            if not name.startswith(".") or status.st_mtime < lost
        )
        if sum(size for _, size, _ in removable) < excess:
            return False
        for _, size, name in removable:
            if excess <= 0:
                break
            (self.folder / name).unlink(missing_ok=True)
            excess -= size
        return True

    def _statuses(self, names: Iterable[str]) -> dict[str, os.stat_result]:
        """Of the files with these names that are ours, whole or not, without those just removed by another process."""
        found = {}
        for name in filter(_OURS.fullmatch, names):
            with suppress(FileNotFoundError):
                found[name] = (self.folder / name).lstat()
        return found


def _compute(content: bytes, path: Path) -> Sound:
    waveform = audio.decode_sound(content, path)
    return Sound(audio.log_mel(waveform).numpy().astype(_ROW), len(waveform) / audio.SAMPLE_RATE)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes with a file's content, times in nanoseconds last; None if it cannot be told."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _recipe() -> int:
    """Checksum of all that decides what the spectrogram of a sound is."""
    constants = (audio.RECIPE, audio.SAMPLE_RATE, audio.MEL_BINS, audio.FRAME_SHIFT, audio.FRAME_LENGTH)
    return zlib.crc32(repr(constants).encode())


def _name(digest: str) -> str:
    return f"{digest}-{_recipe():08x}.mel"
