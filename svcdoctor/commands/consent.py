"""Consent for what a run adds to a cluster: --probe-image asks first, and takes it away however the run ends."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from svcdoctor.commands.waiting import Waiting

if TYPE_CHECKING:
    from svcdoctor.cluster.kube import Cluster
    from svcdoctor.cluster.looks import SecondLook
    from svcdoctor.cluster.probepod import Addition

YES = click.option("-y", "--yes", is_flag=True, help="Do not ask before something is created or deleted")
PROBE_IMAGE = (
    click.option(
        "--probe-image",
        metavar="IMAGE",
        help="Where no container has a shell, add one of this image to the client Pod and look from there; asks first",
    ),
    click.option("--probe-pod", is_flag=True, help="With --probe-image: create a Pod like the client, and delete it"),
    click.option("-y", "--yes", is_flag=True, help="With --probe-image: do not ask before something is created"),
)
# What may end a run from outside; closing the terminal is one of them, but Windows knows no such signal.
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")


class ProbeImage(NamedTuple):
    """PROBE_IMAGE, as it was written."""

    image: str | None
    own_pod: bool
    yes: bool

    def check(self, *, no_probe: bool, files: Sequence[str], several: bool) -> None:
        if self.own_pod and not self.image:
            raise click.UsageError("--probe-pod goes with --probe-image IMAGE, of which the Pod is to be")
        if self.image is None:
            return
        if not REFERENCE.fullmatch(self.image):
            raise click.UsageError(f"--probe-image {self.image!r} is no image; an example is busybox:1.36")
        if no_probe:
            raise click.UsageError("--probe-image is for looking names up, which --no-probe forbids")
        if files:
            raise click.UsageError("--probe-image looks at a cluster as it is, and -f judges what is not applied yet")
        if several:
            raise click.UsageError("--probe-image adds to one cluster at a time; name one --context")
        must_be_able_to_ask("--probe-image creates something in the cluster", self.yes)

    @contextmanager
    def to(self, cluster: Cluster, waiting: Waiting) -> Iterator[SecondLook | None]:
        """What collect() looks with a second time, while the block lasts: all that it has added is gone afterwards."""
        if self.image is None:
            yield None
            return
        from svcdoctor.cluster.additions import Additions

        def agree(additions: Sequence[Addition]) -> bool:
            from svcdoctor.cluster.probepod import announcement

            with waiting.paused():
                agreed = confirmed(announcement(additions), "Create it?", self.yes)
                if not agreed:
                    click.echo("svcdoctor: nothing is created", err=True)
            return agreed

        with ending_once():
            additions = Additions(cluster, self.image, own_pod=self.own_pod, agree=agree)
            try:
                with additions:
                    yield additions
            finally:
                with waiting.paused():
                    for remark in additions.remarks:
                        click.echo(f"svcdoctor: {remark}", err=True)


def must_be_able_to_ask(why: str, yes: bool) -> None:
    """Raises UsageError where nobody could answer a question, and none has said --yes."""
    streams = (sys.stdin, sys.stderr)
    if not yes and not all(stream and stream.isatty() for stream in streams):
        raise click.UsageError(f"{why} and there is no terminal to ask on; say --yes to agree")


def confirmed(text: str, question: str, yes: bool) -> bool:
    """Whether a person who has read the text agrees; it is shown to those, too, who said so before."""
    click.echo(text, err=True)
    return yes or click.confirm(question, err=True)


@contextmanager
def ending_once() -> Iterator[None]:
    """The first ctrl-C, SIGTERM or SIGHUP ends the block, as an exception; what then has to be undone is not disturbed
    by a second one."""

    def end(number: int, frame: Any) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    # Who was started to ignore one, as nohup does it, goes on to.
    before = {number: handler for number in SIGNALS if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
