"""Packaging. Every run-time dependency is here for a reason; whatever only some users need is an extra."""

import re
from pathlib import Path

from setuptools import find_packages, setup

TRAIN = ["lightning>=2.4", "webdataset>=0.2.100", "tensorboard>=2.17", "pyyaml>=6.0.1"]  # Fabric; shards; logs; recipes
PARQUET = ["pyarrow>=16"]  # `embed -o NAME/` and NAME.parquet; 16 can add metadata to a file that is being written
REMOTE = ["s3fs>=2024.6", "gcsfs>=2024.6"]  # inputs behind s3:// and gs://; fsspec itself comes with torch
EXPORT = [  # `hear-audioformer export -o MODEL.onnx`: what torch's exporter imports; what the file is compared with
    "onnx>=1.19",
    "onnxscript>=0.7",
    "onnxruntime>=1.23",
]
SEARCH = ["faiss-cpu>=1.8", *PARQUET]  # `search` in more than 100 000 rows; 1.8 takes options with each query
PLOT = ["matplotlib>=3.8"]  # `hear-audioformer plot`
MAP = ["umap-learn>=0.5.6", *PLOT]  # `plot map` by UMAP; without it by PCA
DEMO = ["gradio>=6.0", *PARQUET, *PLOT]  # `hear-audioformer demo`; from 6 on `launch` takes theme and CSS
DOCS = ["mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"]  # `make docs`
CLUSTER = ["scikit-learn>=1.4", *PLOT]  # `python -m evaluation.reports.clusters`
CHECK = [  # what the tests of hear_audioformer/ alone need: .ci/versions
    "pytest>=8",
    "pytest-timeout>=2.3.1",
    "hypothesis>=6.100",
    "setuptools>=77.0.3,<82",  # torch caps it; the wheel test builds without isolation, hence without the network
    "pip>=23.1",
    *PARQUET,
]
TEST = [
    *CHECK,
    "pytest-xdist>=3.6",  # the tests on all cores
    "mypy>=1.15",
    "ruff==0.17.*",
    "torchaudio>=2.6",  # an oracle; tests that need it are skipped where it does not fit the torch that is there
    "python-slugify>=8",  # this and the next two: what HEAR's embeddings runner imports (tests/hear_tools.py)
    "intervaltree>=3.1",
    "tqdm>=4.66",
]

INIT = (Path(__file__).parent / "hear_audioformer" / "__init__.py").read_text()  # read, not imported

setup(
    name="hear_audioformer",
    version=re.findall(r'^__version__ = "(.+)"$', INIT, re.MULTILINE)[0],
    description="Audio embeddings by four self-supervised and supervised methods, through the HEAR API",
    long_description=Path("README.md").read_text(),
    long_description_content_type="text/markdown",
    author="The hear_audioformer maintainers",
    project_urls={"HEAR API": "https://hearbenchmark.com/hear-api.html"},
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["audio", "embeddings", "representation learning", "HEAR", "spectrogram transformer"],
    python_requires=">=3.10",
    classifiers=[f"Programming Language :: Python :: {version}" for version in ("3.10", "3.11", "3.12", "3.13")]
    + ["Intended Audience :: Science/Research", "Topic :: Multimedia :: Sound/Audio :: Analysis", "Typing :: Typed"],
    packages=[*find_packages(include=["hear_audioformer*"]), "hear_audioformer.bundled"],
    package_dir={"hear_audioformer.bundled": "weights"},
    package_data={
        "hear_audioformer": ["py.typed"],
        "hear_audioformer.bundled": ["*.json", "*.jsonl", "*.safetensors", "*.md", "*.png"],
    },
    install_requires=[
        "torch>=2.6",  # no upper limit: users have one already
        "numpy>=1.24",
        "einops>=0.8",  # rearrangements that say what they do
        "safetensors>=0.4.3",
        "huggingface_hub>=0.34,<3",
        "soundfile>=0.12",  # audio files
        "soxr>=0.5",  # resampling
        "click>=8.1",  # the command line; huggingface_hub brings it too
    ],
    extras_require={
        "train": TRAIN,
        "parquet": PARQUET,
        "remote": REMOTE,
        "zarr": ["zarr>=3", *PARQUET],  # `embed -o NAME.zarr`
        "ray": ["ray[data]>=2.51", *PARQUET],  # `embed --engine ray`
        "export": EXPORT,
        "search": SEARCH,
        "plot": PLOT,
        "map": MAP,
        "demo": DEMO,
        "docs": DOCS,
        "cluster": CLUSTER,
        "check": CHECK,
        "test": [*TEST, *TRAIN, *CLUSTER, *EXPORT, *SEARCH],
    },
    entry_points={"console_scripts": ["hear-audioformer = hear_audioformer.cli:main"]},
)
