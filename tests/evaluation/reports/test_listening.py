"""The listening page: its sounds, what is nearest to each, and the page that is committed."""

import re
from pathlib import Path

import numpy as np
import soundfile

from evaluation.reports import listening
from evaluation.reports.listening_sounds import RATE, SAMPLES, SOUNDS
from tests.conftest import small_encoder, write_model

PAGE = Path(__file__).parents[3] / "docs" / "listening"
SOME = [sound for sound in SOUNDS if "espeak" not in sound.origin]


def test_formulas_give_sounds_that_differ() -> None:
    made = [sound.make() for sound in SOME]
    for number, samples in enumerate(made):
        assert np.isfinite(samples).all()
        assert samples.std() > 0
        assert len(samples) <= SAMPLES
        assert np.array_equal(SOME[number].make(), samples), "not the same again"
    spectra = [np.abs(np.fft.rfft(samples, SAMPLES)) for samples in made]
    likeness = np.corrcoef(spectra)
    assert (likeness[~np.eye(len(made), dtype=bool)] < 0.95).all()


def test_the_nearest_are_others_best_first(tmp_path: Path) -> None:
    model = write_model(small_encoder("msm-mae"), "msm-mae", tmp_path / "small.safetensors")
    paths = [tmp_path / f"{sound.name}.ogg" for sound in SOME]
    for sound, path in zip(SOME, paths, strict=True):
        listening.write_sound(sound, path)
        assert soundfile.info(path).samplerate == RATE
    found = listening.nearest(paths, str(model))
    for number, some in enumerate(found):
        scores = [score for _, score in some]
        assert len(some) == listening.NEAREST
        assert number not in {row for row, _ in some}
        assert scores == sorted(scores, reverse=True)
    text = listening.page(SOME, {"small": found}, "command")
    assert text.count("<audio") == len(SOME)
    assert text.count("<td>") == listening.NEAREST * len(SOME)


def test_the_committed_page_has_its_sounds_and_asks_nothing_of_the_net() -> None:
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'src="([^"]+)"', text)
    assert named == [f"{sound.name}.ogg" for sound in SOUNDS]
    assert "http" not in text
    assert all(sound.origin.split(" (")[0].split('"')[0] in text for sound in SOUNDS)
    assert sum(path.stat().st_size for path in PAGE.iterdir()) < 600_000
    for name in named:
        assert soundfile.info(PAGE / name).frames > RATE
