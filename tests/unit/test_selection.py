"""Which files matter, by their names."""

import unicodedata

import pytest

from batch_uploader.sources.selection import FileKind, Selection, literal, matches


@pytest.mark.parametrize("ending", ["[", "*", "?", "[a-", "]", "[!x]", "x y", "\\", "[*?"])
def test_a_literal_matches_itself_alone(ending):
    """Fault 101: no ending in a manifest makes a pattern that cannot be read."""
    selection = Selection([f"*.{literal(ending)}"])
    assert selection.kind(f"a/b.{ending}") is FileKind.AUDIO
    assert selection.kind("a/b.xyz") is FileKind.OTHER


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["NFC", "NFD"])
@pytest.mark.parametrize("pattern", ["Звонок й*.wav", "звонок ?.WAV", "папка й", "*[йё].wav"])
def test_a_pattern_fits_a_name_whatever_the_composition_of_either_fault_40(typed, named, pattern):
    """A recording that was excluded in one form must not be sent in the other."""
    pattern = unicodedata.normalize(typed, pattern)
    path = unicodedata.normalize(named, "папка й/Звонок й.wav")
    assert Selection(exclude=[pattern]).kind(path.rpartition("/")[0]).name.startswith("EXCL") or (
        Selection(exclude=[pattern]).kind(path) is FileKind.EXCLUDED_AUDIO
    )
    assert matches([pattern])(path)


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("*.mp3", ["a.mp3", "x/y/A.MP3"], ["a.wav", "a.mp3x"]),
        ("2025/*.wav", ["2025/a.wav"], ["2025/01/a.wav", "x/2025/a.wav", "2025.wav"]),
        ("2025/**", ["2025/a.wav", "2025/01/a.wav"], ["2024/a.wav"]),
        ("0?", ["01/a.wav", "x/02/y/a.wav"], ["011/a.wav", "a/0.wav"]),
        ("2025/0[12]/", ["2025/01/a.wav", "2025/02/x/b.wav"], ["2025/03/a.wav"]),
    ],
)
def test_a_pattern_fits_files_and_all_below_a_folder(pattern, fitting, others):
    fits = matches([pattern])
    assert list(map(fits, fitting)) == [True] * len(fitting)
    assert not any(map(fits, others))
    assert all(map(matches(["none", pattern]), fitting))
    assert not any(map(matches([]), fitting))
