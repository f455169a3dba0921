from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from io import BufferedWriter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from datasets import audio, spectrograms
from datasets.audio import SAMPLE_RATE, cut_second, log_mel, read_sound
from datasets.errors import DataError
from datasets.spectrograms import Sound, SpectrogramCache
from tests.media import tone, write_sound

FORK = multiprocessing.get_context("fork")
HEADER = 32


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Four sounds of a second, whose entries are of one size."""
    for number in range(4):
        write_sound(tmp_path / f"{number}.mp3", noise(seed=number), SAMPLE_RATE)
    return [tmp_path / f"{number}.mp3" for number in range(4)]


@pytest.fixture
def path(paths: list[Path]) -> Path:
    return paths[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "sound"


@pytest.fixture
def entries(paths: list[Path], folder: Path) -> list[Path]:
    """Those of the first three sounds, used in this order a long time ago."""
    found: list[Path] = []
    for number, path in enumerate(paths[:3]):
        SpectrogramCache(folder).open(path)
        found.extend(set(folder.iterdir()) - set(found))
        os.utime(found[-1], (1e9 + number, 1e9 + number))
    return found


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of samples of each sound whose spectrogram was computed."""
    lengths: list[int] = []
    monkeypatch.setattr(audio, "log_mel", lambda waveform: lengths.append(len(waveform)) or log_mel(waveform))
    return lengths


@pytest.fixture(autouse=True)
def not_warned_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectrograms, "_unwritable", set())


def noise(seconds: float = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * SAMPLE_RATE)).astype(np.float32)


def assert_right(sound: Sound, path: Path) -> None:
    waveform = read_sound(path)
    assert sound.spectrogram.dtype == np.float16
    np.testing.assert_array_equal(sound.spectrogram, log_mel(waveform).numpy().astype(np.float16))
    assert sound.seconds == len(waveform) / SAMPLE_RATE


def exit_codes(work: Callable[[int], None], count: int) -> list[int]:
    """Of `count` processes that call `work` with their number."""

    def call(number: int) -> None:
        torch.set_num_threads(1)  # as in a DataLoader's workers: the threads of this process were not copied
        work(number)

    processes = [FORK.Process(target=call, args=(number,), daemon=True) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
    return [process.exitcode for process in processes]


def test_the_values_are_the_same_with_and_without_a_cache(path: Path, folder: Path) -> None:
    for cache in (SpectrogramCache(None), SpectrogramCache(folder), SpectrogramCache(folder)):
        for _ in range(2):
            assert_right(cache.open(path), path)
    rows = SpectrogramCache(folder).open(path).spectrogram
    assert isinstance(rows, np.memmap) and not rows.flags.writeable


@pytest.mark.parametrize(("samples", "rate"), [(16_001, 16_000), (12_345, 16_000), (44_101, 44_100), (30_000, 22_050)])
def test_the_duration_is_right_to_a_sample(path: Path, folder: Path, samples: int, rate: int) -> None:
    write_sound(path, tone(samples / rate, rate), rate)
    for _ in range(2):
        assert SpectrogramCache(folder).open(path).seconds == len(read_sound(path)) / SAMPLE_RATE


def test_it_is_computed_once_for_all_processes_and_copies(path: Path, folder: Path, computed: list[int]) -> None:
    cache, copy = SpectrogramCache(folder), path.with_name("copy.mp3")
    copy.write_bytes(path.read_bytes())
    for user in (cache, cache, SpectrogramCache(folder), pickle.loads(pickle.dumps(cache))):
        assert_right(user.open(path), path)
        assert_right(user.open(copy), path)

    def use(number: int) -> None:
        (cache if number else SpectrogramCache(folder)).open(path)
        assert len(computed) == 1

    assert exit_codes(use, 2) == [0, 0]
    assert len(computed) == len(list(folder.iterdir())) == 1
    SpectrogramCache(None).open(path)
    assert len(computed) == 2


def test_changed_content_of_the_same_size_and_time_has_an_entry_of_its_own(paths: list[Path], folder: Path) -> None:
    contents = [path.read_bytes()[:9000] for path in paths[:2]]
    cache = SpectrogramCache(folder)
    for count, content in enumerate(contents, 1):
        paths[0].write_bytes(content)
        os.utime(paths[0], (1e9, 1e9))
        for _ in range(2):
            assert_right(cache.open(paths[0]), paths[0])
        assert len(list(folder.iterdir())) == count


def test_a_file_is_read_again_where_it_may_have_changed(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(audio, "read_content", lambda path: read.append(path) or path.read_bytes())
    cache = SpectrogramCache(folder)

    def reads(times: int) -> int:
        before = len(read)
        for _ in range(times):
            cache.open(path)
        return len(read) - before

    assert reads(3) == 3  # it was written just now
    monkeypatch.setattr(spectrograms, "SETTLED", -(10**18))
    assert reads(3) == 1
    os.utime(path)
    assert reads(3) == 1
    for entry in folder.iterdir():
        entry.unlink()
    assert reads(3) == 1
    assert len(computed) == 2


def flipped(place: int) -> Callable[[bytes], bytes]:
    return lambda data: bytes(byte ^ (i == place % len(data)) for i, byte in enumerate(data))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the header": lambda data: data[:20],
    "cut after the header": lambda data: data[:HEADER],
    "a row too few": lambda data: data[:-256],
    "a row too many": lambda data: data + bytes(256),
    "rows of zeros": lambda data: data[:HEADER] + bytes(len(data) - HEADER),
    "zeros": lambda data: bytes(len(data)),
    "garbage": lambda data: b"no spectrogram" * 999,
} | {f"bit at {place}": flipped(place) for place in (0, 8, 12, 20, 28, HEADER, -1)}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_entry_is_rebuilt(
    path: Path, folder: Path, computed: list[int], caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    SpectrogramCache(folder).open(path)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(damage(whole))
    for _ in range(2):
        assert_right(SpectrogramCache(folder).open(path), path)
        assert len(computed) == 2
    assert entry.read_bytes() == whole
    assert not caplog.records


@pytest.mark.parametrize("name", ["RECIPE", "SAMPLE_RATE", "MEL_BINS", "FRAME_SHIFT", "FRAME_LENGTH"])
def test_another_recipe_has_entries_of_its_own(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    SpectrogramCache(folder).open(path)
    (old,) = folder.iterdir()
    monkeypatch.setattr(audio, name, getattr(audio, name) * 2)
    monkeypatch.setattr(audio, "decode_sound", lambda content, path: noise())
    monkeypatch.setattr(audio, "log_mel", lambda waveform: torch.ones(3, audio.MEL_BINS))
    assert len(SpectrogramCache(folder).open(path).spectrogram) == 3
    (new,) = set(folder.iterdir()) - {old}
    old.replace(new)  # its name is right, but not its header
    assert len(SpectrogramCache(folder).open(path).spectrogram) == 3


@pytest.mark.parametrize("where", ["rows", "rename"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_dies_leaves_nothing_behind(
    path: Path, folder: Path, caplog: pytest.LogCaptureFixture, error: BaseException, where: str
) -> None:
    open_path, died = Path.open, []

    class HalfFull(BufferedWriter):
        def write(self, data: Any) -> int:
            if (size := memoryview(data).nbytes) > HEADER:
                died.append(super().write(bytes(data)[: size // 2]))
                self.flush()
                raise error
            return super().write(data)

    def rename(self: Path, target: Path) -> None:
        died.append(self.stat().st_size)  # all of it is there before the name
        raise error

    def opened(self: Path, mode: str = "r", **rest: Any) -> Any:
        return HalfFull(open_path(self, mode, buffering=0)) if mode == "xb" else open_path(self, mode, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, *("open", opened) if where == "rows" else ("replace", rename))
        for _ in range(2):
            with nullcontext() if isinstance(error, OSError) else pytest.raises(KeyboardInterrupt):
                assert_right(SpectrogramCache(folder).open(path), path)
            assert not list(folder.iterdir())
    size = 256 * len(log_mel(read_sound(path)))
    assert died == [size // 2 if where == "rows" else HEADER + size] * 2
    warnings = [f"{folder}: No space left on device; spectrograms that it lacks are computed for every sample"]
    assert [record.getMessage() for record in caplog.records] == (warnings if isinstance(error, OSError) else [])
    for _ in range(2):
        assert_right(SpectrogramCache(folder).open(path), path)


@pytest.mark.parametrize("room", [40, 2], ids=["room for all", "room for two"])
def test_several_processes_at_once_all_get_the_right_values(paths: list[Path], folder: Path, room: int) -> None:
    expected = [SpectrogramCache(None).open(path) for path in paths]
    limit = room * (HEADER + expected[0].spectrogram.nbytes)
    barrier = FORK.Barrier(4)

    def use(number: int) -> None:
        barrier.wait(60)
        for place in np.random.default_rng(number).permutation(12) % 4:
            sound = SpectrogramCache(folder, limit).open(paths[place])
            assert np.array_equal(sound.spectrogram, expected[place].spectrogram)
            assert sound.seconds == expected[place].seconds
        assert not spectrograms._unwritable

    assert exit_codes(use, 4) == [0] * 4
    SpectrogramCache(folder, limit).open(paths[0])
    files = list(folder.iterdir())
    assert not [file.name for file in files if file.name.startswith(".")]
    assert sum(file.stat().st_size for file in files) <= limit
    assert len(files) == 4 if room == 40 else 1 <= len(files) <= 2


@pytest.mark.parametrize("short", [0, 1])
def test_the_least_recently_used_go_first_and_no_more_than_needed(
    paths: list[Path], folder: Path, entries: list[Path], short: int
) -> None:
    other = folder / "somebody's.txt"
    other.write_bytes(bytes(10**6))
    os.utime(other, (0, 0))
    SpectrogramCache(folder).open(paths[0])  # so that the second is the oldest
    SpectrogramCache(folder, 4 * entries[0].stat().st_size - short).open(paths[3])
    (new,) = set(folder.iterdir()) - {*entries, other}
    assert set(folder.iterdir()) == {other, new, *(entries if not short else (entries[0], entries[2]))}


def test_use_is_noted_once_per_process_and_entry(path: Path, folder: Path) -> None:
    cache = SpectrogramCache(folder)
    cache.open(path)
    (entry,) = folder.iterdir()
    for user, noted in ((cache, True), (cache, False), (SpectrogramCache(folder), True)):
        os.utime(entry, (1, 1))
        user.open(path)
        assert (entry.stat().st_mtime > 1) == noted


@pytest.mark.parametrize("limit", [0, 10_000])
def test_what_is_larger_than_the_limit_is_not_kept_and_removes_nothing(
    paths: list[Path], folder: Path, entries: list[Path], limit: int
) -> None:
    assert_right(SpectrogramCache(folder, limit).open(paths[3]), paths[3])
    assert set(folder.iterdir()) == set(entries)


@pytest.mark.parametrize("alive", [True, False])
def test_what_is_being_written_counts_and_stays_while_its_writer_lives(
    paths: list[Path], folder: Path, entries: list[Path], alive: bool
) -> None:
    unfinished = folder / f".{entries[0].name}-{'0' * 32}"
    unfinished.write_bytes(entries[0].read_bytes())
    if not alive:
        os.utime(unfinished, (1, 1))
    SpectrogramCache(folder, 4 * entries[0].stat().st_size).open(paths[3])
    assert unfinished.exists() == alive
    assert entries[0].exists() != alive


@pytest.mark.parametrize("moment", ["before it is counted", "before it is removed"])
def test_another_process_may_be_quicker_to_remove(
    paths: list[Path], folder: Path, entries: list[Path], caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    fullmatch, unlink, limit = spectrograms._OURS.fullmatch, Path.unlink, entries[0].stat().st_size

    class Quicker:
        def fullmatch(self, name: str) -> Any:
            if not name.startswith("."):
                unlink(folder / name)
            return fullmatch(name)

    def removed_already(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok=True)
        unlink(self, missing_ok=missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        if moment == "before it is counted":
            patch.setattr(spectrograms, "_OURS", Quicker())
        else:
            patch.setattr(Path, "unlink", removed_already)
        SpectrogramCache(folder, limit).open(paths[3])
    assert not caplog.records
    assert len(list(folder.iterdir())) == 1 and not any(entry.exists() for entry in entries)


def test_a_folder_that_cannot_be_made_is_done_without(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    below_a_file = path / "cache"  # not even root can make it
    for _ in range(2):
        assert_right(SpectrogramCache(below_a_file).open(path), path)
    expected = f"{below_a_file}: Not a directory; spectrograms that it lacks are computed for every sample"
    assert [record.getMessage() for record in caplog.records] == [expected]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_entries_of_a_folder_that_may_only_be_read_are_used(path: Path, folder: Path, computed: list[int]) -> None:
    SpectrogramCache(folder).open(path)
    folder.chmod(0o500)
    assert_right(SpectrogramCache(folder).open(path), path)
    assert len(computed) == 1


def test_an_entry_that_is_removed_stays_readable_where_another_process_maps_it(
    paths: list[Path], folder: Path, entries: list[Path]
) -> None:
    sound, limit = SpectrogramCache(folder).open(paths[2]), entries[0].stat().st_size
    assert isinstance(sound.spectrogram, np.memmap)
    assert exit_codes(lambda number: assert_right(SpectrogramCache(folder, limit).open(paths[3]), paths[3]), 1) == [0]
    assert not any(entry.exists() for entry in entries)
    assert_right(sound, paths[2])


@pytest.mark.parametrize("content", [None, b"", b"no sound at all" * 99], ids=["missing", "empty", "corrupt"])
def test_a_sound_that_has_become_bad_is_an_error_although_it_was_kept(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.setattr(spectrograms, "SETTLED", -(10**18))
    cache = SpectrogramCache(folder)
    cache.open(path)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for user in (cache, cache, SpectrogramCache(folder), SpectrogramCache(None)):
        with pytest.raises(DataError, match=r"0\.mp3: (No such file.*|cannot be decoded); .*check_dataset"):
            user.open(path)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/smaps tells which part of a map is in memory")
def test_of_an_hour_only_the_second_that_is_cut_is_loaded(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = torch.arange(1000.0).repeat(360)[:, None].expand(360_000, 128)
    monkeypatch.setattr(audio, "log_mel", lambda waveform: hour)
    monkeypatch.setattr(audio, "n_rows", lambda n_samples: len(hour))
    SpectrogramCache(folder).open(path)
    rows = SpectrogramCache(folder).open(path).spectrogram
    assert isinstance(rows, np.memmap) and rows.nbytes == 92_160_000
    # Centred on frame 180,000, of 101.5 hundredths 50.75 lie before.
    assert cut_second(rows, 1800.0, 100)[[0, -1], 0].tolist() == [949, 48]
    (entry,) = folder.iterdir()
    _, _, after = Path("/proc/self/smaps").read_text().partition(entry.name)
    assert 0 < int(after.split("Rss:")[1].split()[0]) < 10_000  # kB; a page of the file's may be 2 MB


@pytest.mark.parametrize(("samples", "rows"), [(0, 1), (399, 1), (2**40, 1), (400, 2), (560, 1), (2**63, 2**50)])
def test_an_entry_of_another_length_than_its_sound_is_damage(
    path: Path, folder: Path, samples: int, rows: int, computed: list[int]
) -> None:
    SpectrogramCache(folder).open(path)
    (entry,) = folder.iterdir()
    magic, recipe, _, _ = spectrograms._FIELDS.unpack(entry.read_bytes()[: spectrograms._FIELDS.size])
    fields = spectrograms._FIELDS.pack(magic, recipe, samples, rows)
    body = bytes(256 * min(rows, 9))
    entry.write_bytes(fields + spectrograms._CHECKSUM.pack(zlib.crc32(body, zlib.crc32(fields))) + body)
    assert_right(SpectrogramCache(folder).open(path), path)
    assert len(computed) == 2, "computed again"
