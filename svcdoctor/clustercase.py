"""What all Services share, seen with all that a check may look at."""

from __future__ import annotations

from svcdoctor.finding import Subject
from svcdoctor.view import View
from svcdoctor.world import World


class ClusterCase(View):
    """CoreDNS, kube-proxy, controllers and nodes."""

    def __init__(self, world: World) -> None:
        super().__init__(world, "kube-system")
        self.subject = Subject("Cluster", "", world.context or "cluster")
