from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchaudio.compliance.kaldi import fbank

from datasets import audio
from datasets.audio import SAMPLE_RATE, audio_file, cut_second, log_mel, read_sound
from datasets.errors import DataError
from tests.fuzz.judge import judge
from tests.media import tone, write_sound


def test_stereo_at_another_rate_keeps_frequency_and_mean_level(tmp_path: Path) -> None:
    path = audio_file(tmp_path, "Trauer", "ton ♪")
    write_sound(path, np.stack([tone(2, 44_100, 440, 0.6), tone(2, 44_100, 440, 0.2)], axis=1), 44_100)
    sound = read_sound(path)
    assert (sound.shape, sound.dtype) == ((2 * SAMPLE_RATE,), np.float32)
    second = sound[SAMPLE_RATE // 2 : SAMPLE_RATE // 2 + SAMPLE_RATE]  # its spectrum has one bin per hertz
    spectrum = np.abs(np.fft.rfft(second)) * 2 / SAMPLE_RATE
    assert spectrum.argmax() == 440
    assert spectrum[440] == pytest.approx(0.4, abs=0.01)


def test_mono_at_16_khz_is_left_alone(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.mp3", tone(1, SAMPLE_RATE), SAMPLE_RATE)
    decoded, _ = soundfile.read(tmp_path / "a.mp3", dtype="float32")
    np.testing.assert_allclose(read_sound(tmp_path / "a.mp3"), decoded, atol=1e-6)


def test_an_mp3_with_something_before_its_first_frame_is_read(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.mp3", tone(1, SAMPLE_RATE), SAMPLE_RATE)
    expected = read_sound(tmp_path / "a.mp3")
    (tmp_path / "a.mp3").write_bytes(bytes(999) + (tmp_path / "a.mp3").read_bytes())
    np.testing.assert_array_equal(read_sound(tmp_path / "a.mp3"), expected)


def test_missing_empty_corrupt_short_and_cut_off_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with pytest.raises(DataError, match=r"a\.mp3: No such file.*check_dataset"):
        read_sound(path)
    for content in (b"", b"no sound at all" * 99):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mp3: cannot be decoded"):
            read_sound(path)
    soundfile.write(path, np.zeros((0, 1)), SAMPLE_RATE, format="WAV")
    with pytest.raises(DataError, match=r"holds 0\.000 s"):
        read_sound(path)
    soundfile.write(path, np.full(SAMPLE_RATE, np.nan), SAMPLE_RATE, format="WAV", subtype="FLOAT")
    with pytest.raises(DataError, match="not numbers"):
        read_sound(path)
    write_sound(path, tone(8, 44_100), 44_100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"is cut off: \d\.\d s of 8\.0 s"):
        read_sound(path)


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16_240, 100)])
def test_a_frame_every_10_ms_that_fits_its_window(samples: int, frames: int) -> None:
    assert log_mel(torch.randn(samples)).shape == (frames, 128)


def test_cutting_the_spectrogram_is_the_spectrogram_of_the_cut() -> None:
    waveform = np.random.default_rng(0).normal(0.1, 0.1, 5 * SAMPLE_RATE).astype(np.float32)
    before = waveform.copy()
    # Centred at 2.5075 s, 101.5 hundredths of which 50.75 lie before: frames 200..299, samples 32000..48239.
    cut = cut_second(log_mel(waveform), 2.5075, 100)
    part = torch.from_numpy(waveform[32_000 : 32_000 + 16_240])
    expected = fbank(
        (part - part.mean())[None],
        htk_compat=True,
        sample_frequency=16_000,
        use_energy=False,
        window_type="hanning",
        num_mel_bins=128,
        dither=0.0,
        frame_shift=10,
    )
    torch.testing.assert_close(cut, expected, atol=1e-3, rtol=0)
    np.testing.assert_array_equal(waveform, before)


def test_a_click_lies_in_the_middle_of_the_second_around_it() -> None:
    waveform = np.full(3 * SAMPLE_RATE, 1e-4, dtype=np.float32)
    waveform[round(1.3 * SAMPLE_RATE)] = 1.0
    loud = cut_second(log_mel(waveform), 1.3, 100).mean(dim=1)
    assert loud.argmax() in (49, 50)


def test_cut_is_shifted_inside_at_the_ends_and_short_sound_is_repeated() -> None:
    spectrogram = torch.arange(300.0)[:, None].expand(300, 128)
    assert cut_second(spectrogram, 1.5, 100)[[0, -1], 0].tolist() == [99, 198]
    assert cut_second(spectrogram, 1.506, 100)[[0, -1], 0].tolist() == [100, 199]  # 99.85
    assert cut_second(spectrogram, 0.1, 100)[[0, -1], 0].tolist() == [0, 99]
    assert cut_second(spectrogram, 2.9, 100)[[0, -1], 0].tolist() == [200, 299]
    assert cut_second(spectrogram, 60.0, 100)[[0, -1], 0].tolist() == [200, 299]
    assert cut_second(spectrogram[:100], 0.3, 100)[[0, -1], 0].tolist() == [0, 99]
    assert cut_second(spectrogram[:3], 0.0, 7)[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("length", [300, 3])
def test_a_cut_of_half_precision_is_float32_and_a_copy(length: int) -> None:
    rows = np.arange(128.0 * length, dtype=np.float16).reshape(length, 128) / 4
    rows.flags.writeable = False
    cut = cut_second(rows, 1.5, 100)
    assert (cut.shape, cut.dtype) == ((100, 128), torch.float32)
    torch.testing.assert_close(cut, cut_second(torch.from_numpy(rows.astype(np.float32)), 1.5, 100), atol=0, rtol=0)
    before = rows.copy()
    cut += 1
    np.testing.assert_array_equal(rows, before)


def flac(channels: int, seconds: float, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((round(seconds * rate), channels), np.float32), rate, format="FLAC")
    return file.getvalue()


def wave_of_rate(rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000, np.float32), rate, format="WAV")
    return file.getvalue()


BOMBS = {
    "silence": (lambda: flac(8, 60.0, 48_000), "holds more sound than an mp3 of its length can hold"),
    "a sample a second": (lambda: wave_of_rate(1), "has 1 samples a second, which no mp3 has"),
    "a prime": (lambda: wave_of_rate(47_981), "has 47981 samples a second, which no mp3 has"),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_small_file_takes_little_memory_and_time(tmp_path: Path, bomb: str) -> None:
    make, fault = BOMBS[bomb]
    path = tmp_path / "a.mp3"
    path.write_bytes(make())
    assert path.stat().st_size < 50_000
    outcome, words = judge(read_sound, path)
    assert (outcome, words.partition("; ")[0]) == ("refused", f"a.mp3: {fault}")


def test_a_header_that_states_days_is_a_cut_off_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    write_sound(path, tone(1.0, 16_000), 16_000)
    content = bytearray(path.read_bytes())
    mark = max(content.find(b"Xing"), content.find(b"Info"))
    content[mark + 8 : mark + 12] = b"\x7f\xff\xff\xff"  # frames of 36 ms
    path.write_bytes(content)
    outcome, words = judge(read_sound, path)
    assert outcome == "refused" and re.match(r"a\.mp3: is cut off: 1\.\d s of \d{8}\.\d s can be decoded", words)


def test_the_pieces_of_a_spectrogram_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, 100_003).astype(np.float32)
    whole = log_mel(waveform)
    assert len(whole) == audio.n_rows(100_003) == 623
    for rows in (1, 7, 622, 623):
        monkeypatch.setattr(audio, "_PIECE", rows)
        torch.testing.assert_close(log_mel(waveform), whole, atol=1e-5, rtol=0)
