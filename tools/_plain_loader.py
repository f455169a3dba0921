"""What the released code does for one training sample, written plainly: everything is read whole, for every sample."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.audio import cut_second, log_mel, read_sound
from datasets.benchmarks import BENCHMARKS
from datasets.cues import find_cues
from datasets.frame_folders import frame_file, read_fps, read_n_frames
from datasets.lexicon import AffectiveLexicon
from datasets.segments import blocks, clip_centres, clip_frames
from datasets.subtitles import read_subtitles, text_between
from datasets.tokens import encode_texts
from datasets.transforms import FrameTransform


class PlainLoader:
    """Reads one video. folder, sound, words: its files; flags: those of main.py."""

    def __init__(self, folder: Path, sound: Path, words: Path, flags: argparse.Namespace) -> None:
        self.folder, self.sound, self.words = folder, sound, words
        self.flags = flags
        self.lexicon = AffectiveLexicon(BENCHMARKS["ve8"])

    def read(self, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Frames uint8 (S, 3, T, H, W), log-mel (S, F, 128) and word pieces (S, L) of another draw in every epoch."""
        flags, rng = self.flags, np.random.default_rng(epoch)
        n_frames, fps = read_n_frames(self.folder), read_fps(self.folder)
        indices = clip_frames(n_frames, flags.seq_len, flags.snippet_duration, rng)
        draw = None
        pictures = []
        for index in indices.ravel():
            with Image.open(frame_file(self.folder, int(index))) as file:
                picture = file.convert("RGB")
            if draw is None:
                draw = FrameTransform(flags.sample_size, flags.min_crop_scale).draw(*picture.size[::-1], rng)
            box = draw.left, draw.top, draw.left + draw.side, draw.top + draw.side
            pictures.append(np.asarray(picture.crop(box).resize((flags.sample_size,) * 2, Image.Resampling.BILINEAR)))
        clips = torch.from_numpy(np.stack(pictures)).reshape(*indices.shape, *pictures[0].shape).permute(0, 4, 1, 2, 3)

        seconds = len(read_sound(self.sound)) / 16_000  # once for its length, once for its spectrogram
        spectrogram = log_mel(read_sound(self.sound))
        centres = clip_centres(indices, fps)
        fbank = torch.stack([cut_second(spectrogram, centre, flags.audio_frames) for centre in centres])

        subtitles = read_subtitles(self.words)
        texts = [text_between(subtitles, start, end) for start, end in blocks(seconds, flags.seq_len)]
        ids, _, places = encode_texts(texts, flags.max_tokens)
        find_cues(texts, places, self.lexicon, flags.max_cues)
        return clips.contiguous(), fbank, ids
