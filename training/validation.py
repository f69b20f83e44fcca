"""The validation score of a classifier in training: mean average precision on a labelled set's fixed mixtures."""

from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric

from evaluation.scoring.scores import mean_precision

from .data.labelled_set import Valid

PART = 50  # mixtures at a time


class MeanPrecision:
    """Mean average precision over the classes that the mixtures have, in the run's own precision.

    Args:
        objective: a classifier.
        valid: the mixtures.
        fabric: of the run.
    """

    def __init__(self, objective: Any, valid: Valid, fabric: Fabric) -> None:
        self.objective, self.valid, self.fabric = objective, valid, fabric

    def __call__(self) -> dict[str, float]:
        device, logits = self.fabric.device, []
        self.objective.eval()
        with torch.no_grad(), self.fabric.autocast():
            for start in range(0, len(self.valid.audio), PART):
                audio = torch.from_numpy(self.valid.audio[start : start + PART]).to(device).float() / 32768
                logits.append(self.objective.logits(audio, [audio.shape[1]] * len(audio)).float().cpu().numpy())
        self.objective.train()
        columns = {"truth": self.valid.targets, "predicted": np.concatenate(logits)}
        return {"valid_map": float(mean_precision(columns, np.ones((1, len(self.valid.audio)), np.float32))[0])}
