"""A recording for strangers: words, addresses and images have other names in it, and the diagnosis is the same.

Every word of every text is renamed, in names, labels, hosts, images, settings and messages alike, and everywhere to the
same other word: what was equal stays equal, a generated Pod's name keeps its owner's, and a word that was a slip away
from another one still is. Renamed words have the length they had. Three things stay:

  words that svcdoctor's own code looks for (vocabulary.py): `postgres`, `kube-system`, `http`, `web`. They tell what a
  thing is, not whose it is, and a check may ask for them. In names, labels, hosts and images those alone;
  words of one or two letters, and the numbers between words: `db`, `v2`;
  what Kubernetes itself calls its fields, kinds and states.

Of an IPv4 address the network is another one, of the same kind (private, public, link-local), and two addresses share
as many leading bits as before, so that CIDR blocks hold what they held; the last octet stays. IPv6 likewise, and its
last two bytes stay.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

import msgspec

from svcdoctor.recordings.capture import BLANK
from svcdoctor.recordings.vocabulary import WORD, Vocabulary, vocabulary
from svcdoctor.text import edit_distance, words

_PIECE = re.compile(
    r"(?<![\w.:])(?P<six>[0-9a-fA-F]{0,4}:[0-9a-fA-F:]*:[0-9a-fA-F:.]*(?:/\d{1,3})?)(?![\w:])"
    r"|(?<![\d.])(?P<four>\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?)(?![\d.]*\d)"
    r"|(?<!\d)(?P<dashed>\d{1,3}(?:-\d{1,3}){3})(?!\d)"
    r"|(?P<number>\d{12,})"
    r"|(?P<word>[A-Za-z]+)"
)
# The fields in which names stand: of the words in these only what svcdoctor looks for is kept.
_NAMES = words(
    "name namespace labels matchLabels selector nodeSelector values image host hosts hostname hostnames externalName "
    "nodeName context subdomain names searches pod node container server canonical query uid"
)
_STATES = words("reason phase")  # what Kubernetes and its controllers call states
_OF_KUBERNETES = re.compile(r"(?:[a-z0-9-]+\.)*(?:kubernetes|k8s)\.io/")  # keys of labels and annotations
_SHORT = 2
_LONG = 6  # letters of a word that another one is hardly near by accident
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxz"
# What an address says by itself: each stays what it is.
_KINDS = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.2.0/24", "192.168.0.0/16", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "255.255.255.255/32"),
        *("::/96", "2001:db8::/32", "fc00::/7", "fe80::/10", "ff00::/8"),
    )
)
# These mean the same everywhere.
_SAME = tuple(map(ipaddress.ip_network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::/96")))
_KEPT_BITS = {4: 8, 6: 16}


class Redactor:
    """Renames moment after moment of one recording, to the same names. `key`: random bytes that nobody keeps."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._words = _Renamed(key, vocabulary())
        self._texts: dict[str, str] = {}

    def redacted(self, moment: bytes) -> bytes:
        """A recorded World (world.py) as others may see it."""
        parts = msgspec.json.decode(moment)
        self._words.learn(set(_words(parts, None)), set(_words(parts, _NAMES)), set(_words(parts, _STATES)))
        self._texts.clear()
        return msgspec.json.encode(self._renamed(parts), order="deterministic")

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, str):
            if value not in self._texts:
                self._texts[value] = _PIECE.sub(self._piece, value)
            return self._texts[value]
        if isinstance(value, list):
            return [self._renamed(item) for item in value]
        if isinstance(value, dict):
            return {self._key_of(key): self._renamed(item) for key, item in value.items()}
        return value

    def _key_of(self, key: str) -> str:
        return key if _OF_KUBERNETES.match(key) else self._renamed(key)

    def _piece(self, match: re.Match[str]) -> str:
        text = match.group()
        if match["word"]:
            return self._words.renamed(text)
        if match["number"]:
            digits = hashlib.blake2b(text.encode(), key=self._key).digest() * (len(text) // 64 + 1)
            return "".join(str(byte % 9 + 1) for byte in digits[: len(text)])
        if match["dashed"]:
            return self._address(text.replace("-", ".")).replace(".", "-")
        # A time has colons too.
        return self._address(text) or WORD.sub(lambda word: self._words.renamed(word.group()), text)

    def _address(self, text: str) -> str:
        """Another address or block in the place of this one; "" where it is none."""
        address, slash, length = text.partition("/")
        try:
            one = ipaddress.ip_address(address)
            block = ipaddress.ip_network(text, strict=False) if slash else None
        except ValueError:
            return ""
        if any(one in kind for kind in _SAME):
            return text
        size = one.max_prefixlen
        bits = f"{int(one):0{size}b}"
        kept = max((kind.prefixlen for kind in _KINDS if kind.version == one.version and one in kind), default=0)
        place = size - _KEPT_BITS[one.version]
        changed = "".join(
            str(int(bit) ^ self._turn(one.version, bits[:at])) if kept <= at < place else bit
            for at, bit in enumerate(bits)
        )
        number = int(changed, 2)
        if block and one == block.network_address:
            number &= int(block.netmask)
        return f"{type(one)(number)}{slash}{length}"

    def _turn(self, version: int, before: str) -> int:
        """Whether the bit after these is turned: by them alone, and never where that leads into another kind."""
        for kind in _KINDS:
            way = f"{int(kind.network_address):0{kind.max_prefixlen}b}"[: kind.prefixlen]
            if kind.version == version and way.startswith(before):
                return 0
        return hashlib.blake2b(f"{version}{before}".encode(), key=self._key, digest_size=1).digest()[0] & 1


def _words(value: Any, fields: frozenset[str] | None) -> Iterator[str]:
    """The words of a document in lower case: all of them, of keys too, or those of some fields."""

    def walk(value: Any, wanted: bool) -> Iterator[str]:
        if isinstance(value, str) and wanted:
            yield from (word.lower() for word in WORD.findall(value))
        elif isinstance(value, list):
            for item in value:
                yield from walk(item, wanted)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(key, fields is None)
                yield from walk(item, wanted or (fields is not None and key in fields))

    return walk(value, fields is None)


class _Renamed:
    """Words and what they are called instead."""

    def __init__(self, key: bytes, kept: Vocabulary) -> None:
        self._key = key
        self._kept = kept
        self._new: dict[str, str] = {}
        # Words by what is left of them without a letter or two: two that are near each other have one of these in
        # common. Of the old ones, to find what a word is a slip of; of the new ones, lest one is a slip by accident.
        self._near: dict[str, set[str]] = {}
        self._taken: set[str] = set()
        self._count = 0

    def learn(self, present: set[str], names: set[str], states: set[str]) -> None:
        """All words of a document, those of them that stand in names, and those that Kubernetes has for states."""
        present = {word for word in present if len(word) > _SHORT} - self._new.keys()
        kept = {word for word in present - names if word in states or self._kept.knows(word)}
        kept |= {word for word in present if self._kept.looks_for(word) or word == BLANK.lower()}
        for word in sorted(kept):
            if word in names or (len(word) >= _LONG and self._kept.looks_for(word)):
                self._add(word, word)
            else:
                self._new[word] = word
        for word in sorted(present - kept, key=lambda word: (len(word), word)):
            near = self._nearest(word)
            self._add(word, _slipped(near, self._new[near], word) if near else self._invented(word))

    def renamed(self, word: str) -> str:
        new = self._new.get(word.lower(), word)
        if word.islower() or new == word:
            return new
        return "".join(b.upper() if a.isupper() else b for a, b in zip(word, new, strict=True))

    def _add(self, word: str, new: str) -> None:
        self._new[word] = new
        for piece in _pieces(word):
            self._near.setdefault(piece, set()).add(word)
        self._taken.update(_pieces(new))

    def _nearest(self, word: str) -> str:
        """A word that this one is a slip of, as nearmiss.py has it; "" for none."""
        found = {other for piece in _pieces(word) for other in self._near.get(piece, ())}
        slips = sorted((edit_distance(other, word), other) for other in found if _is_slip(other, word))
        return slips[0][1] if slips else ""

    def _invented(self, word: str) -> str:
        # What is made up by a controller has no vowels, and some check may look at that.
        letters = (_CONSONANTS, _VOWELS if set(word) & set(_VOWELS + "y") else _CONSONANTS)
        tries = 0
        while True:
            self._count, tries = self._count + 1, tries + 1
            seed = hashlib.blake2b(f"{self._count}".encode(), key=self._key).digest() * (len(word) // 64 + 1)
            new = "".join(letters[at % 2][seed[at] % len(letters[at % 2])] for at in range(len(word)))
            # After many tries in vain another word that is near is better than none.
            near = self._taken & (_pieces(new) if tries < 50 else {new})
            if not near and new != word and not self._kept.knows(new):
                return new


def _pieces(word: str) -> set[str]:
    if len(word) > 24:
        return {word}
    once = {word[:at] + word[at + 1 :] for at in range(len(word))} if len(word) > _SHORT + 1 else set()
    twice = {one[:at] + one[at + 1 :] for one in once for at in range(len(one))} if len(word) > 5 else set()
    return {word, *once, *twice}


def _is_slip(old: str, word: str) -> bool:
    shorter, distance = min(len(old), len(word)), edit_distance(old, word)
    if old + "s" == word or (distance == 2 and sorted(old) == sorted(word) and shorter >= 4):
        return True
    return distance <= (2 if shorter >= 6 else 1 if shorter >= 4 else 0)


def _slipped(old: str, new: str, word: str) -> str:
    """The same slip of the new word as `word` is of the old one: letters that both old ones have are the new one's."""
    if old + "s" == word:
        return new + "s"
    made = []
    for kind, start, end, first, last in SequenceMatcher(None, old, word, autojunk=False).get_opcodes():
        if kind == "equal":
            made.append(new[start:end])
        else:
            made += [new[old.index(letter)] if letter in old else _other(letter, new) for letter in word[first:last]]
    slip = "".join(made)
    return slip if slip != new else new[:-1] + _other(new[-1], new)


def _other(letter: str, word: str) -> str:
    """A letter that a word does not have."""
    free = [other for other in _CONSONANTS if other not in word and other != letter]
    return free[ord(letter) % len(free)]
