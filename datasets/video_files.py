"""Which files a video has, without opening one: frames, sound and subtitles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.annotations import Video
from datasets.audio import audio_file
from datasets.errors import bad_file
from datasets.frame_folders import frame_file, frame_folder
from datasets.frame_packs import pack_file
from datasets.subtitles import subtitle_file
from datasets.video_batch import MODALITIES


@dataclass(frozen=True)
class Layout:
    """The folders of frames, sound and subtitles, each with one folder per class."""

    video_path: Path
    audio_path: Path
    srt_path: Path

    def has(self, video: Video, modality: str) -> bool:
        """Whether there is anything of it."""
        if modality == "visual":
            places = (place(self.video_path, video.label, video.id) for place in (frame_folder, pack_file))
            return any(place.exists() for place in places)
        return self._file(video, modality).exists()

    def fault(self, video: Video, modalities: Sequence[str]) -> str | None:
        """What of these modalities is not there, or is empty; None if nothing."""
        files: list[Path] = []
        if "visual" in modalities:
            pack = pack_file(self.video_path, video.label, video.id)
            folder = frame_folder(self.video_path, video.label, video.id)
            files += [pack] if pack.is_file() else [folder / "n_frames", frame_file(folder, 0)]
        files += [self._file(video, name) for name in modalities if name != "visual"]
        for path in files:
            try:
                if path.stat().st_size == 0 and path.suffix != ".srt":  # one of a silent video is empty
                    return str(bad_file(path, "is empty"))
            except OSError as error:
                return str(bad_file(path, error.strerror or str(error)))
        return None

    def _file(self, video: Video, modality: str) -> Path:
        if modality == "audio":
            return audio_file(self.audio_path, video.label, video.id)
        return subtitle_file(self.srt_path, video.label, video.id)


def needed(modalities: Sequence[str]) -> tuple[str, ...]:
    """What a video has to have to be trained on: subtitles only where there is nothing else."""
    return tuple(name for name in MODALITIES if name in modalities and (name != "text" or len(modalities) == 1))
