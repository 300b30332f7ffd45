"""A stream through everything that can happen to a watch, played by a scripted server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import pytest

from fake_apiserver import Answer, Exchange, FakeApiServer, failure, reply
from svcdoctor.cluster.kube import Cluster, ConnectOptions, KubeError, ReadFailed
from svcdoctor.cluster.reflector import Changed, LogEntry, Missed, Moved, News, Pace, Reflector, Replaced
from svcdoctor.objects import RESOURCES

PODS = "/api/v1/pods"
QUICK = Pace(first_pause=0.02, longest_pause=0.1, denied=0.05, absent=0.05, silence=0.2, short=0.05)
GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


def pod(name: str, version: int, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"containers": [], **spec}, "status": {"phase": "Running"}}


def pods(*items: dict[str, Any], version: int = 10, token: str = "") -> bytes:
    return reply({"kind": "PodList", "metadata": {"resourceVersion": str(version), "continue": token}, "items": items})


def event(kind: str, item: dict[str, Any]) -> bytes:
    line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


class Script:
    """Answers to lists and watches, each in turn; the last one of each stays."""

    def __init__(self, server: FakeApiServer, path: str = PODS) -> None:
        self.lists: list[Answer] = [pods(pod("a", 1))]
        self.watches: list[Answer] = [hang()]
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        server.on(path, self)

    def __call__(self, exchange: Exchange) -> None:
        query = exchange.request.query
        kind = "watch" if "watch" in query else "list"
        self.asked.append((kind, query))
        answers = self.watches if kind == "watch" else self.lists
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, bytes):
            exchange.send(answer)
        else:
            answer(exchange)

    def count(self, kind: str) -> int:
        return sum(asked == kind for asked, _ in self.asked)

    @property
    def versions(self) -> list[str]:
        return [query["resourceVersion"][0] for kind, query in self.asked if kind == "watch"]


def says(*parts: bytes) -> Callable[[Exchange], None]:
    """A watch that says this and ends."""
    return lambda exchange: exchange.send(HEAD + b"".join(parts) + END)


def hang(*parts: bytes) -> Callable[[Exchange], None]:
    """A watch that says this and then nothing more."""

    def answer(exchange: Exchange) -> None:
        exchange.send(HEAD + b"".join(parts))
        exchange.hang()

    return answer


def reset(*parts: bytes) -> Callable[[Exchange], None]:
    def answer(exchange: Exchange) -> None:
        exchange.send(HEAD + b"".join(parts))
        exchange.reset()

    return answer


class Watcher:
    """A reflector, and what it brought."""

    def __init__(self, cluster: Cluster, pace: Pace = QUICK, namespace: str = "", resource: str = "pods") -> None:
        self.news: list[News] = []
        self.store: dict[str, Any] = {}
        self.reflector = Reflector(cluster, RESOURCES[resource], namespace, self.take, Semaphore(1), pace)
        self.reflector.start()

    def take(self, news: News) -> None:
        if isinstance(news, Replaced):
            self.store = {item.metadata.name: item for item in news.items}
        elif isinstance(news, Changed):
            for change in news.events:
                if change.type == "DELETED":
                    self.store.pop(change.object.metadata.name, None)
                elif change.type != "SKIPPED":
                    self.store[change.object.metadata.name] = change.object
        self.news.append(news)

    @property
    def states(self) -> list[str]:
        return [news.state.state for news in self.news if isinstance(news, Moved)]

    def until(self, condition: Callable[[], bool]) -> None:
        eventually(condition, lambda: f"{self.states} {sorted(self.store)} {self.reflector.state}")


def eventually(condition: Callable[[], bool], shown: Callable[[], str] = str) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends, shown()
        time.sleep(0.002)


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with FakeApiServer() as running:
        yield running


@pytest.fixture
def script(server: FakeApiServer) -> Script:
    return Script(server)


@pytest.fixture
def cluster(server: FakeApiServer, tmp_path: Path) -> Iterator[Cluster]:
    connected = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path))))
    yield connected
    connected.close()


@pytest.fixture
def watch(cluster: Cluster) -> Iterator[Callable[..., Watcher]]:
    started: list[Watcher] = []

    def start(pace: Pace = QUICK, namespace: str = "") -> Watcher:
        started.append(Watcher(cluster, pace, namespace))
        return started[-1]

    yield start
    for watcher in started:
        watcher.reflector.stop()


def test_a_watch_that_ends_goes_on_from_its_bookmark(script: Script, watch: Callable[..., Watcher]) -> None:
    script.watches = [says(event("ADDED", pod("b", 11)), event("DELETED", pod("a", 12)), bookmark(20)), hang()]
    watcher = watch()
    watcher.until(lambda: script.count("watch") == 2)
    assert script.versions == ["10", "20"]
    assert script.count("list") == 1
    assert sorted(watcher.store) == ["b"]
    assert watcher.reflector.state.state == "watching"
    assert watcher.reflector.state.last_heard


def test_pages_of_a_list_are_one_list(script: Script, watch: Callable[..., Watcher]) -> None:
    script.lists = [pods(pod("a", 1), token="more"), pods(pod("b", 2))]
    watcher = watch()
    watcher.until(lambda: watcher.states[-1:] == ["watching"])
    assert [len(news.items) for news in watcher.news if isinstance(news, Replaced)] == [2]


@pytest.mark.parametrize("answer", [says(event("ERROR", GONE)), failure(410, "too old resource version", "Expired")])
def test_a_version_that_is_gone_is_listed_again_at_once(
    script: Script, watch: Callable[..., Watcher], answer: Answer
) -> None:
    script.lists = [pods(pod("a", 1)), pods(pod("x", 2), version=30)]
    script.watches = [answer, hang()]
    watcher = watch()
    watcher.until(lambda: script.versions == ["10", "30"])
    assert sorted(watcher.store) == ["x"]
    assert "broken" not in watcher.states


def test_a_server_that_forgets_every_version_is_asked_more_and_more_slowly(
    script: Script, watch: Callable[..., Watcher]
) -> None:
    script.watches = [failure(410, "too old", "Expired")]
    watcher = watch(QUICK._replace(first_pause=3600.0))
    watcher.until(lambda: script.count("list") == 2 and script.count("watch") == 2)
    watcher.reflector.stop()
    assert script.count("list") == 2


def test_a_continue_token_that_expires_costs_one_list_in_one_piece(
    script: Script, watch: Callable[..., Watcher]
) -> None:
    script.lists = [pods(pod("a", 1), token="old"), failure(410, "expired", "Expired"), pods(pod("a", 1), pod("b", 2))]
    watcher = watch()
    watcher.until(lambda: sorted(watcher.store) == ["a", "b"])
    assert "limit" not in script.asked[2][1]


def test_silence_is_taken_for_a_dead_peer_and_the_stream_resumes(script: Script, watch: Callable[..., Watcher]) -> None:
    script.watches = [hang(bookmark(15)), hang(event("ADDED", pod("b", 16)))]
    watcher = watch()
    watcher.until(lambda: "b" in watcher.store)
    assert script.versions[:2] == ["10", "15"]
    assert script.count("list") == 1
    assert "broken" not in watcher.states


def test_a_peer_that_never_answers_is_a_broken_stream(script: Script, watch: Callable[..., Watcher]) -> None:
    script.watches = [lambda exchange: exchange.hang()]
    watcher = watch()
    watcher.until(lambda: "broken" in watcher.states)


def test_a_connection_that_is_reset_resumes_after_a_pause(script: Script, watch: Callable[..., Watcher]) -> None:
    script.watches = [reset(event("ADDED", pod("b", 11))), hang(event("ADDED", pod("c", 12)))]
    watcher = watch()
    watcher.until(lambda: sorted(watcher.store) == ["a", "b", "c"])
    assert script.versions == ["10", "11"]
    assert watcher.states == ["listing", "watching", "broken", "watching"] or watcher.states[-1] == "watching"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for(script: Script, watch: Callable[..., Watcher], status: int) -> None:
    script.watches = [failure(status, "later", retry_after="3600"), hang()]
    watcher = watch()
    watcher.until(lambda: watcher.states[-1:] == ["broken"])
    # However long it is, it can be stopped at once; and nothing was asked meanwhile.
    watcher.reflector.stop()
    eventually(lambda: not _alive("pods everywhere"))
    assert script.count("watch") == 1


def test_a_watch_that_ends_at_once_every_time_is_not_asked_without_a_pause(
    script: Script, watch: Callable[..., Watcher]
) -> None:
    script.watches = [says()]
    watcher = watch(QUICK._replace(first_pause=3600.0, short=3600.0))
    watcher.until(lambda: watcher.states[-1:] == ["broken"])
    assert script.count("watch") == 1
    assert "ends as soon as it begins" in watcher.reflector.state.message


def test_credentials_are_read_again_once_and_then_the_stream_is_broken(
    server: FakeApiServer, script: Script, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first")

    def refuse(exchange: Exchange) -> None:
        token.write_text("second")
        exchange.send(failure(401, "Unauthorized", "Unauthorized"))

    script.watches = [refuse]
    kubeconfig = server.kubeconfig(tmp_path, user={"tokenFile": str(token)})
    watcher = Watcher(Cluster.connect(ConnectOptions(kubeconfig=str(kubeconfig))), QUICK._replace(first_pause=3600.0))
    watcher.until(lambda: watcher.states[-1:] == ["broken"])
    watcher.reflector.stop()
    sent = [request.header("authorization") for request in server.received if "watch" in request.query]
    assert sent == ["Bearer first", "Bearer second"]
    assert "does not accept the credentials" in watcher.reflector.state.message


def test_what_is_forbidden_is_asked_again_later(script: Script, watch: Callable[..., Watcher]) -> None:
    script.lists = [failure(403, "pods is forbidden", "Forbidden"), pods(pod("a", 1))]
    watcher = watch()
    watcher.until(lambda: watcher.states[-1:] == ["watching"])
    assert watcher.states[:1] == ["denied"]
    missed = [news.gap for news in watcher.news if isinstance(news, Missed)]
    assert [(gap.verb, gap.resource, gap.reason) for gap in missed] == [("list", "pods", "forbidden")]


def test_what_may_be_listed_but_not_watched_is_listed_again_and_again(
    script: Script, watch: Callable[..., Watcher]
) -> None:
    script.watches = [failure(403, "pods is forbidden: cannot watch", "Forbidden")]
    watcher = watch()
    watcher.until(lambda: script.count("list") >= 3)
    assert not any(isinstance(news, Missed) for news in watcher.news)
    assert "denied" in watcher.states


def test_a_kind_that_is_not_served_is_absent(script: Script, watch: Callable[..., Watcher]) -> None:
    script.lists = [failure(404, "the server could not find the requested resource", "NotFound"), pods()]
    watcher = watch()
    watcher.until(lambda: watcher.states[-1:] == ["watching"])
    assert watcher.states[:1] == ["absent"]


def test_what_the_server_does_not_name_is_not_watched(server: FakeApiServer, cluster: Cluster) -> None:
    server.on("/apis", reply({"items": [{"metadata": {"name": "apps"}, "versions": []}]}))
    watcher = Watcher(cluster, resource="gateways")
    watcher.until(lambda: watcher.states[-1:] == ["absent"])
    watcher.reflector.stop()
    assert {request.path for request in server.received} == {"/apis"}
    assert any(isinstance(news, Replaced) for news in watcher.news), "that there are none is known"
    assert not any(isinstance(news, Missed) for news in watcher.news)


def test_one_object_that_does_not_decode_is_named_and_the_rest_goes_on(
    script: Script, watch: Callable[..., Watcher]
) -> None:
    script.watches = [hang(event("ADDED", pod("odd", 11, containers=5)), event("ADDED", pod("b", 12)))]
    watcher = watch()
    watcher.until(lambda: "b" in watcher.store)
    skipped = [
        change.object
        for news in watcher.news
        if isinstance(news, Changed)
        for change in news.events
        if change.type == "SKIPPED"
    ]
    assert [(odd.namespace, odd.name) for odd in skipped] == [("shop", "odd")]
    assert "$.spec.containers" in skipped[0].error


def test_an_api_server_that_is_down_is_a_broken_stream_with_a_gap(
    server: FakeApiServer, script: Script, watch: Callable[..., Watcher]
) -> None:
    script.lists = [lambda exchange: exchange.reset()]
    watcher = watch()
    watcher.until(lambda: any(isinstance(news, Missed) for news in watcher.news) and watcher.states[-1:] == ["broken"])
    script.lists = [pods(pod("a", 1))]
    watcher.until(lambda: watcher.states[-1:] == ["watching"])
    assert sorted(watcher.store) == ["a"]


def test_a_version_that_is_refused_in_other_words_leads_to_a_list(
    script: Script, watch: Callable[..., Watcher]
) -> None:
    script.watches = [failure(504, "Too large resource version", "Timeout")] * 3 + [hang()]
    watcher = watch()
    watcher.until(lambda: script.count("list") == 2 and watcher.states[-1:] == ["watching"])


def test_what_was_read_is_logged_as_a_person_would_type_it(script: Script, watch: Callable[..., Watcher]) -> None:
    watcher = watch()
    watcher.until(lambda: watcher.states[-1:] == ["watching"])
    entries = [(news.kind, news.command, news.outcome) for news in watcher.news if isinstance(news, LogEntry)]
    assert entries == [
        ("read", "kubectl get pods -A", "1 object"),
        ("read", "kubectl get pods -A --watch-only", "opened"),
    ]


def test_a_stream_of_one_namespace(server: FakeApiServer, watch: Callable[..., Watcher]) -> None:
    script = Script(server, "/api/v1/namespaces/shop/pods")
    watcher = watch(namespace="shop")
    watcher.until(lambda: watcher.states[-1:] == ["watching"])
    assert script.versions == ["10"]


@pytest.mark.parametrize("answer", [hang(), lambda exchange: exchange.hang()], ids=["reading", "waiting"])
def test_a_watch_can_be_interrupted_whatever_it_waits_for(cluster: Cluster, script: Script, answer: Answer) -> None:
    script.watches = [answer]
    following = cluster.watch(RESOURCES["pods"], resource_version="10", timeout_seconds=300, read_timeout=3600.0)
    ended = Thread(target=lambda: list(following))
    ended.start()
    eventually(lambda: script.count("watch") == 1)
    following.interrupt()
    ended.join(20)
    assert not ended.is_alive()


def test_a_watch_asks_for_bookmarks_and_no_compression(server: FakeApiServer, cluster: Cluster, script: Script) -> None:
    script.watches = [says(bookmark(11))]
    following = cluster.watch(RESOURCES["pods"], resource_version="10", timeout_seconds=300)
    assert [[change.resource_version for change in batch] for batch in following] == [[], ["11"]]
    query = script.asked[0][1]
    assert query == {
        "watch": ["true"],
        "allowWatchBookmarks": ["true"],
        "resourceVersion": ["10"],
        "timeoutSeconds": ["300"],
    }
    request = server.received[-1]
    assert request.header("accept-encoding") == "identity"
    assert request.header("authorization") == "Bearer sesame"


def test_what_came_before_an_error_event_is_not_lost(cluster: Cluster, script: Script) -> None:
    script.watches = [says(event("ADDED", pod("b", 11)), event("ERROR", GONE))]
    following = iter(cluster.watch(RESOURCES["pods"], resource_version="10", timeout_seconds=300))
    assert next(following) == []
    assert [change.object.metadata.name for change in next(following)] == ["b"]
    with pytest.raises(ReadFailed) as caught:
        next(following)
    assert caught.value.reason == "gone"


def test_a_line_that_is_no_event_ends_the_watch(cluster: Cluster, script: Script) -> None:
    script.watches = [says(b"7\r\n<html>\n\r\n")]
    with pytest.raises(KubeError, match="a line of it cannot be read"):
        list(cluster.watch(RESOURCES["pods"], resource_version="10", timeout_seconds=300))


def test_an_event_in_pieces_is_put_together(cluster: Cluster, script: Script) -> None:
    line = json.dumps({"type": "ADDED", "object": pod("b", 11)}).encode() + b"\n"
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (line[:9], line[9:40], line[40:]))
    script.watches = [says(pieces)]
    batches = list(cluster.watch(RESOURCES["pods"], resource_version="10", timeout_seconds=300))
    assert [change.object.metadata.name for batch in batches for change in batch] == ["b"]


def _alive(name: str) -> bool:
    import threading

    return any(thread.name == name for thread in threading.enumerate())
