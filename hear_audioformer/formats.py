"""Which files are audio by their names. Listing files needs this, and no torch."""

import soundfile

EXTENSIONS = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".aifc",
    ".oga",
    ".opus",
    ".mp3",
    ".sph",
}
EXTENSIONS -= {".raw"}  # has no header, and so no rate
UNREADABLE = {  # audio and video by name that libsndfile does not read
    *(".3gp", ".aac", ".ac3", ".alac", ".amr", ".ape", ".asf", ".avi", ".awb", ".dff", ".dsf", ".dts", ".eac3", ".flv"),
    *(".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp4", ".mpc", ".mpeg", ".mpg", ".ra", ".rm", ".shn", ".spx"),
    *(".tak", ".tta", ".webm", ".wma", ".wmv", ".wv"),
} - EXTENSIONS
TARS = {".tar"}
COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst")
HEADERLESS = ".raw has no header, and so no sample rate: convert it to .wav"


def reason_to_skip(suffix: str) -> str:
    """Why a file with this suffix, in lower case, is passed over in a folder; empty if it is no matter of audio."""
    if suffix == ".raw":
        return HEADERLESS
    return (
        f"{suffix} is not a format that libsndfile reads: convert it to .flac or .wav" if suffix in UNREADABLE else ""
    )
