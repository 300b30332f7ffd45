"""Several clusters at once: each in a thread of its own, so that one that is slow or dead holds none of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TypeVar

from svcdoctor.cluster.kube import Cluster, KubeError
from svcdoctor.cluster.kubeconfig import ConnectOptions, choose
from svcdoctor.cluster.parallel import in_parallel
from svcdoctor.finding import Unseen

CLUSTERS_AT_ONCE = 8

T = TypeVar("T")


def look_at_each(
    contexts: Sequence[str],
    options: ConnectOptions,
    look: Callable[[Cluster], T],
    tell: Callable[[str], None],
) -> list[T | Unseen]:
    """What `look` finds in each context, in their order; a KubeError of one stands in its place.

    `tell` is given the words for a person who waits, whenever a context is done. Credential plugins that may ask a
    person something run one at a time: two logins at once would fight for the browser and its port.
    """
    asking = threading.Lock()
    telling = threading.Lock()
    left = list(contexts)

    def visit(context: str) -> T | Unseen:
        try:
            own = replace(options, context=context)
            access = choose(own)
            with asking if access and access.source and access.source.may_ask else nullcontext():
                cluster = Cluster.connect(own, access)
            return look(cluster)
        except KubeError as error:
            return Unseen(context, error.reason, error.message)
        finally:
            with telling:
                left.remove(context)
                tell(waiting_for(left))

    tell(waiting_for(left))
    return [found for _, found in in_parallel(list(contexts), visit, CLUSTERS_AT_ONCE)]


def waiting_for(contexts: Sequence[str]) -> str:
    first = contexts[0] if contexts else "nothing"
    return f"waiting for {first}{f' and {len(contexts) - 1} more' if contexts[1:] else ''}"
