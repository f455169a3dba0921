"""Pictures of videos in pre-training: they show what a step does, change nothing of it, and draw whatever there is."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from core.pictures import draw_view
from core.pretraining import PretrainSettings, choose_masks, pretrain_losses, read_words, teach
from core.verification import STAGES, verify_cues
from core.views import VideoView, view_videos
from datasets.benchmarks import BENCHMARKS
from datasets.video_batch import VideoBatch
from models.mart import MART
from tests import tiny
from tests.test_pretraining import SETTINGS, new_model

CLASSES = BENCHMARKS["ve8"].classes


@pytest.fixture(scope="module")
def model() -> MART:
    return new_model().eval()


def worded(n_videos: int, n_segments: int = 2) -> VideoBatch:
    """A batch of noise whose cues are valid and have words: the first two in every segment."""
    batch = tiny.batch(n_videos, n_segments=n_segments)
    batch.cue_valid[:] = torch.tensor([True, True, False])
    words = [[[f"word {i}.{s}.{k}" for k in range(2)] for s in range(n_segments)] for i in range(n_videos)]
    keys = [("class", f"{i} of {n_videos}, {n_segments} segments") for i in range(n_videos)]  # a name for each content
    return replace(batch, cue_words=words, keys=keys)


# What is seen


def test_a_view_holds_its_video(model: MART) -> None:
    batch = worded(3)
    views = view_videos(model, model, batch, SETTINGS, progress=0.5)
    assert [view.key for view in views] == batch.keys
    for i, view in enumerate(views):
        assert torch.equal(view.frames, batch.frames[i, :, :, 2]), "of four frames the third"
        assert torch.equal(view.fbank, batch.fbank[i]) and torch.equal(view.blocks, batch.blocks[i])
        assert view.visual_mask.shape == (2, 2, 2) and view.audio_mask.shape == (2, *model.mbt.audio.grid)
        assert view.words == batch.cue_words[i] and torch.equal(view.cue_emotion, batch.cue_emotion[i])
        for distribution in (view.target, view.recovered):
            assert distribution.shape == (2, 8) and distribution.sum().item() == pytest.approx(1, abs=1e-5)
        assert not view.truth.any()
    assert view_videos(model, model, replace(batch, labels=batch.labels[:0]), SETTINGS, 0.5) == []


def test_a_view_shows_what_a_step_uses(model: MART) -> None:
    student, batch = new_model(mask_at="encoder"), worded(2)
    student.mbt.visual_head.weight.data *= 50  # scores that differ
    student.eval()
    view = view_videos(student, model, batch, SETTINGS, progress=0.3)[1]
    taught, words = teach(model, batch, SETTINGS, 0.3), read_words(model, batch)
    masks = choose_masks(model, taught, words, SETTINGS, SETTINGS.ratio(0.3))
    scores = student(batch.media(), words, masks.visible).scores.segment_scores[1]
    torch.testing.assert_close(view.recovered, scores.flatten().softmax(dim=0).reshape(2, 8))
    torch.testing.assert_close(view.target, taught.target[1])
    assert torch.equal(view.verified, taught.verified[1])


@pytest.mark.parametrize("masking", ["emotion", "attention", "random", "tube", "frame"])
def test_the_masks_are_those_of_the_middle_moment(model: MART, masking: str) -> None:
    settings, batch = replace(SETTINGS, masking=masking), worded(2)
    torch.manual_seed(3)
    views = view_videos(model, model, batch, settings, progress=1.0)
    torch.manual_seed(3)
    taught, words = teach(model, batch, settings, 1.0), read_words(model, batch)
    visual, audio = choose_masks(model, taught, words, settings, ratio=0.5).hidden.values()
    middle = visual.reshape(2, 2, *model.mbt.visual.grid)[:, :, 1]  # frame 2 of 4 lies in the second tubelet
    assert torch.equal(torch.stack([view.visual_mask for view in views]), middle)
    assert torch.equal(torch.stack([view.audio_mask for view in views]), audio.reshape(2, 2, *model.mbt.audio.grid))
    if masking == "frame":
        assert all(part.all() or not part.any() for view in views for part in view.visual_mask)
        assert all((part == part[0]).all() for view in views for part in view.audio_mask)


def test_without_masking_there_are_no_masks(model: MART) -> None:
    view = view_videos(model, model, worded(1), replace(SETTINGS, masking="none"), 0.5)[0]
    assert view.visual_mask is None and view.audio_mask is None and view.recovered.sum().item() == pytest.approx(1)


@pytest.mark.parametrize("verify", STAGES)
def test_the_stages_are_those_of_verification(model: MART, verify: str) -> None:
    batch, settings = worded(8, n_segments=4), replace(SETTINGS, verify=verify)
    scores = teach(model, batch, settings, 0.0).scores
    views = view_videos(model, model, batch, settings, progress=0.0)
    seen = {word: stage for view in views for row in zip(view.words, view.passed, strict=True)
            for word, stage in zip(*row, strict=True)}  # fmt: skip
    assert set(seen.values()) == set(STAGES), "the noise has words that fail at each stage"
    for n, stage in enumerate(STAGES):
        passing = verify_cues(
            scores, batch.cue_sentiment, batch.cue_emotion, batch.cue_degree, batch.cue_valid, settings.polarity,
            settings.threshold, stage,
        )  # fmt: skip
        expected = {batch.cue_words[i][s][k] for i, s, k in passing.nonzero().tolist()}
        assert {word for word, last in seen.items() if STAGES.index(last) >= n} == expected
        if stage == verify:
            assert torch.equal(torch.stack([view.verified for view in views]), passing)


# No trace


def trained(pictures: bool, settings: PretrainSettings, device: str = "cpu") -> dict[str, Tensor]:
    """Weights after three steps, with or without pictures in between."""
    student = new_model().to(device).train()
    teacher, batch = deepcopy(student).eval(), worded(2).to(device)
    settings = replace(settings, polarity=settings.polarity.to(device))
    optimizer = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=1e-3)
    for step in range(3):
        pretrain_losses(student, teacher, batch, settings, 0.3 * step)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        if pictures:
            views = view_videos(student, teacher, batch, settings, 0.3 * step)
            draw_view(views[0], CLASSES).canvas.draw()
    return student.state_dict()


@pytest.mark.parametrize("masking", ["random", "emotion"])
def test_training_is_the_same_with_pictures(masking: str) -> None:
    with_them, without = (trained(pictures, replace(SETTINGS, masking=masking)) for pictures in (True, False))
    assert all(torch.equal(with_them[name], without[name]) for name in without)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_is_the_same_with_pictures() -> None:
    settings, state = replace(SETTINGS, masking="random"), torch.cuda.get_rng_state()
    runs = []
    for pictures in (True, False):
        torch.cuda.set_rng_state(state)
        runs.append((trained(pictures, settings, "cuda"), torch.cuda.get_rng_state()))
    assert torch.equal(runs[0][1], runs[1][1])
    for name, value in runs[1][0].items():
        torch.testing.assert_close(runs[0][0][name], value)


def test_modes_and_random_numbers_stay_as_they_were() -> None:
    student, teacher = new_model().train(), new_model().eval()
    student.mbt.audio.eval()
    before = [module.training for model in (student, teacher) for module in model.modules()]
    state, modes, known = torch.get_rng_state(), [], dict(teacher.text.known_words)
    hook = student.mbt.visual.blocks[0].register_forward_hook(lambda block, *_: modes.append(block.training))
    view_videos(student, teacher, worded(1), replace(SETTINGS, masking="random"), 0.5)
    hook.remove()
    assert modes == [False], "the student looks once, in evaluation mode"
    assert [module.training for model in (student, teacher) for module in model.modules()] == before
    assert torch.equal(torch.get_rng_state(), state) and torch.is_grad_enabled()
    assert all(p.grad is None for p in student.parameters()) and teacher.text.known_words == known


def test_a_failure_leaves_no_trace_either() -> None:
    student, state = new_model().train(), torch.get_rng_state()
    with pytest.raises(ValueError, match="clips"):
        view_videos(student, student, replace(worded(1), frames=worded(1).frames[..., :16]), SETTINGS, 0.5)
    assert student.training and student.mbt.visual.training and not student.text.training
    assert torch.get_rng_state().shape == state.shape and torch.is_grad_enabled()


@pytest.mark.parametrize("mask_at", ["encoder", "decoder"])
def test_half_precision_gives_whole_distributions(mask_at: str) -> None:
    model = new_model(mask_at=mask_at).train()
    with torch.autocast("cpu", torch.bfloat16):
        view = view_videos(model, model, worded(1), SETTINGS, 0.5)[0]
    for distribution in (view.target, view.recovered):
        assert distribution.dtype == torch.float32 and distribution.sum().item() == pytest.approx(1, abs=1e-5)


# What is drawn


def some_view(n_segments: int = 3, n_classes: int = 8, words: Sequence[Sequence[str]] | None = None) -> VideoView:
    """Noise, patches on the diagonal masked; of a segment's `words` the first is verified, the second failed E2."""
    generator = torch.Generator().manual_seed(0)
    words = [list(row) for row in words or [()] * n_segments]
    n_cues = max(1, *map(len, words))
    random = torch.rand(3, n_segments, n_classes, generator=generator)
    target, recovered, truth = random / random.sum(dim=(1, 2), keepdim=True)
    return VideoView(
        key=("class", "video"),
        frames=torch.randint(120, 256, (n_segments, 3, 32, 32), dtype=torch.uint8, generator=generator),
        fbank=torch.randn(n_segments, 50, 128, generator=generator) * 4 - 4,
        visual_mask=torch.eye(2, dtype=torch.bool).expand(n_segments, 2, 2),
        audio_mask=torch.eye(8, 3, dtype=torch.bool).expand(n_segments, 8, 3),
        words=words,
        verified=(torch.arange(n_cues) == 0).expand(n_segments, n_cues),
        passed=[[("degree", "sentiment", "none")[min(k, 2)] for k in range(len(row))] for row in words],
        cue_emotion=torch.eye(n_classes)[torch.arange(n_cues) % n_classes].expand(n_segments, n_cues, n_classes),
        target=target,
        recovered=recovered,
        truth=truth,
        blocks=torch.tensor([[1.5 * s, 1.5 * s + 1.5] for s in range(n_segments)]),
    )


def rendered(figure: Figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float)


def parts(figure: Figure) -> dict[str, Axes]:
    return {axes.get_label(): axes for axes in figure.axes}


def written(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def around(figure: Figure, axes: Axes, x: float, y: float) -> tuple[slice, slice]:
    """Rows and columns of the pixels around a point of the axes."""
    column, row = axes.transData.transform((x, y))
    row = figure.get_size_inches()[1] * figure.dpi - row
    return slice(round(row) - 1, round(row) + 2), slice(round(column) - 1, round(column) + 2)


def test_the_panels() -> None:
    view = some_view()
    assert list(parts(draw_view(view, CLASSES))) == ["frames", "sound", "words", "target", "recovered", "truth"]
    figure = draw_view(replace(view, truth=torch.zeros(3, 8)), CLASSES)
    axes = parts(figure)
    assert list(axes) == ["frames", "sound", "words", "target", "recovered"]
    assert written(axes["frames"]) == ["0.0-1.5 s", "1.5-3.0 s", "3.0-4.5 s"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(CLASSES)
    assert axes["target"].get_ylim() == axes["recovered"].get_ylim()
    assert figure.texts[0].get_text() == "class/video" and plt.get_fignums() == []


def test_the_bars_are_the_distributions() -> None:
    view = some_view()
    axes = parts(draw_view(view, CLASSES))
    for name in ("target", "recovered", "truth"):
        bars = np.array([(bar.get_height(), bar.get_y()) for bar in axes[name].patches]).reshape(8, 3, 2)
        heights, floors = bars[..., 0].T, bars[..., 1].T
        np.testing.assert_allclose(heights, getattr(view, name), rtol=1e-5)
        np.testing.assert_allclose(floors, heights.cumsum(axis=1) - heights, atol=1e-6)


def test_the_title_of_p_says_how_far_it_is() -> None:
    view = some_view()
    same = replace(view, recovered=view.target)
    q, p, truth = (table.double() for table in (view.target, view.recovered, view.truth))
    title = parts(draw_view(view, CLASSES))["recovered"].get_title(loc="left")
    assert f"KL(Q || P) = {(q * (q / p).log()).sum():.3f}" in title
    assert f"KL(truth || P) = {(truth * (truth / p).log()).sum():.3f}" in title
    title = parts(draw_view(replace(same, truth=torch.zeros(3, 8)), CLASSES))["recovered"].get_title(loc="left")
    assert "KL(Q || P) = 0.000" in title and "truth" not in title


def test_masked_patches_are_darker_and_others_as_they_were() -> None:
    view = some_view()
    figure = draw_view(view, CLASSES)
    with_masks = rendered(figure)
    without = rendered(draw_view(replace(view, visual_mask=None, audio_mask=None), CLASSES))
    axes = parts(figure)
    for name, mask in (("frames", view.visual_mask), ("sound", view.audio_mask)):
        for s, part in enumerate(mask):
            left, right, _, _ = axes[name].images[2 * s].get_extent()
            for (row, column), masked in np.ndenumerate(part.numpy()):
                from_bottom = row if name == "sound" else len(part) - 1 - row
                x = left + (right - left) * (column + 0.7) / part.shape[1]
                place = around(figure, axes[name], x, (from_bottom + 0.35) / len(part))
                before, after = without[place].mean(), with_masks[place].mean()
                assert after < 0.6 * before if masked else after == before, (name, s, row, column)


def test_words_say_whether_and_where_they_failed() -> None:
    view = some_view(words=[["scorn", "trust", "calm"], [], ["glad"]])
    texts = parts(draw_view(view, CLASSES))["words"].texts
    assert [text.get_text() for text in texts] == ["scorn", "trust (E2)", "calm (E1)", "glad"]
    assert [text.get_fontweight() for text in texts] == ["bold", "normal", "normal", "bold"]
    assert texts[0].get_bbox_patch() is not None and texts[1].get_bbox_patch() is None
    third = replace(view, passed=[["degree", "emotion", "emotion"], [], ["degree"]])
    assert "trust (E3)" in written(parts(draw_view(third, CLASSES))["words"])


def test_verified_words_can_be_read_on_the_colour_of_their_emotion() -> None:
    for n_classes in (8, 20):
        view = some_view(n_classes, n_classes, words=[["word"]] * n_classes)
        figure = draw_view(replace(view, cue_emotion=torch.eye(n_classes)[:, None]), ["emotion"] * n_classes)
        texts, legend = parts(figure)["words"].texts, figure.legends[0].get_patches()
        tags = [to_rgb(text.get_bbox_patch().get_facecolor()) for text in texts]
        assert tags == [to_rgb(patch.get_facecolor()) for patch in legend] and len(set(tags)) == n_classes
        letters = [to_rgb(text.get_color()) for text in texts]
        tag, letter = (np.array(colours) ** 2.2 @ (0.2126, 0.7152, 0.0722) + 0.05 for colours in (tags, letters))
        assert (np.maximum(tag / letter, letter / tag) >= 4.5).all(), "the contrast that WCAG 2 asks for"


@pytest.mark.parametrize("n_segments", [1, 3, 8, 16])
def test_many_long_words_stay_in_their_columns(n_segments: int) -> None:
    words = [[f"uncharacteristically antidisestablishmentarian {'WM' * 40} {k}" for k in range(20)]] * n_segments
    figure = draw_view(some_view(n_segments, words=words), CLASSES)
    rendered(figure)
    axes = parts(figure)["words"]
    assert len(axes.texts) == 8 * n_segments and written(axes)[7] == "\u2026 13 more"
    assert all("\u2026" in text for text in written(axes))
    row = axes.get_window_extent()
    for i, text in enumerate(axes.texts):
        box = (text.get_bbox_patch() or text).get_window_extent(figure.canvas.get_renderer())
        segment = i // 8
        assert box.x0 >= row.x0 + segment * row.width / n_segments - 1
        assert box.x1 <= row.x0 + (segment + 1) * row.width / n_segments + 1
        assert box.y0 >= row.y0 - 2 and box.y1 <= row.y1 + 2
    assert sum(text.endswith("(E2)") for text in written(axes)) == n_segments, "the stage is not cut off"


ODD = ["$", "a$b_{c$", "\\frac{", "x^2_y", "two\nlines", "\u611b\u60c5", "\u0440\u0430\u0434\u043e\u0441\u0442\u044c",
       "\u0641\u0631\u062d", "\U0001f600", "\ud800", "\x00\x07", "", "%s {0}", "_hidden"]  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_odd_characters_are_drawn_as_they_are() -> None:
    words = [[word, word] for word in ODD]
    view = replace(some_view(len(ODD), words=words), key=("$a_{b", "vid_{eo\n\u611b$"))
    figure = draw_view(view, ("_hidden", "$x_{1$", "\u559c", *CLASSES[3:]))
    rendered(figure)
    axes = parts(figure)["words"]
    shown = written(axes)[::2]
    assert shown[:5] == ["$", "a$b_{c$", "\\frac{", "x^2_y", "two lines"] and shown[-1] == "_hidden"
    assert shown[6] == ODD[6], "Cyrillic is in every installation's font"
    assert figure.texts[0].get_text().startswith("$a_{b/vid_{eo ")
    legend = figure.legends[0].get_texts()
    assert [text.get_text() for text in legend][:2] == ["_hidden", "$x_{1$"]
    assert not any(text.get_parse_math() for text in (*axes.texts, *legend, figure.texts[0]))


@pytest.mark.parametrize(("n_segments", "n_classes"), [(1, 8), (3, 1), (8, 7), (8, 20), (16, 8), (16, 20), (40, 27)])
@pytest.mark.filterwarnings("error")
def test_every_size_is_drawn_within_the_limits(n_segments: int, n_classes: int) -> None:
    classes = [f"emotion number {i}" for i in range(n_classes)]
    words = [["word"] * (s % 9) for s in range(n_segments)]
    figure = draw_view(some_view(n_segments, n_classes, words), classes)
    width, height = figure.get_size_inches()
    assert width <= 14.001 and height <= 9.001
    assert rendered(figure).std() > 0
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == classes
    box, lowest = legend.get_window_extent(), figure.axes[-1].get_tightbbox()
    assert box.x0 >= 0 and box.x1 <= 100 * width and box.y1 <= lowest.y0
    colours = {patch.get_facecolor() for patch in legend.get_patches()}
    assert len(colours) == min(n_classes, 20)


def test_without_words_the_picture_says_so() -> None:
    assert written(parts(draw_view(some_view(), CLASSES))["words"]) == ["no affective words"]


def test_silence_and_scores_that_are_no_numbers_are_drawn() -> None:
    view = some_view()
    view = replace(view, fbank=torch.zeros_like(view.fbank), recovered=torch.full((3, 8), torch.nan))
    assert rendered(draw_view(view, CLASSES)).std() > 0
