"""What is published: an sdist that stands alone, and a page that a package index can show."""

import email
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("batch_uploader", "docs", "examples", "protos", "requirements", "tests")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "-d", folder]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, stdout=subprocess.DEVNULL)
    (archive,) = folder.iterdir()
    with tarfile.open(archive) as tar:
        yield tar


def test_the_sdist_holds_all_that_its_own_tests_need(sdist):
    held = {name.partition("/")[2] for name in sdist.getnames()}
    files = {
        str(file.relative_to(ROOT))
        for folder in OURS
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    pages = {"README.md", "README.ru.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"}
    boxes = {"Containerfile", ".dockerignore", "compose.yaml"}
    assert files | pages | boxes <= held
    assert {"Makefile", "pyproject.toml", ".importlinter", ".ci/run"} <= held
    assert not [name for name in held if name.startswith((".venv", ".git/", ".bench"))]


def test_what_a_package_index_shows_links_to_whole_addresses(sdist):
    (page,) = [name for name in sdist.getnames() if name.endswith("/PKG-INFO")]
    about = email.message_from_bytes(sdist.extractfile(page).read())
    urls = dict(line.split(", ") for line in about.get_all("Project-URL"))
    assert {"Repository", "Documentation", "Changelog", "Issues"} == urls.keys()
    links = re.findall(r"\]\((.*?)\)", about.get_payload())
    assert len(links) > 5
    assert [link for link in links if not link.startswith("https://")] == []
    ours = [link for link in links if link.startswith(urls["Repository"])]
    assert f"{urls['Repository']}/blob/main/docs/reference.md" in ours
    for link in ours:
        assert (ROOT / re.sub(r".*/(?:blob|raw)/main/|#.*", "", link)).exists()
