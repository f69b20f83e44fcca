"""Tasks from tables and from well-known data sets as they are unpacked."""

from pathlib import Path

import pytest

from evaluation.tasks.tasks import Task, TaskError
from tests.evaluation.toy import beeps, tones
from training.data.manifests import fingerprint, open_task


def tree(folder: Path, files: dict[str, str]) -> Path:
    """Files by path."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def table(folder: Path, *rows: str, name: str = "manifest.csv", head: str = "path,label,split") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([head, *rows]) + "\n")
    return folder


def told(task: Task) -> list[tuple[str, str, list[str], str]]:
    return [(i.split, i.file, [task.vocabulary[label] for label in i.labels], i.group) for i in task.items]


def test_a_table_is_a_task(tmp_path: Path) -> None:
    table(tmp_path, "a.wav,dog;cat,train,one", "b.wav,,train,", "c.flac,cat,test,two", head="path,label,split,group")
    task = open_task(tmp_path, "", "x")
    assert told(task) == [
        ("test", "c.flac", ["cat"], "two"),
        ("train", "a.wav", ["dog", "cat"], "one"),
        ("train", "b.wav", [], "b.wav"),
    ]
    assert (task.vocabulary, task.multilabel, task.score) == (("cat", "dog"), True, "mean_precision")
    assert task.audio(task.items[0], 16000) == tmp_path / "c.flac"
    assert len(task.folds) == 1
    assert open_task(tmp_path / "manifest.csv", "", "x").items == task.items


def test_other_splits_are_folds(tmp_path: Path) -> None:
    table(tmp_path, *(f"{fold}.wav,cat,{fold}" for fold in "abc"))
    task = open_task(tmp_path, "", "x")
    first = task.folds[0]
    assert (first.test, first.valid, first.train) == ("a", "b", ("c",))
    assert (task.multilabel, task.score) == (False, "accuracy")


def test_hear_tasks_are_known_by_themselves(tmp_path: Path) -> None:
    task = open_task(tones(tmp_path / "tasks"), "esc50", "x")
    assert task.name == "tones"
    with pytest.raises(TaskError, match="beeps asks for events in time"):
        open_task(beeps(tmp_path / "tasks"), "", "x")


def test_esc50(tmp_path: Path) -> None:
    head = "filename,fold,target,category,esc10,src_file,take"
    rows = [f"{fold}-1-A-0.wav,{fold},0,dog,True,10{fold},A" for fold in range(1, 6)]
    table(tmp_path / "meta", *rows, name="esc50.csv", head=head)
    task = open_task(tmp_path, "esc50", "esc50")
    assert told(task)[0] == ("fold1", "audio/1-1-A-0.wav", ["dog"], "101")
    assert len(task.folds) == 5
    assert task.name == "esc50"


def test_speech_commands(tmp_path: Path) -> None:
    files = {f"{word}/{speaker}_nohash_{n}.wav": "" for word in ("yes", "no") for speaker in "ab" for n in "01"}
    files |= {"validation_list.txt": "yes/a_nohash_0.wav\n", "testing_list.txt": "no/b_nohash_1.wav\n"}
    task = open_task(tree(tmp_path, files | {"_background_noise_/hum.wav": ""}), "speech-commands", "sc")
    assert task.vocabulary == ("no", "yes")
    assert [row for row in told(task) if row[0] != "train"] == [
        ("test", "no/b_nohash_1.wav", ["no"], "b"),
        ("valid", "yes/a_nohash_0.wav", ["yes"], "a"),
    ]
    assert len(task.items) == 8


def test_voxceleb(tmp_path: Path) -> None:
    (tmp_path / "iden_split.txt").write_text("1 id1/v1/00001.wav\n2 id1/v2/00001.wav\n3 id2/v3/00002.wav\n")
    assert told(open_task(tmp_path, "voxceleb", "sid")) == [
        ("test", "wav/id2/v3/00002.wav", ["id2"], "id2/v3"),
        ("train", "wav/id1/v1/00001.wav", ["id1"], "id1/v1"),
        ("valid", "wav/id1/v2/00001.wav", ["id1"], "id1/v2"),
    ]


def test_audioset(tmp_path: Path) -> None:
    """Clips are found under the names that copies of it use, and left out where they are gone."""
    head = "# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=2\n# YTID, start_seconds, end_seconds\n"
    balanced = '--aaa, 30.000, 40.000, "/m/1,/m/2"\nbbb, 0.000, 10.000, "/m/1"\ngone, 0.000, 10.000, "/m/3"\n'
    files = {"balanced_train_segments.csv": head + balanced}
    files["eval_segments.csv"] = head + 'ccc, 1.500, 11.500, "/m/2"\n'
    files |= {"audio/x/Y--aaa.flac": "", "audio/bbb_0.wav": "", "audio/ccc_1500.m4a": ""}
    task = open_task(tree(tmp_path, files), "audioset-20k", "as")
    assert told(task) == [
        ("test", "audio/ccc_1500.m4a", ["/m/2"], "ccc"),
        ("train", "audio/bbb_0.wav", ["/m/1"], "bbb"),
        ("train", "audio/x/Y--aaa.flac", ["/m/1", "/m/2"], "--aaa"),
    ]
    assert task.multilabel


def test_vggsound(tmp_path: Path) -> None:
    """A comma is part of a class's name; clips are named after video and start, with zeros or without."""
    lines = 'aaa,1,"playing violin, fiddle",train\n-b,30,dog barking,test\ngone,0,dog barking,train\n'
    files = {"vggsound.csv": lines, "audio/aaa_000001.flac": "", "audio/test/-b_30.wav": ""}
    task = open_task(tree(tmp_path, files), "vggsound", "v")
    assert told(task) == [
        ("test", "audio/test/-b_30.wav", ["dog barking"], "-b"),
        ("train", "audio/aaa_000001.flac", ["playing violin, fiddle"], "aaa"),
    ]
    assert not task.multilabel


def test_epic_kitchens(tmp_path: Path) -> None:
    """An action is a verb with a noun; segments of one video are a group."""
    head = "narration_id,participant_id,video_id,narration,verb,verb_class,noun,noun_class\n"
    files = {
        "EPIC_100_train.csv": head + "P01_01_0,P01,P01_01,open door,open,3,door,8\nP01_01_1,P01,P01_01,x,x,1,x,1\n"
    }
    files["EPIC_100_validation.csv"] = head + "P02_03_4,P02,P02_03,close door,close,4,door,8\n"
    files |= {"audio/P01_01_0.wav": "", "audio/P02/P02_03_4.flac": ""}
    assert told(open_task(tree(tmp_path, files), "epic-kitchens", "e")) == [
        ("test", "audio/P02/P02_03_4.flac", ["4-8"], "P02_03"),
        ("train", "audio/P01_01_0.wav", ["3-8"], "P01_01"),
    ]


def test_the_fingerprint_is_of_all_that_is_told(tmp_path: Path) -> None:
    rows = ["a.wav,cat,train", "b.wav,dog,test"]
    prints = {
        fingerprint(open_task(table(tmp_path / str(i), *lines), "", "x"))
        for i, lines in enumerate([rows, rows, ["a.wav,dog,train", rows[1]], [rows[0], "c.wav,dog,test"]])
    }
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        (("a.wav,cat",), "path,label", "has no column split"),
        (("a.wav,cat,train",), "path,label,split", "splits are train; use train, test"),
        (("a.wav,c,train", "b.wav,c,test", "d.wav,c,fold1"), "path,label,split", "splits are fold1, test, train"),
        (("a.wav,c,train", "a.wav,c,test"), "path,label,split", "a.wav is listed twice"),
        (("a.wav,c,",), "path,label,split", "line 2: a clip needs a path and a split"),
        ((), "path,label,split", "holds no clips"),
    ],
)
def test_a_senseless_table_is_refused(tmp_path: Path, rows: tuple[str, ...], head: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        open_task(table(tmp_path, *rows, head=head), "", "x")


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"is not the folder of esc50: .*esc50\.csv is missing"):
        open_task(tmp_path, "esc50", "x")
    with pytest.raises(TaskError, match=r"holds neither manifest\.csv nor .* layout=esc50 or speech-commands"):
        open_task(tmp_path, "nonsense", "x")
    with pytest.raises(TaskError, match="there is no"):
        open_task(tmp_path / "nowhere", "", "x")
