"""What makes ``transformers.AutoModel.from_pretrained(repo, trust_remote_code=True)`` work: two small files.

transformers reads ``config.json``, finds the file and the class under ``auto_map``, and imports them. All they do is
import ``hear_audioformer.adapters.transformers``.
"""

import json

from .. import __version__

CODE = "modeling_hear_audioformer.py"
MODULE = '''"""How transformers reads this repository: by the Python package hear_audioformer, to be installed."""

from hear_audioformer.adapters.transformers import HearAudioformerConfig, HearAudioformerModel

__all__ = ["HearAudioformerConfig", "HearAudioformerModel"]
'''


def config(weight_file: str, method: str) -> str:
    """``config.json`` of a repository."""
    stem = CODE.removesuffix(".py")
    fields = {
        "model_type": "hear_audioformer",
        "architectures": ["HearAudioformerModel"],
        "auto_map": {"AutoConfig": f"{stem}.HearAudioformerConfig", "AutoModel": f"{stem}.HearAudioformerModel"},
        "weight_file": weight_file,
        "method": method,
        "hear_audioformer_version": __version__,
    }
    return json.dumps(fields, indent=2) + "\n"
