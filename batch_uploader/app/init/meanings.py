"""What the fields of unknown sidecars and tables mean, by the words that systems use for them."""

# ruff: noqa: RUF001 - Russian words

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from batch_uploader.core.text import printable

DATE: Final = """
    datetime starttime startstamp startdatetime starttimegmt inittimegmt startedat startat start
    callstart callstarttime callstartdate callstartedat calldate calltime date begin begintime
    initiationtimestamp connectedtosystemtimestamp createdat created timestamp starttimestamp
    startepoch датавремя датаивремя дата времяначала начало время time
"""
OPERATOR_ID: Final = """
    operatorid agentid employeeid userid extensionnumber operatorlogin agentlogin operator
    agent employee user login username extension operatorextension agentextension ext localparty
    owner операторid кодоператора внутреннийномер внутренний добавочный оператор сотрудник
    менеджер
"""
OPERATOR_NAME: Final = """
    operatorname agentname employeename employeefullname operatorfullname agentfullname userfullname
    ownername operator agent employee owner manager имяоператора фиооператора фио оператор
    сотрудник менеджер
"""
CLIENT_ID: Final = """
    clientid clientphone clientnumber customerphone customernumber customerid respondentnumber
    contactphonenumber contactphone phonenumber phone remoteparty externalnumber externalphone
    client customer clientphonenumber номерклиента телефонклиента телефон клиент абонент номер
"""
CLIENT_NAME: Final = """
    clientname clientfullname customername contactname contactfullname respondentname имяклиента
    фиоклиента
"""
DIRECTION: Final = """
    directionoutgoing direction calldirection calltype direct dir flow way inout type accountcode
    направление типзвонка тип
"""
CALLER: Final = """
    caller callernumber callingnumber callerid calleridnumber callerphone callerphonenumber from
    fromnumber src srcnum source sourcenumber ani anum numbera звонящий ктозвонил
"""
CALLEE: Final = """
    callee calleenumber callednumber calledid dialednumber dialedphonenumber to tonumber dst dstnum
    destination destinationnumber dnis bnum numberb комузвонили
"""
CALLER_NAME: Final = "callername calleridname fromname srcname"
CALLEE_NAME: Final = "calleename calledname toname dstname"
LANGUAGE: Final = "language lang locale язык"
ID: Final = """
    recordingid recordid recordfileid recorduuid recuuid callid calluuid uniqueid uuid guid id
    exttrackingid extid
"""
_DEPTH: Final = 3
_MOST_LISTED: Final = 12

Path = tuple[str, ...]
"""A field with those that it is in."""


class Meanings:
    """The fields of some examples that one source gives, by what their names mean."""

    def __init__(self, source: str, examples: Iterable[Mapping[str, object]]) -> None:
        self._source = source
        self._examples = [dict(_flat(fields)) for fields in examples]
        paths = dict.fromkeys(path for each in self._examples for path in each)
        self._paths = [path for path in paths if self.values(path)]

    def all(self, words: str) -> Iterator[Path]:
        """The fields with these names, in their order; a whole path counts before its end."""
        for word in words.split():
            for name in (_whole, _last):
                yield from (path for path in self._paths if name(path) == word)

    def path(self, words: str) -> Path | None:
        """The first of them."""
        return next(self.all(words), None)

    def term(self, words: str) -> str | None:
        """The same as it is written in an expression."""
        path = self.path(words)
        return None if path is None else self.written(path)

    def written(self, path: Path) -> str:
        """A field as it is written in an expression; one that is not always there may lack."""
        steps = (f".{step}" if _is_word(step) else f"[{step!r}]" for step in path)
        term = self._source + "".join(steps)
        always = all(path in each for each in self._examples)
        return term if always else f"({term} | default(''))"

    def values(self, path: Path) -> list[object]:
        """Its values, without the empty ones."""
        values = (each.get(path) for each in self._examples)
        return [value for value in values if value not in (None, "")]

    def texts(self, path: Path) -> list[str]:
        """The same as texts."""
        return list(map(str, self.values(path)))

    def are(self, path: Path, form: re.Pattern[str]) -> bool:
        """Whether all of them have a form."""
        return all(map(form.fullmatch, self.texts(path)))

    def tells_apart(self, path: Path) -> bool:
        """Whether each example has a value of its own."""
        return len(set(self.texts(path))) == len(self._examples)

    def listed(self) -> str:
        """The names of all fields, for people."""
        names = [printable(".".join(path)) for path in self._paths[:_MOST_LISTED]]
        return ", ".join([*names, "..."] if len(self._paths) > _MOST_LISTED else names)


def _flat(fields: Mapping[str, object], above: Path = ()) -> Iterator[tuple[Path, object]]:
    """The single values with their paths."""
    for name, value in fields.items():
        path = (*above, name)
        if isinstance(value, Mapping):
            if len(path) < _DEPTH:
                yield from _flat(value, path)
        elif not isinstance(value, list) and printable(name) == name:
            yield path, value


def _whole(path: Path) -> str:
    return _plain("".join(path))


def _last(path: Path) -> str:
    return _plain(path[-1])


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _is_word(name: str) -> bool:
    return name.isidentifier() and name.isascii()
