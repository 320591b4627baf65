"""What the makers of archives say about their files is true: each is told of, and is as told."""

import pytest
from support.archives import MAKERS, make

from batch_uploader.core.model import AudioInfo, Defect
from batch_uploader.prepare.audio import AudioRules, probe

TAKEN = {".wav", ".mp3", ".ogg", ".opus", ".webm", ".gsm", ".ulaw"}


@pytest.fixture(scope="module", params=MAKERS)
def made(request, tmp_path_factory):
    return make(request.param, tmp_path_factory.mktemp(request.param))


def heard(made, path):
    with (made.root / path).open("rb") as file:
        size = (made.root / path).stat().st_size
        return probe(file, path, size, AudioRules())


def files_of(made, paths):
    return [file for path in paths for file in made.legs.get(path, [path])]


def test_each_recording_is_told_of_once(made):
    files = {p.relative_to(made.root).as_posix() for p in made.root.rglob("*") if p.is_file()}
    legs = [leg for two in made.legs.values() for leg in two]
    told = [*made.talks, *made.defects, *made.undescribed, *legs]
    assert len(told) == len(set(told))
    assert set(told) - (made.legs.keys() - files) == {
        path for path in files if path[path.rfind(".") :].lower() in TAKEN
    }
    assert made.passed_over <= files
    assert len(made.talks) >= 160


def test_what_should_go_up_is_sound_that_the_service_takes(made):
    for path in files_of(made, [*made.talks, *made.undescribed]):
        assert isinstance(heard(made, path), AudioInfo), path


def test_what_is_a_defect_is_the_defect_that_is_told(made):
    for path, kind in made.defects.items():
        found = heard(made, path)
        assert isinstance(found, Defect), path
        assert found.kind == kind, path


def test_no_two_recordings_are_the_same_call(made):
    contents = [(made.root / path).read_bytes() for path in files_of(made, made.talks)]
    assert len(set(contents)) == len(contents)


def test_every_talk_has_all_the_fields_of_a_connection(made):
    wanted = {
        "operator_id",
        "operator_name",
        "client_id",
        "client_name",
        "date",
        "direction_outgoing",
        "language",
    }
    for path, fields in (made.talks | made.converted).items():
        assert set(fields) == wanted, path
        assert all(fields.values()), path
