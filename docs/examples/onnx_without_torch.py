"""Embeds recordings with ONNX Runtime alone: no torch, nothing of hear_audioformer.

pip install onnxruntime soundfile soxr
hear-audioformer export msm-mae-tiny -o model.onnx        # once, anywhere
python onnx_without_torch.py model.onnx a.wav b.flac
"""

import sys

import numpy as np
import onnxruntime
import soundfile
import soxr


def main(model: str, *paths: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    print(f"{facts['model']}: {facts['output']}, {facts['embedding_size']} values, {facts['sample_rate']} Hz")
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = soxr.resample(samples.mean(1), rate, int(facts["sample_rate"]))
        outputs = session.run(None, {"audio": mono[None].astype(np.float32)})
        print(path, outputs[0].shape, outputs[0].ravel()[:4].round(4))
        if facts["output"] == "timestamps":
            print("centres in ms:", outputs[1].ravel()[:4], "...")


if __name__ == "__main__":
    main(*sys.argv[1:])
