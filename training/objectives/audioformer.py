"""AudioFormer's objectives: guess masked codes from the others, and draw the code sequences of one sound together.

Li et al. (arXiv 2308.07221). Stage one is masked language modelling. Stage two, which the authors do not have, adds
the contrast of ``mpc`` without labels: the vector of one code sequence, whose turn comes with the step, against those
that a frozen copy of stage one gives of the others.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hear_audioformer.audioformer import Audioformer, Config
from hear_audioformer.audioformer.language import draw, pooled
from hear_audioformer.codec.load import load

from .. import checkpoints
from ..data.codes import Coded, heard
from ..sections import Key, keywords
from . import Logs, masked_lm
from .mpc import Anchors, joint, mpc, rank, separation

MOSTLY_SILENT = 0.9  # share of silent frames beyond which a crop is left out
RANKED = 256  # vectors at most whose rank is logged


class FrozenViews(nn.Module):
    """A copy of an encoder that gives the vectors of code sequences and never changes; no dropout, no gradients."""

    def __init__(self, encoder: Audioformer) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(encoder).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "FrozenViews":
        """Stays in evaluation mode whatever happens around it."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, codes: Tensor, sequences: Sequence[int]) -> list[Tensor]:
        """Codes (batch, frames, codebooks) -> one vector for each sequence, (batch, width) each."""
        return [pooled(self.encoder.read(codes, sequence)[-1]) for sequence in sequences]


class AudioformerObjective(nn.Module):
    """Masks, heads and, in stage two, frozen views around an encoder.

    Args:
        encoder: the encoder to train, with its codec, which is not trained.
        share, mode, span: expected share of masked frames; "token" or "span"; frames of a span.
        contrast: whether this is stage two; the encoder must then have been through stage one.
        alpha: share of masked modelling in the loss of stage two.
        temperature, anchors: of the contrast.

    Attributes:
        reader: what batches are: "audio", which is encoded here, or "codes"; for the count of FLOPs.
    """

    readers = ("audio", "codes")

    def __init__(
        self,
        encoder: Audioformer,
        *,
        share: float = 0.25,
        mode: masked_lm.Mode = "token",
        span: int = 10,
        contrast: bool = False,
        alpha: float = 0.8,
        temperature: float = 0.05,
        anchors: Anchors = "all",
    ) -> None:
        super().__init__()
        config = encoder.config
        if contrast and config.sequences < 2:
            raise ValueError("the contrast needs several code sequences: more codebooks, and not the summed layout")
        if not 0 < share < 1 or mode not in ("token", "span"):
            raise ValueError(f'share={share}, mode={mode!r}: masks take a share between 0 and 1, "token" or "span"')
        self.encoder = encoder
        self.share, self.mode, self.span = share, mode, span
        self.alpha, self.temperature, self.anchors = alpha, temperature, anchors
        self.crop = encoder.window
        self.reader = "audio"
        sizes = config.sizes()
        heads = 1 if config.layout == "shared" else config.trained
        self.mlm = nn.ModuleList(
            masked_lm.MaskedHead(sizes.width, sizes.vocabulary, sizes.epsilon) for _ in range(heads)
        )
        self.frozen = FrozenViews(encoder) if contrast else None

    def begin_contrast(self) -> None:
        """Freezes the encoder as it is now, at the start of stage two."""
        self.frozen = FrozenViews(self.encoder)

    def example(self, clips: int) -> Tensor | Coded:
        """A batch of no content, to count FLOPs by."""
        shape = (clips, self.encoder.config.window)
        if self.reader == "audio":
            return torch.zeros(clips, self.crop, device="meta")
        codes = torch.zeros(*shape, self.encoder.config.codebooks, dtype=torch.int32, device="meta")
        return Coded(codes, torch.zeros(shape, dtype=torch.bool, device="meta"))

    def coded(self, audio: Tensor) -> Coded:
        """Crops (batch, samples) -> their codes."""
        codes = self.encoder.clip_context(audio)
        assert codes is not None
        return Coded(codes, heard(audio, self.encoder.codec.hop))

    def forward(self, crops: Tensor | Coded, step: int) -> tuple[Tensor, Logs]:
        """Waveforms (batch, samples), or their codes -> the loss and what it is to be held against."""
        codes, heard_frames = crops if isinstance(crops, Coded) else self.coded(crops)
        if not self.encoder.config.codec_hash and not codes.is_meta:
            raise ValueError("the encoder has no trained codec: name one, objective.codec=melrvq-16k")
        codes = codes.long().contiguous()  # what is drawn like them goes by their order in memory
        loss, logs = self.masked(codes, self.audible(heard_frames))
        if self.frozen is not None:
            contrast, more = self.contrast(codes, step)
            logs |= {"masked": loss, "contrast": contrast, **more}
            loss = joint(loss, contrast, self.alpha)
        return loss, logs

    def audible(self, heard_frames: Tensor) -> Tensor:
        """Frames worth guessing, (batch, frames): no digital silence, and nothing of crops that are hardly more."""
        return heard_frames & (heard_frames.float().mean(1, keepdim=True) >= 1 - MOSTLY_SILENT)

    def masked(self, codes: Tensor, allowed: Tensor) -> tuple[Tensor, Logs]:
        """Codes (batch, frames, codebooks) -> the mean loss over masked places of all sequences, and its yardsticks."""
        config = self.encoder.config
        count = config.codec.codes
        totals = dict.fromkeys(("loss", "hit", "copied", "places"), codes.new_zeros((), dtype=torch.float32))
        for sequence in range(config.sequences):
            chosen = masked_lm.choose(allowed, self.share, self.mode, self.span)
            places = self.places(chosen)
            shown, hidden = masked_lm.corrupt(codes, chosen, count)
            states = self.encoder.read(shown, sequence, hidden)[-1][:, 1:-1].flatten(0, 1)[places]
            targets = range(config.trained) if config.layout == "summed" else [sequence]
            for codebook in targets:
                logits = self.guess(states, codebook).float()
                labels = codes[..., codebook]
                copied = masked_lm.copied(labels, chosen).flatten()[places]
                labels = labels.flatten()[places]
                sums = {
                    "loss": F.cross_entropy(logits, labels, reduction="sum"),
                    "hit": (logits.argmax(-1) == labels).float().sum(),
                    "copied": (copied == labels).float().sum(),
                    "places": torch.ones_like(labels, dtype=torch.float32).sum(),
                }
                totals = {name: totals[name] + sums[name] for name in totals}
        mean = {name: value / totals["places"].clamp(min=1) for name, value in totals.items()}
        logs = {"accuracy": mean["hit"], "copy_accuracy": mean["copied"], "masked_share": chosen.float().mean()}
        logs["unigram_entropy"] = torch.stack(
            [masked_lm.entropy(codes[..., k], count, allowed) for k in range(codes.shape[2])]
        ).mean()
        return mean["loss"], logs

    def places(self, chosen: Tensor) -> Tensor:
        """Indices of chosen places, of all clips in a row; as many as are expected where only costs are counted."""
        if chosen.is_meta:
            return torch.arange(round(self.share * chosen.numel()), device=chosen.device)
        return chosen.flatten().nonzero()[:, 0]

    def guess(self, states: Tensor, codebook: int) -> Tensor:
        """Hidden states of frames -> logits of a codebook's codes and of nothing else, (..., codes)."""
        config = self.encoder.config
        first = self.encoder.rows(codebook)
        table = self.encoder.backbone(codebook).embeddings.word_embeddings.weight
        head = self.mlm[0 if config.layout == "shared" else codebook]
        return head(states, table, slice(first, first + config.codec.codes))

    def contrast(self, codes: Tensor, step: int) -> tuple[Tensor, Logs]:
        """Codes (batch, frames, codebooks) -> the contrast of the sequences' vectors, and whether they keep apart."""
        assert self.frozen is not None
        sequences = self.encoder.config.sequences
        trained_sequence = step % sequences
        others = [sequence for sequence in range(sequences) if sequence != trained_sequence]
        views = [pooled(self.encoder.read(codes, trained_sequence)[-1]), *self.frozen(codes, others)]
        vectors = torch.cat([view.float() for view in views])
        clip = torch.arange(len(codes), device=codes.device).repeat(sequences)
        view = torch.arange(sequences, device=codes.device).repeat_interleave(len(codes))
        loss = mpc(vectors, clip, view, temperature=self.temperature, anchors=self.anchors)
        logs = {"separation": separation(vectors, clip), "rank": rank(views[0][:RANKED])}
        return loss, logs


def initialise(encoder: Audioformer) -> None:
    """BERT's initial weights for the language models; the codec stays."""
    for backbone in encoder.backbones:
        backbone.apply(draw)


def words_from_codec(encoder: Audioformer, std: float = 0.02) -> None:
    """Gives every code a word that lies as its vector does in the codec: near codes begin as near words.

    Where words are summed, all codebooks are turned and scaled alike: a frame begins as what its codes stand for.
    """
    turn, scale = torch.empty(0), torch.empty(0)
    for number, codebook in enumerate(encoder.codec.quantizer.codebooks):
        backbone = encoder.backbone(number)
        vectors = codebook.embed - codebook.embed.mean(0)
        if number == 0 or encoder.config.layout != "summed":
            turn = nn.init.orthogonal_(torch.empty(vectors.shape[1], encoder.config.width, device=vectors.device))
            scale = std / (vectors @ turn).std()
        first = encoder.rows(number)
        with torch.no_grad():
            backbone.embeddings.word_embeddings.weight[first : first + len(vectors)] = vectors @ turn * scale


def keys(config: Config) -> dict[str, Key]:
    """The keys of a recipe's ``objective`` section."""
    return keywords(build, AudioformerObjective)


def build(
    encoder: Audioformer,
    *,
    codec: str | None = None,
    words: Literal["random", "codec"] = "random",
    start: str | None = None,
    **options: Any,
) -> AudioformerObjective:
    """An objective from a recipe's ``objective`` section.

    Args:
        codec: the trained codec's name or file.
        words: "codec" for word embeddings that begin as the codec's vectors.
        start: the folder of a run of stage one to go on from.
        options: as of ``AudioformerObjective``.
    """
    if words not in ("random", "codec"):
        raise ValueError(f'objective.words={words!r}: choose "random" or "codec"')
    if codec is not None and not encoder.codec.scale.is_meta:  # costs are counted without it
        encoder.adopt(*load(codec))
    if words == "codec":
        if not encoder.config.codec_hash and not encoder.codec.scale.is_meta:
            raise ValueError("words=codec needs a trained codec: name one, objective.codec=melrvq-16k")
        words_from_codec(encoder)
    objective = AudioformerObjective(encoder, **options)
    if start is not None:
        _go_on(objective, Path(start))
    return objective


def _go_on(objective: AudioformerObjective, run: Path) -> None:
    """Takes encoder and heads from the newest checkpoint of a run of stage one."""
    newest = checkpoints.latest(run)
    if newest is None:
        raise ValueError(f"objective.start={run}: no checkpoint there")
    saved = torch.load(newest, map_location="cpu", weights_only=True)["model"]
    state = {name.removeprefix("_orig_mod."): tensor for name, tensor in saved.items()}
    frozen, objective.frozen = objective.frozen, None
    objective.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("frozen.")})
    if frozen is not None:
        objective.begin_contrast()
