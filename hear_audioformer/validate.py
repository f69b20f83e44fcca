"""Checks of a HEAR module: every rule of both released validators, and promises that they do not check.

hearvalidator 2021.0.2 (what pip picks today) and 2021.0.6 are each stricter than the other somewhere; a rule here is
the stricter of the two. None of it needs TensorFlow, and it serves any torch module, not only ours.
"""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

RATES = (16000, 22050, 32000, 44100, 48000)
LENGTHS = (1.07, 1.98, 4.0)  # seconds; the validators' own
TOLERANCE = 1e-5  # between a clip alone and in company


@dataclass(frozen=True)
class Finding:
    """The outcome of one rule."""

    level: Literal["ok", "warning", "error"]
    rule: str
    detail: str = ""


class BrokenRuleError(Exception):
    """A rule that does not hold; ``fatal`` if nothing more can be checked."""

    def __init__(self, detail: str, level: Literal["warning", "error"] = "error", fatal: bool = False) -> None:
        super().__init__(detail)
        self.level, self.fatal = level, fatal


def check(module_name: str, source: str = "", device: str = "cpu") -> Iterator[Finding]:
    """Findings, one a rule, in order; the later ones are left out where an earlier one makes them moot."""
    state: dict[str, Any] = {"device": device, "source": source, "name": module_name}
    for rule, test in RULES.items():
        try:
            detail = test(state)
            yield Finding("ok", rule, detail or "")
        except BrokenRuleError as broken:
            yield Finding(broken.level, rule, str(broken))
            if broken.fatal:
                return
        except Exception as error:  # any error of a foreign module is a finding
            yield Finding("error", rule, f"{type(error).__name__}: {error}")
            if "model" not in state:
                return


def _require(condition: bool, detail: str, level: Literal["warning", "error"] = "error", fatal: bool = False) -> None:
    if not condition:
        raise BrokenRuleError(detail, level, fatal)


def _imports(state: dict[str, Any]) -> None:
    state["module"] = importlib.import_module(state["name"])
    names = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
    missing = [name for name in names if not callable(getattr(state["module"], name, None))]
    _require(not missing, f"no function {', '.join(missing)}", fatal=True)


def _loads(state: dict[str, Any]) -> str:
    load = state["module"].load_model
    model = load(state["source"]) if state["source"] else load()
    _require(
        isinstance(model, nn.Module), f"load_model returned a {type(model).__name__}, not a torch.nn.Module", fatal=True
    )
    state["model"] = model.to(state["device"])
    return type(model).__name__


def _sample_rate(state: dict[str, Any]) -> str:
    rate = getattr(state["model"], "sample_rate", None)
    _require(rate in RATES, f"model.sample_rate is {rate}, not one of {RATES}", fatal=True)
    _require(rate != 32000, "32000 Hz passes hearvalidator 2021.0.6 but crashes 2021.0.2", level="warning")
    return f"{rate} Hz"


def _sizes(state: dict[str, Any]) -> str:
    sizes = {name: getattr(state["model"], f"{name}_embedding_size", None) for name in ("scene", "timestamp")}
    wrong = [f"{name}_embedding_size is {size!r}" for name, size in sizes.items() if not isinstance(size, int)]
    _require(not wrong, f"{', '.join(wrong)}; must be a plain int", fatal=True)
    return f"scene {sizes['scene']}, timestamp {sizes['timestamp']}"


def _scene(state: dict[str, Any]) -> None:
    for clips, seconds in ((8, 3.74), (4, 2.74)):
        embeddings = _scenes(state, _noise(state, clips, seconds))
        expected = (clips, state["model"].scene_embedding_size)
        _require(tuple(embeddings.shape) == expected, f"shape {tuple(embeddings.shape)}, expected {expected}")
        _require(embeddings.dtype == torch.float32, f"dtype {embeddings.dtype}, expected float32")
        _require(
            not embeddings.requires_grad, "the result carries an autograd graph: wrap the function in torch.no_grad"
        )


def _timestamps(state: dict[str, Any]) -> None:
    for seconds in LENGTHS:
        embeddings, times = _frames(state, _noise(state, 2, seconds))
        _require(
            embeddings.ndim == 3 and times.ndim == 2, f"{embeddings.ndim}-D and {times.ndim}-D, expected 3-D and 2-D"
        )
        _require(
            embeddings.shape[:2] == times.shape, f"embeddings {tuple(embeddings.shape)}, times {tuple(times.shape)}"
        )
        size = state["model"].timestamp_embedding_size
        _require(embeddings.shape[2] == size, f"width {embeddings.shape[2]}, timestamp_embedding_size {size}")
        _require(embeddings.dtype == torch.float32, f"dtype {embeddings.dtype}, expected float32")


def _regular(state: dict[str, Any]) -> str:
    hop = 0.0
    for seconds in LENGTHS:
        steps = _times(state, seconds).diff()
        hop = float(steps.mean())
        worst = float((steps - hop).abs().max())
        _require(worst < 1e-3, f"a step of {seconds} s of audio is {worst:.4f} ms off the mean step of {hop:.4f} ms")
    return f"each {hop:g} ms"


def _fine(state: dict[str, Any]) -> None:
    hop = float(_times(state, 2.0).diff().max())
    _require(hop <= 50, f"{hop:.1f} ms apart; music transcription is scored within 50 ms", level="warning")


def _covered(state: dict[str, Any]) -> None:
    times_of = {seconds: _times(state, seconds) for seconds in LENGTHS}
    for seconds, times in times_of.items():
        last = float(times[-1])
        _require(last <= 1000 * seconds, f"the last, {last:.1f} ms, lies past the end of {seconds} s of audio")
    for seconds, times in times_of.items():
        hop, first, last = float(times.diff().mean()), float(times[0]), float(times[-1])
        _require(
            0 <= first <= hop, f"the first is {first:.1f} ms, more than a step of {hop:.1f} ms in", level="warning"
        )
        missed = 1000 * seconds - last
        _require(missed <= min(hop, 50), f"the last {missed:.1f} ms of {seconds} s have no embedding", level="warning")


def _alone(state: dict[str, Any]) -> str:
    audio = _noise(state, 3, 1.5) * torch.tensor([[0.001], [1.0], [0.1]], device=state["device"])
    worst = 0.0
    for embed in (_scenes, lambda s, a: _frames(s, a)[0]):
        together = embed(state, audio)
        for row in range(3):
            alone = embed(state, audio[row : row + 1])[0]
            worst = max(worst, float((alone - together[row]).detach().abs().max()))
    _require(worst <= TOLERANCE, f"a clip alone and in a batch differ by {worst:.2g}: normalised by the batch?")
    return f"within {worst:.1g}"


def _finite(state: dict[str, Any]) -> None:
    rate = state["model"].sample_rate
    cases = {
        "silence": torch.zeros(1, rate),
        "a constant": torch.full((1, rate), 0.5),
        "clipping": torch.sign(torch.sin(torch.arange(rate) * 0.1))[None],
        "one sample": torch.full((1, 1), 0.1),
        "10 ms": torch.rand(1, rate // 100) - 0.5,
    }
    for name, audio in cases.items():
        for result in (_scenes(state, audio.to(state["device"])), *_frames(state, audio.to(state["device"]))):
            _require(bool(torch.isfinite(result).all()), f"{name} gives NaN or infinite values")


def _refuses_nan(state: dict[str, Any]) -> None:
    audio = _noise(state, 2, 1.0)
    audio[1, 100] = torch.nan
    try:
        embeddings = _scenes(state, audio)
    except ValueError:
        return
    finite = bool(torch.isfinite(embeddings).all())
    hidden = "embeds it as if nothing were" if finite else "spreads it"
    raise BrokenRuleError(f"a NaN sample raises no ValueError: the module {hidden}", level="warning")


RULES: dict[str, Callable[[dict[str, Any]], str | None]] = {
    "module has the three functions": _imports,
    "load_model returns a torch module": _loads,
    "sample rate": _sample_rate,
    "embedding sizes": _sizes,
    "scene embeddings": _scene,
    "timestamp embeddings": _timestamps,
    "timestamps are regular": _regular,
    "timestamps are at most 50 ms apart": _fine,
    "timestamps cover the clip": _covered,
    "an embedding does not depend on its neighbours": _alone,
    "short, silent and clipped audio": _finite,
    "NaN in the audio": _refuses_nan,
}


def _noise(state: dict[str, Any], clips: int, seconds: float) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    samples = int(seconds * state["model"].sample_rate)
    return (torch.rand(clips, samples, generator=generator) * 2 - 1).to(state["device"])


def _scenes(state: dict[str, Any], audio: Tensor) -> Tensor:
    module: ModuleType = state["module"]
    return module.get_scene_embeddings(audio, state["model"]).cpu()


def _frames(state: dict[str, Any], audio: Tensor) -> tuple[Tensor, Tensor]:
    embeddings, times = state["module"].get_timestamp_embeddings(audio, state["model"])
    return embeddings.cpu(), times.cpu()


def _times(state: dict[str, Any], seconds: float) -> Tensor:
    return _frames(state, _noise(state, 1, seconds))[1][0].double()
