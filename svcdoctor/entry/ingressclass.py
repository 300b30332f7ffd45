"""Which controller serves an Ingress, and whether one does: its class, the controller's Pods, the controller's Service.

That a controller runs cannot be read from its IngressClass. Signs stand for it: an address in the Ingress's status,
events about the Ingress, Pods that look like an ingress controller and say a word of the class's `spec.controller`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from svcdoctor.case import Case
from svcdoctor.endpoints.reconcile import is_ready
from svcdoctor.entry.entrypoint import given_addresses
from svcdoctor.finding import Evidence, Finding, Remedy, Subject, fail, unknown, warn
from svcdoctor.indexes import Index, those
from svcdoctor.objects import Ingress, IngressClass, Pod, Service
from svcdoctor.text import edit_distance, listing, patch_command
from svcdoctor.view import View
from svcdoctor.world import EVERYWHERE

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
DEFAULT_ANNOTATION = "ingressclass.kubernetes.io/is-default-class"
ADDRESS_SECONDS = 60.0  # controllers write the address of an Ingress within seconds

# What ingress controllers are called by; which of them one is, the words of its class say.
_CONTROLLERS = re.compile(
    r"ingress|traefik|contour|kong|istiod|cilium-operator|haproxy-|skipper|apisix|emissary|ambassador|gloo|pomerium"
    r"|tailscale|ngrok|voyager|gateway|load-?balancer-controller|glbc|caddy|envoy"
)
# Controllers that run outside of the cluster, or inside of something else.
HOSTED = re.compile(r"eks\.amazonaws\.com|openshift\.io|azure|networking\.gke|google|oraclecloud|alibabacloud|ibm")
# Those that serve Ingresses without a class, by their nature or by this flag.
_CLASSLESS = re.compile(r"traefik|contour|haproxy|skipper|watch-ingress-without-class")
# Words of a class that tell no controller from another.
MOST_PLACES = 3  # namespaces that are looked into one by one
_GENERIC = {"k8s", "io", "com", "org", "net", "dev", "sh", "app", "cloud", "kubernetes", "example", "local"}


def _looks_like_a_controller(*words: str) -> bool:
    return _CONTROLLERS.search(" ".join(words).lower()) is not None


def _words_of_pod(pod: Pod) -> list[str]:
    containers = pod.spec.containers or []
    said = [word for item in containers for word in (item.image, *(item.command or ()), *(item.args or ()))]
    return [pod.metadata.name, *said, *(pod.metadata.labels or {}).values()]


def _words_of_service(service: Service) -> list[str]:
    return [service.metadata.name, *(service.metadata.labels or {}).values(), *(service.spec.selector or {}).values()]


CONTROLLER_PODS = those("ingress controllers", "pods", lambda pod: _looks_like_a_controller(*_words_of_pod(pod)))
CONTROLLER_SERVICES = those(
    "services of ingress controllers", "services", lambda item: _looks_like_a_controller(*_words_of_service(item))
)
ADDRESSED = Index(
    "ingresses with an address", "ingresses", lambda item: [named_class(item)[0]] if given_addresses(item) else ()
)


def named_class(ingress: Ingress) -> tuple[str, str]:
    """The class that an Ingress names, and the field; "" for none. The field counts before the older annotation."""
    if ingress.spec.ingress_class_name:
        return ingress.spec.ingress_class_name, ".spec.ingressClassName"
    return (ingress.metadata.annotations or {}).get(CLASS_ANNOTATION, ""), f".metadata.annotations[{CLASS_ANNOTATION}]"


def is_default(item: IngressClass) -> bool:
    return (item.metadata.annotations or {}).get(DEFAULT_ANNOTATION) == "true"


def classes(view: View) -> Mapping[str, IngressClass] | None:
    """The cluster's IngressClasses by name; None where they may not be read."""
    return view.or_without(lambda: view.listed("ingressclasses", EVERYWHERE), None)


def controller_of(view: View, ingress: Ingress) -> str:
    """The `spec.controller` of an Ingress's class; the class's own name where it has no IngressClass, "" for none.
    Raises NotRead where the classes may not be read: controllers differ in what they make of an Ingress."""
    held: Mapping[str, IngressClass] = view.listed("ingressclasses", EVERYWHERE)
    name = named_class(ingress)[0] or next((item.metadata.name for item in held.values() if is_default(item)), "")
    return held[name].spec.controller if name in held else name


class _Ingress(NamedTuple):
    """An Ingress, and about whom what is said of it is said."""

    view: View
    item: Ingress
    subject: Subject

    @property
    def ref(self) -> str:
        return f"ingress/{self.item.metadata.name}"

    @property
    def named(self) -> str:
        return f"{self.ref}, which leads here from outside," if self.subject.kind == "Service" else self.ref

    @property
    def unserved(self) -> str:
        here = ", so no request from outside gets here" if self.subject.kind == "Service" else ""
        return f"no controller serves {self.ref}{here}"

    @property
    def namespace(self) -> str:
        return self.item.metadata.namespace

    @property
    def status(self) -> Evidence:
        return Evidence("address", listing(given_addresses(self.item)) or "none", f"{self.ref} .status.loadBalancer")


def unserved(view: View, item: Ingress, subject: Subject) -> Iterator[Finding]:
    """Why nobody answers requests for an Ingress; nothing where somebody does. Raises NotRead where no address shows
    that it is served and the classes may not be read."""
    held = classes(view) if given_addresses(item) else view.listed("ingressclasses", EVERYWHERE)
    if held is None:
        return
    ingress = _Ingress(view, item, subject)
    misnamed = [] if given_addresses(item) else list(_misnamed(ingress, held))
    yield from misnamed
    if not misnamed:
        yield from _without_controller(ingress, controller_of(view, item))


# --- the class ---------------------------------------------------------------------------------------------------


def _misnamed(ingress: _Ingress, held: Mapping[str, IngressClass]) -> Iterator[Finding]:
    name, source = named_class(ingress.item)
    legacy = (ingress.item.metadata.annotations or {}).get(CLASS_ANNOTATION, "")
    there = Evidence("classes", listing(sorted(held), 5) or "none", "ingressclasses of the cluster")
    if name and legacy and name != legacy:
        yield _two_classes(ingress, name, legacy, there)
    elif name and name not in held:
        if not (name == legacy and list(controllers(ingress.view, name))):
            yield _no_such_class(ingress, held, Evidence("class", name, f"{ingress.ref} {source}"), there)
    elif not name and not any(map(is_default, held.values())) and not _serves_classless(ingress.view):
        yield _no_class(ingress, held, there)


def _no_such_class(ingress: _Ingress, held: Mapping[str, IngressClass], named: Evidence, there: Evidence) -> Finding:
    by_field = named.source.endswith("ingressClassName")
    doubt = Evidence("otherwise", f"a controller may be told to serve class {named.value}", "no Pod looks like it")
    return fail(
        "ingress-class-missing",
        ingress.subject,
        f"{ingress.unserved}: there is no IngressClass {named.value}",
        named,
        there,
        ingress.status,
        *([] if by_field else [doubt]),
        remedies=_with_class(ingress, held, named.value),
        inferred=not by_field,
    )


def _no_class(ingress: _Ingress, held: Mapping[str, IngressClass], there: Evidence) -> Finding:
    return fail(
        "ingress-class-missing",
        ingress.subject,
        f"{ingress.unserved}: it names no class, and none is the default",
        Evidence("class", "<none>", f"{ingress.ref} .spec.ingressClassName"),
        there,
        ingress.status,
        remedies=_with_class(ingress, held, ""),
    )


def _two_classes(ingress: _Ingress, name: str, legacy: str, there: Evidence) -> Finding:
    remove = {"metadata": {"annotations": {CLASS_ANNOTATION: None}}}
    return warn(
        "ingress-class-missing",
        ingress.subject,
        f"{ingress.named} names two classes, {name} and {legacy}, and has no address",
        Evidence("class", name, f"{ingress.ref} .spec.ingressClassName"),
        Evidence("class", legacy, f"{ingress.ref} .metadata.annotations[{CLASS_ANNOTATION}]"),
        there,
        remedies=(
            Remedy(
                f"keep {name} alone",
                patch_command(ingress.namespace, f"ingress {ingress.item.metadata.name}", remove),
            ),
        ),
        inferred=True,
    )


def _with_class(ingress: _Ingress, held: Mapping[str, IngressClass], wanted: str) -> tuple[Remedy, ...]:
    """The class that was meant: the one there is, the default, or the one that is written much like it."""
    near = [name for name in sorted(held) if wanted and edit_distance(wanted, name) < 3]
    default = [name for name in sorted(held) if is_default(held[name])]
    chosen = next(iter([*near, *default, *(held if len(held) == 1 else ())]), None)
    if not held:
        return (Remedy("install an ingress controller: it brings its IngressClass"),)
    if chosen is None:
        command = "kubectl get ingressclasses"
        return (Remedy("choose one of the classes, and name it in the Ingress", command, changes_cluster=False),)
    patch: dict[str, Any] = {"spec": {"ingressClassName": chosen}}
    if CLASS_ANNOTATION in (ingress.item.metadata.annotations or {}):
        patch["metadata"] = {"annotations": {CLASS_ANNOTATION: None}}
    command = patch_command(ingress.namespace, f"ingress {ingress.item.metadata.name}", patch)
    return (Remedy(f"name class {chosen}", command),)


def _serves_classless(view: View) -> bool:
    """Whether a controller is seen that serves Ingresses without a class as well."""
    return any(_CLASSLESS.search(" ".join(_words_of_pod(pod)).lower()) for pod in _found(view, CONTROLLER_PODS))


# --- the controller ----------------------------------------------------------------------------------------------


def _found(view: View, index: Index) -> list[Any]:
    """The objects of an index in all namespaces that we see; [] where nobody may look."""
    return view.or_without(lambda: view.found_everywhere(index), [])


def _sees_all(view: View, resource: str) -> bool:
    return view.or_without(lambda: view.world.namespaces_of(resource)[1], False)


def _own_words(controller: str) -> set[str]:
    """What sets a controller apart from others: `ingress-nginx` and `nginx` of k8s.io/ingress-nginx."""
    bare = {part: re.sub(r"-?(ingress|controllers?)-?", "", part) for part in re.split(r"[/.]", controller.lower())}
    own = {part: word for part, word in bare.items() if len(word) > 2 and word not in _GENERIC}
    return {*own, *own.values()}


def _says(controller: str, words: list[str]) -> bool:
    text = " ".join(words).lower()
    own = _own_words(controller)
    return controller.lower() in text or not own or any(word in text for word in own)


def controllers(view: View, controller: str) -> Iterator[Pod]:
    """The Pods that look like this controller, in all namespaces that we see."""
    return (pod for pod in _found(view, CONTROLLER_PODS) if _says(controller, _words_of_pod(pod)))


def controllers_behind_services(view: View, controller: str) -> list[Pod]:
    """Those of the namespaces in which a Service of the controller stands: most have one, and of large clusters this
    is one list instead of fifty."""
    view.touched.add("pods")
    places = sorted({service.metadata.namespace for service in _services_of(view, controller)})
    found = [pod for place in places[:MOST_PLACES] for pod in view.or_without(partial(_pods_in, view, place), [])]
    return [pod for pod in found if _says(controller, _words_of_pod(pod))]


def _pods_in(view: View, namespace: str) -> list[Pod]:
    return view.world.found(CONTROLLER_PODS, namespace, True)


def _services_of(view: View, controller: str) -> list[Service]:
    known = _found(view, CONTROLLER_SERVICES) if _own_words(controller) else []
    return [service for service in known if _says(controller, _words_of_service(service))]


def _without_controller(ingress: _Ingress, controller: str) -> Iterator[Finding]:
    view = ingress.view
    services = [
        item
        for item in _services_of(view, controller)
        if item.spec.type in ("LoadBalancer", "NodePort") and item.metadata.namespace != ingress.namespace
    ]
    if services:
        yield from _own_service(ingress, controller, services)
    elif not given_addresses(ingress.item):  # only then the Pods of all namespaces are worth reading
        pods = list(controllers(view, controller))
        if any(map(is_ready, pods)) or _is_served_unseen(ingress, controller):
            return
        if view.is_younger(ingress.item.metadata.creation_timestamp, ADDRESS_SECONDS):
            said = f"{ingress.ref} has no address yet; judged {ADDRESS_SECONDS:.0f}s after it was made"
            yield unknown("unknown-settling", ingress.subject, said)
        elif pods or _sees_all(view, "pods"):
            yield _no_controller(ingress, controller, pods)


def _is_served_unseen(ingress: _Ingress, controller: str) -> bool:
    """Whether something shows that a controller looks after it, though no Pod is seen that would."""
    view, item = ingress.view, ingress.item
    if HOSTED.search(controller) or view.or_without(lambda: view.events("Ingress", item.metadata.name), []):
        return True

    def others() -> bool:
        view.touched.add("ingresses")
        places = view.world.namespaces_of("ingresses")[0]
        return any(view.world.found(ADDRESSED, place, named_class(item)[0]) for place in places)

    return view.or_without(others, True)


def _no_controller(ingress: _Ingress, controller: str, pods: list[Pod]) -> Finding:
    named = named_class(ingress.item)[0] or "the default class"
    found = [f"{pod.metadata.namespace}/{pod.metadata.name}, not ready" for pod in pods]
    return fail(
        "ingress-no-controller",
        ingress.subject,
        f"{ingress.unserved}: it has no address, and no "
        f"Pod of controller {controller} {'is ready' if pods else 'is seen'}",
        ingress.status,
        Evidence("controller", controller, f"ingressclass/{named} .spec.controller"),
        Evidence("Pods of it", listing(found) or "none", "images, arguments and labels of all Pods"),
        Evidence("otherwise", "it may run outside of the cluster, or write no addresses", "nothing here would show it"),
        remedies=_start(pods),
        inferred=True,
    )


def _start(pods: list[Pod]) -> tuple[Remedy, ...]:
    if not pods:
        return (Remedy("install the controller, or name a class whose controller runs"),)
    metadata = pods[0].metadata
    command = f"kubectl -n {metadata.namespace} describe pod {metadata.name}"
    return (Remedy("see why the controller's Pod is not ready", command, changes_cluster=False),)


# --- the controller's own Service --------------------------------------------------------------------------------


def _own_service(ingress: _Ingress, controller: str, services: list[Service]) -> Iterator[Finding]:
    """The way into the controller, where each of its Services is closed."""
    faults: list[Finding] = []
    for service in services:
        other = Case(ingress.view.world, service)
        fault = ingress.view.or_without(lambda other=other: _closed(ingress, controller, other), None)  # type: ignore[misc]
        ingress.view.touched |= other.touched
        if fault is None:
            return
        faults.append(fault)
    yield from faults[:1]


def _closed(ingress: _Ingress, controller: str, other: Case) -> Finding | None:
    place, ref = f"{other.namespace}/{other.name}", f"service/{other.name}"
    evidence = (
        Evidence("controller", controller, "the IngressClass's .spec.controller"),
        Evidence("its Service", f"{place}, by its name and labels", f"services of type {other.type}"),
    )
    look = Remedy("diagnose that Service", f"svcdoctor diagnose {other.name} -n {other.namespace}", False)
    if not other.ready_endpoints and not other.is_settling:
        return fail(
            "ingress-controller-svc",
            ingress.subject,
            f"{ingress.named} is reached through the ingress controller's own Service {place}, which has no ready "
            "endpoint",
            Evidence("endpoints", f"0 ready of {len(other.endpoints)}", f"endpointslices of {ref}"),
            *evidence,
            remedies=(look,),
            inferred=True,
        )
    waits = other.type == "LoadBalancer" and not given_addresses(other.service) and not given_addresses(ingress.item)
    if not waits or other.is_younger(other.service.metadata.creation_timestamp, ADDRESS_SECONDS):
        return None
    ports = [str(port.node_port) for port in other.ports if port.node_port]
    return warn(
        "ingress-controller-svc",
        ingress.subject,
        f"{ingress.named} is reached through the ingress controller's own Service {place}, which waits for a load "
        "balancer",
        Evidence("address", "none", f"{ref} .status.loadBalancer"),
        *([Evidence("node ports", listing(ports), f"{ref} .spec.ports[].nodePort")] if ports else []),
        *evidence,
        remedies=(look,),
        inferred=True,
    )
