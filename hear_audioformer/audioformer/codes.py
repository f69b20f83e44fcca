"""The codes of one clip that comes in blocks.

Codes of whole clips are computed in blocks at fixed positions (``Codec.forward``), each with the context before it. A
live stream cannot wait for the end of a block. It encodes what has come each time that a window needs more, with the
same context; of a codec with an LSTM, it encodes the block from its beginning again. A code depends on no sample behind
``Config.ahead`` frames, but for the first of a clip, whose convolutions see the clip's beginning reflected. They see
far less than a window. So a stream finds the codes of the clip, but for rounding, which may turn a tie.
"""

import torch
from torch import Tensor

from ..codec import Codec
from ..feature_stream import FeatureStream


class CodeStream(FeatureStream):
    """Codes of the first ``codebooks`` codebooks, (1, frames, codebooks), int32.

    With ``whole``, blocks are encoded when they are complete, exactly as those of a whole clip.
    """

    def __init__(self, codec: Codec, codebooks: int, *, whole: bool) -> None:
        super().__init__(self._slice, codec.count, codec.hop, (0, codec.reach))
        self.codec, self.codebooks, self.whole = codec, codebooks, whole
        self.codes = torch.zeros(1, 0, codebooks, dtype=torch.int32, device=codec.scale.device)
        self.first = 0  # the frame of the first code that is held

    @property
    def ready(self) -> int:
        frames = super().ready
        return frames // self.codec.block_frames * self.codec.block_frames if self.whole and not self.ended else frames

    def __call__(self, start: int, stop: int) -> Tensor:
        while (known := self.first + self.codes.shape[1]) < stop:
            first = self._first(known)
            last = min(known - known % self.codec.block_frames + self.codec.block_frames, self.ready)
            before = min(first, self.codec.context_frames)
            part = self.tail.part((first - before) * self.step, (last + self.codec.config.ahead) * self.step)
            codes = self.codec.block(part, before, last - first, self.codebooks).mT.int()
            self.codes = torch.cat([self.codes, codes[:, known - first :]], dim=1)
        return self.codes[:, start - self.first : stop - self.first]

    def drop(self, start: int) -> None:
        known = self.first + self.codes.shape[1]
        kept = min(max(start, self.first), known)
        self.codes, self.first = self.codes[:, kept - self.first :].clone(), kept
        first = self._first(known)
        self.tail.drop((first - min(first, self.codec.context_frames)) * self.step)

    def _first(self, known: int) -> int:
        """The frame from which on codes are computed when so many are known."""
        if self.whole or self.codec.config.lstm:  # an LSTM remembers all of its block
            return known // self.codec.block_frames * self.codec.block_frames
        return known

    def _slice(self, audio: Tensor, start: int, stop: int, context: Tensor | None) -> Tensor:
        raise NotImplementedError  # codes are held, and computed of no part by itself
