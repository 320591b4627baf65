"""The pages in Russian say what the English ones do: commands, flags, numbers, headings."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs"))
from translation import Translation  # noqa: E402 - beside the pages, not installed

TABLE = ROOT / "docs/ru/reference.toml"
RUSSIAN = [*ROOT.glob("README.ru.md"), *sorted(ROOT.glob("docs/ru/*.md"))]
PAIRS = {page.parents[page.parent != ROOT] / page.name.replace(".ru", ""): page for page in RUSSIAN}
LINKS = re.compile(r"\]\(([^)\s]+)\)")
LANGUAGE = re.compile(r"^\[(?:По-русски|In English)\]\((.*)\)\n\n", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def facts(text):
    """What is the same in every language: code, flags, numbers, and names in capitals."""
    text = LINKS.sub("]", text)
    numbers = re.sub(r"(?<=\d)[,\u00a0](?=\d{3}\b)", "", text)
    return {
        *(" ".join(each.split()) for each in re.findall(r"`([^`]+)`", text)),
        *re.findall(r"(?<![\w-])--[a-z][\w-]+", text),
        *re.findall(r"\d+", numbers),
        *re.findall(r"\b([A-Z][A-Z_]{2,})s?\b", text),
    }


def outline(page):
    """The page without its link to the other language, in blocks: (kind, text)."""
    text = LANGUAGE.sub("", page.read_text("utf-8"), count=1)
    text = FENCE.sub(lambda found: f"```{found[1]}\n", text)
    blocks = []
    for line in text.splitlines():
        mark = re.match(r"#+ |\||- | *\d+\. | +- |```", line)
        if mark or not line or not blocks or blocks[-1][0] in {"", "|"}:
            blocks.append((mark[0] if mark else line and "text", line))
        else:
            blocks[-1] = (blocks[-1][0], f"{blocks[-1][1]}\n{line}")
    return [block for block in blocks if block[0]]


def code(page):
    """The blocks of code, without the comments in them."""
    comment = re.compile(r"(^|\s+)# .*$", re.MULTILINE)
    blocks = FENCE.findall(page.read_text("utf-8"))
    return [(language, comment.sub("", text)) for language, text in blocks]


def anchors(page):
    """As a code host makes them of the headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def places(page, text):
    """What the text links to, as the English page has it; other places are as they stand."""
    english = {russian: page for page, russian in PAIRS.items()}
    for link in LINKS.findall(text):
        if link.startswith("http"):
            yield link.replace("//yandex.cloud/ru/", "//yandex.cloud/en/")
        else:
            file = page.parent / link.partition("#")[0] if link[0] != "#" else page
            yield english.get(file.resolve(), file.resolve())


@pytest.mark.parametrize(("english", "russian"), PAIRS.items(), ids=lambda page: page.name)
class TestAPage:
    def test_each_links_to_the_other_under_its_title(self, english, russian):
        for here, there in ((english, russian), (russian, english)):
            title, link = here.read_text("utf-8").split("\n\n")[:2]
            assert title.startswith("# ")
            assert (here.parent / LANGUAGE.match(link + "\n\n")[1]).resolve() == there

    def test_it_has_the_same_headings_paragraphs_rows_and_items(self, english, russian):
        kinds = [[kind for kind, _ in outline(page)] for page in (english, russian)]
        assert kinds[1] == kinds[0]

    def test_each_of_them_has_the_same_code_flags_and_numbers(self, english, russian):
        for (_, said), (_, translated) in zip(outline(english), outline(russian), strict=True):
            assert facts(translated) == facts(said), translated

    def test_each_of_them_links_to_the_same_places(self, english, russian):
        for (_, said), (_, translated) in zip(outline(english), outline(russian), strict=True):
            theirs, ours = places(english, said), places(russian, translated)
            assert sorted(ours, key=str) == sorted(theirs, key=str), translated

    def test_it_links_to_pages_of_its_own_language(self, english, russian):
        for link in LINKS.findall(LANGUAGE.sub("", russian.read_text("utf-8"))):
            if not link.startswith("http"):
                assert (russian.parent / link.partition("#")[0]).resolve() not in PAIRS, link

    def test_the_blocks_of_code_are_the_same_but_for_comments(self, english, russian):
        assert code(russian) == code(english)

    def test_it_is_in_russian(self, english, russian):
        for kind, text in outline(russian):
            prose = re.sub(r"`[^`]*`|\[[^\]]*\]|\([^)]*\)", "", text)
            if kind != "```" and re.search(r"[a-z]{3,} [a-z]{3,} [a-z]{3,} [a-z]{3,}", prose):
                assert re.search(r"[\u0430-\u044f]", prose), text


@pytest.mark.parametrize("page", [*PAIRS, *RUSSIAN], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_headings_that_a_page_links_to_are_there(page):
    for link in LINKS.findall(page.read_text("utf-8")):
        file, hash_, anchor = link.partition("#")
        if hash_ and not link.startswith("http"):
            assert anchor in anchors((page.parent / file) if file else page), link


@pytest.mark.parametrize(("english", "russian"), tomllib.loads(TABLE.read_text("utf-8")).items())
def test_a_paragraph_of_the_reference_has_the_same_flags_and_numbers(english, russian):
    assert facts(russian) == facts(english)


def test_the_reference_is_translated_as_it_is_today():
    script = [sys.executable, ROOT / "docs/write_reference.py", "--check"]
    done = subprocess.run(script, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_not_translated_or_translated_in_vain_is_named(tmp_path):
    table = tmp_path / "table.toml"
    table.write_text('"Known." = "Известно."\n"Changed." = "Изменилось."\n', "utf-8")
    translation = Translation(table)
    assert translation("Known.") == "Известно."
    assert translation("Changed since.") == "Changed since."
    assert translation.out_of_step() == [
        f"{table} has no translation of: Changed since.",
        f"{table} translates what is not there any more: Changed.",
    ]
