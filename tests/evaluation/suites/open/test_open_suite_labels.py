"""What the paths of real packages, and the tables of sample banks, tell of their recordings."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpora import steps
from evaluation.suites.open import asterisk, banks, effects, languages, signals, speakers, strokes
from evaluation.suites.open.recordings import Library
from tests.corpora import archive
from tests.evaluation.trees import Tree, recording

STAMPS, STAMP = "tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/animals"
PROMPTS = "usr/share/asterisk/sounds"


@pytest.mark.parametrize(
    ("package", "path", "code"),
    [
        (STAMPS, f"{STAMP}/frog-1_desc_be.ogg", "be"),
        (STAMPS, f"{STAMP}/frog-1_desc_en_GB.ogg", "en"),
        (STAMPS, f"{STAMP}/frog-1_desc.ogg", "en"),
        (STAMPS, f"{STAMP}/frog-1.ogg", ""),
        (STAMPS, f"{STAMP}/yam_desc_pt_BR.wav", "pt_BR"),
        ("klettres-data", "usr/share/klettres/en_GB/alpha/a-01.ogg", "en"),
        ("klettres-data", "usr/share/klettres/uk/syllab/zhy.ogg", "uk"),
        ("ktuberling-data", "usr/share/ktuberling/sounds/fr/egypte_chameau.wav", "fr"),
        ("ktuberling-data", "usr/share/ktuberling/pics/a.ogg", ""),
        ("qabcs-data", "usr/share/qabcs/abcs/be/sounds/alpha/k.ogg", "be"),
        ("asterisk-core-sounds-ru", f"{PROMPTS}/ru_RU_f_IvrvoiceRU/digits/1.g722", "ru"),
        ("asterisk-prompt-it-menardi", f"{PROMPTS}/it_IT_f_Menardi/vm.wav", "it"),
        ("asterisk-prompt-es-co", f"{PROMPTS}/es/vm.gsm", "es"),
    ],
)
def test_languages(package: str, path: str, code: str) -> None:
    assert languages.language(recording(package, path)) == code


def test_one_voice_reads_english_and_spanish_prompts() -> None:
    names = {
        package: asterisk.voice(recording(package, f"{PROMPTS}/{folder}/digits/1.g722"))
        for package, folder in (
            ("asterisk-core-sounds-en", "en_US_f_Allison"),
            ("asterisk-core-sounds-es", "es_MX_f_Allison"),
            ("asterisk-core-sounds-fr", "fr_CA_f_June"),
            ("asterisk-prompt-fr-armelle", "fr"),
            ("asterisk-prompt-es-co", "es"),
            ("asterisk-prompt-it-menardi", "it_IT_f_Menardi"),
        )
    }
    assert list(names.values()) == ["allison", "allison", "june", "fr-armelle", "es-co", "menardi"]


def test_speakers_and_their_words() -> None:
    def voice_and_word(package: str, path: str) -> tuple[str, str] | None:
        return speakers.voice_and_word(recording(package, path))

    assert voice_and_word("kajongg", "usr/share/kajongg/voices/de/female1/b1.ogg") == ("de-female1", "b1")
    assert voice_and_word("kajongg", "usr/share/kajongg/voices/male2/pong.ogg") == ("male2", "pong")
    hedgehogs = "usr/share/games/hedgewars/Data"
    assert voice_and_word("hedgewars-data", f"{hedgehogs}/Sounds/voices/Pirate/Ooff12.ogg") == ("Pirate", "ooff")
    assert voice_and_word("hedgewars-data", f"{hedgehogs}/Music/Art.ogg") is None


@pytest.mark.parametrize(
    ("package", "path", "drum"),
    [
        ("hydrogen-data", "usr/share/hydrogen/data/drumkits/GMRockKit/HatSemiOpen-Soft.wav", "hihat-open"),
        ("hydrogen-data", "usr/share/hydrogen/data/drumkits/GMRockKit/HatPedal-Soft.wav", "hihat-closed"),
        ("hydrogen-data", "usr/share/hydrogen/data/drumkits/GMRockKit/SideStick-Hard.wav", "rim"),
        ("hydrogen-data", "usr/share/hydrogen/data/drumkits/GMRockKit/Cowbell-Hard.wav", ""),
        ("hydrogen-data", "usr/share/hydrogen/data/click.wav", ""),
        ("hydrogen-drumkits", "usr/share/hydrogen/data/drumkits/BJA_Pacific/TM2_3.wav", "tom"),
        ("hydrogen-drumkits", "usr/share/hydrogen/data/drumkits/BJA_Pacific/XX2_3.wav", ""),
        ("hydrogen-drumkits", "usr/share/hydrogen/data/drumkits/circAfrique v4/Djembe2 Tone.wav", "hand-drum"),
        ("lmms-common", "usr/share/lmms/samples/drums/bassdrum04.ogg", "kick"),
        ("lmms-common", "usr/share/lmms/samples/basses/kick.ogg", ""),
        ("sonic-pi-samples", "usr/share/sonic-pi/samples/bd_zome.flac", "kick"),
        ("sonic-pi-samples", "usr/share/sonic-pi/samples/loop_snare.flac", ""),
        ("exadrums", "usr/share/exadrums/Snr_Acou_01.wav", "snare"),
        ("chuck-data", "usr/share/doc/chuck-data/examples/data/hihat-open.wav", "hihat-open"),
    ],
)
def test_drums(package: str, path: str, drum: str) -> None:
    stroke = recording(package, path)
    kit = strokes.kit_of(stroke)
    assert (strokes.drum(kit, stroke.stem) if kit else "") == drum


@pytest.mark.parametrize(
    ("package", "path", "kind"),
    [
        ("qabcs-data", "usr/share/qabcs/abcs/all/noises/accordion.ogg", "instrument"),
        ("qabcs-data", "usr/share/qabcs/abcs/en/sounds/words/accordion.ogg", ""),
        ("qabcs-data", "usr/share/qabcs/abcs/all/noises/door.ogg", ""),
        (STAMPS, f"{STAMP}/frog.ogg", "animal"),
        (STAMPS, f"{STAMP}/frog_desc_be.ogg", ""),
        (STAMPS, "usr/share/tuxpaint/stamps/hobbies/music/drum.ogg", "instrument"),
        ("scratch", "usr/share/scratch/Media/Sounds/Human/Laugh-male1.mp3", "vocal"),
        ("scratch", "usr/share/scratch/Media/Sounds/Human/Footsteps-1.mp3", "footstep"),
        ("minetest-data", "usr/share/games/minetest/sounds/doors_door_close.ogg", "door"),
        ("oxygen-sounds", "usr/share/sounds/Oxygen-Im-Sms.ogg", "interface"),
        ("openarena-data", "usr/share/games/openarena/baseoa/pak!sound/weapons/bfg.wav", "weapon"),
        ("wesnoth-1.16-data", "usr/share/games/wesnoth/1.16/data/core/sounds/orc-die-2.ogg", "vocal"),
        ("wesnoth-1.16-data", "usr/share/games/wesnoth/1.16/data/core/sounds/wind.ogg", ""),
    ],
)
def test_effects(package: str, path: str, kind: str) -> None:
    assert effects.kind(recording(package, path)) == kind
    assert effects.kind(recording(package, path, seconds=21.0)) == ""


def test_a_recording_in_two_packages_counts_in_the_first_and_keys_forget_the_coding(tmp_path: Path) -> None:
    for step, names in (("asterisk-core-sounds-en-wav", ["a.wav", "b.wav"]), ("kajongg", ["c.ogg"])):
        tree = Tree(step, [(name, 0.3, {}) for name in names])
        steps.make(_Same(tree), tmp_path, "flac")
    recordings = list(Library(tmp_path).of("kajongg", "asterisk-core-sounds-en"))
    assert [item.key for item in recordings] == ["kajongg/c.ogg", "asterisk-core-sounds-en/b"]
    assert recordings[1].samples().shape == (4800,)
    assert len({item.name for item in recordings}) == 2


class _Same:
    """A package of which all recordings but b.wav are the same."""

    def __init__(self, tree: Tree) -> None:
        self.tree, self.step, self.provenance = tree, tree.step, tree.provenance

    def recordings(self, work: Path) -> object:
        for source_recording in self.tree.recordings(work):
            if source_recording.path != "b.wav":
                soundfile.write(source_recording.file, archive.sound(0, 0.3), 16000)
            yield source_recording


def test_a_soundfonts_tables_tell_notes_and_families() -> None:
    samples = [("left", 60, 0), ("tuned", 60, 0), ("right", 60, 2), ("two", 60, 0), ("drum", 36, 0), ("flat", 60, 0)]
    data = _soundfont(
        samples,
        # instruments: zones of (generators), each leading to a sample
        [[{58: 64, 53: 0}], [{51: 65536 - 12}, {53: 1}], [{53: 3}], [{53: 4}], [{56: 50, 53: 5}]],
        # presets: (program, bank, instrument)
        [(0, 0, 0), (9, 0, 1), (24, 0, 2), (32, 0, 2), (0, 128, 3), (56, 0, 4), (1, 8, 0)],
    )
    notes = {note.name: note for note in banks.soundfont("a.sf2", data)}
    assert list(notes) == ["0000_left.wav", "0001_tuned.wav", "0003_two.wav", "0004_drum.wav", "0005_flat.wav"]
    labels = {name[5:-4]: note.labels for name, note in notes.items()}
    assert labels["left"] == {"family": "piano", "preset": "000:000", "pitch": "64"}
    assert labels["tuned"] == {"family": "chromatic-percussion", "preset": "000:009", "pitch": "72"}
    assert labels["two"] == labels["drum"] == labels["flat"] == {}
    assert len(notes["0000_left.wav"].pcm) == 1.5 * 8000  # its loop is repeated


def test_a_patchs_header_tells_notes_and_families() -> None:
    path = "usr/share/midi/freepats/Tone_000/056_Trumpet.pat"
    [note] = banks.patch(path, _patch(440_000, modes=1 | 4))
    assert note.labels == {"family": "brass", "preset": "056", "pitch": "69"}
    assert len(note.pcm) == 1.5 * 8000
    assert np.array_equal(note.pcm[100:300], note.pcm[300:500])  # the loop
    [between] = banks.patch(path, _patch(453_000, modes=1))
    assert between.labels == {"family": "brass", "preset": "056"}
    assert len(between.pcm) == 400
    [drum] = banks.patch("usr/share/midi/freepats/Drum_000/035_Kick.pat", _patch(440_000, modes=1))
    assert drum.labels == {}
    assert list(banks.patch(path, b"RIFF")) == []


def test_a_bank_is_a_source_whose_samples_have_labels(tmp_path: Path) -> None:
    files = {
        "usr/share/midi/freepats/Tone_000/056_Trumpet.pat": _patch(440_000, modes=1),
        "usr/share/doc/freepats/copyright": b"CC0",
    }
    mirror = archive.mirror(tmp_path / "mirror", {"freepats": archive.deb(files)})
    result = steps.make(banks.Bank("freepats", mirror=str(mirror), suite="bookworm"), tmp_path, "flac")
    assert [(row.package, row.labels["pitch"]) for row in result.rows] == [("freepats", "69")]
    [sample] = Library(tmp_path).of("freepats")
    assert sample.path.endswith("056_Trumpet.pat!000.wav")


def test_loops_of_no_use_are_left_alone() -> None:
    pcm = np.arange(1000, dtype=np.int16)
    for loop, end in ((0, 500), (500, 510), (500, 1001), (600, 500)):
        assert banks.sustained(pcm, 8000, loop, end) is pcm
    long = np.arange(20000, dtype=np.int16)
    assert banks.sustained(long, 8000, 100, 500) is long


def test_clips_peak_at_3_db_below_full_scale() -> None:
    assert np.abs(signals.normalised(0.01 * archive.sound(1).astype(np.float32))).max() == 23197
    assert not signals.normalised(np.zeros(9)).any()


def test_nothing_is_left_above_3800_hz_and_nothing_lost_below_3500() -> None:
    times = np.arange(16000) / 16000
    for frequency, gain in ((200, 1.0), (3450, 1.0), (3850, 0.0), (6000, 0.0)):
        wave = np.sin(2 * np.pi * frequency * times).astype(np.float32)
        passed = signals.low_passed(wave)[2000:-2000]
        assert signals.rms(passed) == pytest.approx(gain * signals.rms(wave[2000:-2000]), abs=2e-3)


def test_draws_are_the_same_on_every_machine() -> None:
    assert signals.number("a", 1) == 16088270529115459560
    assert signals.generator("a").randint(10**9) == 903345717
    keys = [str(key) for key in range(4000)]
    assert 350 < sum(map(signals.tenth, keys)) < 450
    few, more = signals.drawn(keys, 50, "x"), signals.drawn(keys, 60, "x")
    assert (len(few), len(more)) == (50, 60)
    assert few < more
    assert signals.drawn(keys, 50, "y") != few


def _patch(root: int, modes: int) -> bytes:
    """A patch with one 16-bit sample of 400 values at 8 kHz, whose loop is samples 100 to 300."""
    sample = np.random.RandomState(0).randint(-9999, 9999, 400).astype("<i2").tobytes()
    header = struct.pack("<7sBIIIHIII", b"wave", 0, len(sample), 200, 600, 8000, 0, 0, root)
    head = b"GF1PATC".ljust(239, b"\0")
    return head + header.ljust(55, b"\0") + bytes([modes]) + bytes(40) + sample


def _soundfont(
    samples: list[tuple[str, int, int]], instruments: list[list[dict[int, int]]], presets: list[tuple[int, int, int]]
) -> bytes:
    """A bank of samples (name, root key, kind) of 400 values at 8 kHz, all with a loop."""
    memory = np.random.RandomState(0).randint(-9999, 9999, 400 * len(samples)).astype("<i2").tobytes()
    shdr = b"".join(
        struct.pack(
            "<20sIIIIIBbHH",
            name.encode(),
            400 * n,
            400 * n + 400,
            400 * n + 100,
            400 * n + 300,
            8000,
            root,
            0,
            0,
            kind or 1,
        )
        for n, (name, root, kind) in enumerate(samples)
    ) + bytes(46)
    inst, ibag, igen = _list([("", zones) for zones in instruments], "<20sH", lambda start, _: (b"", start))
    phdr, pbag, pgen = _list(
        [((program, bank), [{41: instrument}]) for program, bank, instrument in presets],
        "<20sHHHIII",
        lambda start, setting: (b"", *(setting or (0, 0)), start, 0, 0, 0),
    )
    body = b"sfbk" + _riff(b"LIST", b"sdta" + _riff(b"smpl", memory))
    tables = {b"phdr": phdr, b"pbag": pbag, b"pgen": pgen, b"inst": inst, b"ibag": ibag, b"igen": igen, b"shdr": shdr}
    body += _riff(b"LIST", b"pdta" + b"".join(_riff(name, table) for name, table in tables.items()))
    return _riff(b"RIFF", body)


def _list(entries: list, form: str, row: object) -> tuple[bytes, bytes, bytes]:
    """A list of the format, its zones and their generators, each with its closing entry."""
    heads, bags, generators = b"", b"", b""
    zones, settings = 0, 0
    for setting, own in entries:
        heads += struct.pack(form, *row(zones, setting))
        for zone in own:
            bags += struct.pack("<HH", settings, 0)
            generators += b"".join(struct.pack("<HH", *item) for item in zone.items())
            zones, settings = zones + 1, settings + len(zone)
    return heads + struct.pack(form, *row(zones, None)), bags + struct.pack("<HH", settings, 0), generators + bytes(4)


def _riff(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
