import numpy as np
import torch


def _all(model, open_blocks, progress):
    clip = torch.from_numpy(np.concatenate(list(open_blocks())))
    if progress:
        progress(len(clip))
    return clip


def scene_of(model, open_blocks, progress=None):
    return model.scene(_all(model, open_blocks, progress)[None])[0]


def timestamps_of(model, open_blocks, progress=None):
    f, t = model.timestamps(_all(model, open_blocks, progress)[None])
    for i in range(0, f.shape[1], 100):
        yield t[0, i : i + 100], f[0, i : i + 100]
