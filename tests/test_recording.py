"""Recordings: what `capture` writes, `--replay` reads, and that both say what a live run says."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import pty
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from simulate import simulate
from simulated_apiserver import SimulatedApiServer
from suites import load_suites
from svcdoctor.cluster.kube import Cluster, ConnectOptions
from svcdoctor.demo import recorded_demo
from svcdoctor.diagnosis import Scope, diagnose, diagnose_recorded
from svcdoctor.labels import parse
from svcdoctor.recordings.capture import without_secrets
from svcdoctor.recordings.moments import Watched
from svcdoctor.recordings.recording import packed, recorded, unpacked
from svcdoctor.report import json as report_json
from svcdoctor.report import text as report_text
from svcdoctor.world import World
from test_cli import BROKEN, Doctor, serving
from test_live import QUICK, service, shop
from watched_apiserver import WatchedApiServer

CANARY = "hunter2secret"
CHECKS = Path(__file__).parent / "checks"
SOME = ("selector_finds_pods", "ports_resolve_on_pods", "names_callers_use_exist")


def file_of(*worlds: World, scope: Scope = Scope()) -> bytes:  # noqa: B008 - immutable
    file = io.BytesIO()
    packed((without_secrets(recorded(world, scope)) for world in worlds), file)
    return file.getvalue()


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[Doctor]:
    with serving(BROKEN) as server:
        yield Doctor(server, tmp_path)


# --- the same report ---------------------------------------------------------------------------------------------


def test_the_demo_gives_the_same_bytes_from_a_capture() -> None:
    demo = recorded_demo()
    again = unpacked(file_of(*demo.worlds)).worlds
    assert len(again) == len(demo.worlds) > 1
    for before, after in zip(demo.worlds, again, strict=True):
        wanted, found = diagnose(before, Scope()).diagnosis, diagnose_recorded(after, Scope())
        assert report_json.render(found) == report_json.render(wanted)
        assert report_text.render(found) == report_text.render(wanted)


def at_any_time(report: str) -> str:
    """Two runs are a second apart."""
    return re.sub(r'"observedAt": "[^"]+"', "", report)


def same_from_a_capture(doctor: Doctor, directory: Path, *scope: str) -> None:
    file = str(directory / "world.json.zst")
    captured = doctor("capture", *scope, "-o", file)
    assert (captured.returncode, captured.stdout) == (0, ""), captured.stderr
    for form in ("text", "json"):
        live, replayed = doctor("diagnose", *scope, "-o", form), doctor("diagnose", "--replay", file, "-o", form)
        assert at_any_time(replayed.stdout) == at_any_time(live.stdout)
        assert replayed.returncode == live.returncode


@pytest.mark.parametrize("suite", SOME)
def test_a_cluster_gives_the_same_bytes_from_a_capture(suite: str, tmp_path: Path) -> None:
    case = load_suites(CHECKS / f"{suite}.md")[0].cases[0]
    with SimulatedApiServer(simulate(case.manifests(), case.observed())) as server:
        same_from_a_capture(Doctor(server, tmp_path), tmp_path, "-A")


@pytest.mark.parametrize("scope", [(), ("cart", "svc/weeb"), ("-n", "store"), ("-A", "-l", "tier=shop,app!=x")])
def test_what_was_asked_is_recorded_too(doctor: Doctor, scope: tuple[str, ...], tmp_path: Path) -> None:
    same_from_a_capture(doctor, tmp_path, *scope, "--no-probe")


def test_a_refusal_is_replayed_as_one(doctor: Doctor, tmp_path: Path) -> None:
    doctor.server.forbids = lambda resource, namespace: resource in ("endpointslices", "nodes")
    same_from_a_capture(doctor, tmp_path, "--no-probe")


# --- replaying ---------------------------------------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path: Path) -> str:
    path = tmp_path / "all.json.zst"
    path.write_bytes(file_of(simulate(BROKEN)))
    return str(path)


def test_a_recording_answers_other_questions(doctor: Doctor, recording: str) -> None:
    assert "1 Service: 1 pass" in doctor("diagnose", "--replay", recording, "-n", "store").stdout
    assert doctor("diagnose", "web", "--replay", recording).stdout.endswith("1 Service: 1 pass\n")
    assert "2 Services: 1 pass, 1 fail" in doctor("diagnose", "--replay", recording, "-A", "-l", "tier=shop").stdout
    assert doctor("diagnose", "--replay", recording, "-A", "-o", "name").stdout == "service/cart\n"
    assert doctor("diagnose", "--replay", recording, "--fail-on", "never").returncode == 0
    assert doctor("--replay", recording, "-A").stdout == doctor("diagnose", "--replay", recording).stdout
    assert not doctor.server.received


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--context", "kind"), "--context is about a cluster, and --replay reads none"),
        (("--all-contexts",), "--all-contexts is about a cluster, and --replay reads none"),
        (("--no-probe",), "--no-probe is about a cluster"),
        (("--from", "web"), "--from is about a cluster"),
        (("-v",), "--verbose is about a cluster"),
        (("-n", "shpo"), "there is no namespace 'shpo'"),
        (("kart",), "the recording holds no Service kart"),
        (("cart", "stock"), "cart or stock is in namespaces shop, store; name one with -n"),
    ],
)
def test_what_a_recording_cannot_be_asked(doctor: Doctor, recording: str, flags: tuple[str, ...], said: str) -> None:
    done = doctor("diagnose", "--replay", recording, *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_was_not_recorded_is_unknown_and_never_empty() -> None:
    world = simulate(BROKEN)
    world.forget("endpointslices")
    found = diagnose_recorded(unpacked(file_of(world)).worlds[0], Scope("shop"))
    assert [entry.status for entry in found.services] == ["unknown", "unknown"]
    gap = next(gap for gap in found.denied if gap.resource == "endpointslices")
    assert (gap.reason, gap.message) == ("not-recorded", "the recording does not hold them")
    assert "(not-recorded: the recording does not hold them)" in report_text.render(found)


def test_to_replay_changes_nothing_in_the_recording() -> None:
    world = simulate(BROKEN)
    world.forget("endpointslices")
    before = world.record()
    assert diagnose_recorded(world, Scope("shop")) == diagnose_recorded(world, Scope("shop"))
    assert world.record() == before


def test_a_scope_survives() -> None:
    scope = Scope("shop", labels=parse("app in (a, b), !old, tier"), client=("shop", "web-1"))
    assert unpacked(file_of(simulate([]), scope=scope)).scope == scope
    named = Scope("shop", names=("web", "cart"))
    assert unpacked(file_of(simulate([]), scope=named)).scope == named


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pack", [zstandard.compress, lzma.compress, gzip.compress, bytes], ids=("zstd", "xz", "gz", "")
)
def test_a_file_may_be_packed_in_any_usual_way(pack: Any) -> None:
    text = recorded(simulate(BROKEN), Scope("shop"))
    assert unpacked(pack(text + b"\n" + text)).scope == Scope("shop")
    laid_out = json.dumps(json.loads(text), indent=2).encode()
    assert len(unpacked(pack(laid_out)).worlds) == 1


ZSTD = file_of(simulate(BROKEN))
EMPTY = b'{"context":"x","now":"2026-01-01T00:00:00Z","objects":{}'
BAD = {
    "cut zstd": (ZSTD[: len(ZSTD) // 2], "not a record"),
    "only the magic": (ZSTD[:4], "not a recording: it is empty"),
    "turned bits": (ZSTD[:40] + bytes([ZSTD[40] ^ 0xFF]) + ZSTD[41:], "not a record"),
    "cut gzip": (gzip.compress(b"{" + b"x" * 5000)[:-9], "not a recording"),
    "nested": (EMPTY + b',"gaps":' + b"[" * 100_000 + b"}", "not a record"),
    "odd scope": (EMPTY + b',"scope":{"namespace":7}}', "not a recording"),
    "second moment": (recorded(simulate([]), Scope()) + b"\n{}\n", "(moment 2 of 2 moments)"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD)
def test_a_bad_file_is_one_sentence(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=r"^not a record") as raised:
        unpacked(content)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="it unpacks to more than 1 MiB"):
        unpacked(zstandard.compress(b" " * (2 << 20)), most=1 << 20)


def test_what_a_recording_says_reaches_no_terminal_raw() -> None:
    world = simulate(BROKEN)
    text = recorded(world, Scope()).replace(b'"cart"', b'"ca\\u001b[31mrt"')
    found = diagnose_recorded(unpacked(text).worlds[0], Scope())
    assert "\x1b" not in report_text.render(found)


# --- capture -----------------------------------------------------------------------------------------------------


def test_a_capture_goes_to_no_terminal(doctor: Doctor) -> None:
    ours, theirs = pty.openpty()
    process = doctor.start("capture", "--no-probe", stdout=theirs)
    _, said = process.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 2
    assert b"not for a terminal: add > world.json.zst, or -o world.json.zst" in said
    assert not doctor.server.received


def test_a_capture_says_what_it_holds_and_no_secret_is_in_it(tmp_path: Path) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "db", "namespace": "shop"}, "data": {"password": CANARY}}
    config = {"kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"motto": CANARY}}
    cart = json.loads(json.dumps(BROKEN[0]))
    cart["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "DB_PASSWORD", "value": CANARY},
        {"name": "DB_URL", "value": f"postgres://shop:{CANARY}@db:5432/shop"},
    ]
    world = simulate([cart, *BROKEN[1:], config])
    with SimulatedApiServer(world) as server:
        server.on("/api/v1/namespaces/shop/secrets", lambda exchange: pytest.fail("Secrets are never read"))
        server.add("pods", {"kind": "Pod", "metadata": {"name": "raw", "namespace": "shop"}, "data": secret})
        file = tmp_path / "world.json.zst"
        done = Doctor(server, tmp_path)("capture", "--no-probe", "-o", str(file))
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert re.search(r"captured \d+ objects of \d+ kinds, [\d.]+ kB", said)
    assert " services 5," in said and " configmaps 2," in said
    assert "none of" in said and "ingresses" in said
    assert "left out Secrets (never read), settings that name no host" in said
    assert f"svcdoctor diagnose --replay {file}" in said
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kubeconfig", "world.json.zst"]
    text = zstandard.ZstdDecompressor().stream_reader(file.read_bytes()).read()
    assert CANARY.encode() not in text
    assert b"postgres://REDACTED@db:5432/shop" in text


def test_a_redacted_capture_is_about_the_same_services_by_other_names(doctor: Doctor, tmp_path: Path) -> None:
    file = str(tmp_path / "w.zst")
    done = doctor("capture", "web", "--no-probe", "--redact", "-o", file)
    assert "renamed words that svcdoctor does not look for, addresses" in " ".join(done.stderr.split())
    replayed = doctor("diagnose", "--replay", file)
    assert replayed.stdout.endswith("1 Service: 1 pass\n")
    assert "shop" not in replayed.stdout


def test_a_capture_to_a_pipe_is_the_file(doctor: Doctor) -> None:
    process = doctor.start("capture", "--no-probe")
    out, _ = process.communicate(timeout=60)
    assert unpacked(out).scope == Scope("shop")


def test_a_device_or_a_named_pipe_is_written_to_and_stays(doctor: Doctor, tmp_path: Path) -> None:
    """Put in its place, a file for /dev/null would be there for every program of the machine."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with doctor.start("capture", "--no-probe", "-o", str(pipe)) as process:
        assert unpacked(pipe.read_bytes()).scope == Scope("shop")
        assert process.wait(60) == 0
    assert pipe.is_fifo()
    assert [path.name for path in tmp_path.glob("pipe*")] == ["pipe"]


def test_a_capture_that_fails_leaves_no_file(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("capture", "-n", "shpo", "-o", str(tmp_path / "w.zst"))
    assert (done.returncode, "there is no namespace 'shpo'" in done.stderr) == (2, True)
    nowhere = doctor("capture", "-o", str(tmp_path / "none" / "w.zst"))
    assert nowhere.returncode == 1
    assert "w.zst cannot be written: No such file or directory" in nowhere.stderr
    assert not list(tmp_path.glob("*.zst*"))


def test_how_long_to_watch_is_for_a_watch(doctor: Doctor) -> None:
    done = doctor("capture", "--for", "5s", "-o", "w.zst")
    assert (done.returncode, "--for says how long to --watch" in done.stderr) == (2, True)


def test_a_watch_may_be_ended_by_a_time_and_is_replayed(tmp_path: Path) -> None:
    with WatchedApiServer(simulate(BROKEN)) as server:
        file = str(tmp_path / "w.zst")
        doctor = Doctor(server, tmp_path)
        done = doctor("capture", "--watch", "--for", "1s", "--no-probe", "-o", file)
    assert done.returncode == 0 and "recording changes for 1 s, or until ctrl-C" in done.stderr, done.stderr
    assert "✗ shop/cart" in doctor("diagnose", "--replay", file).stdout


def test_a_watch_ends_at_once_where_there_is_nothing_to_watch(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor("capture", "--watch", "-n", "shpo", "-o", str(tmp_path / "w.zst"))
    assert (done.returncode, "there is no namespace 'shpo'" in done.stderr) == (2, True)
    assert not list(tmp_path.glob("*.zst*"))


# --- several moments ---------------------------------------------------------------------------------------------


def test_a_watch_records_a_moment_for_each_change(tmp_path: Path) -> None:
    with WatchedApiServer(shop()) as server:
        cluster = Cluster.connect(ConnectOptions(kubeconfig=str(server.kubeconfig(tmp_path))))
        watched = Watched(cluster, Scope("shop"), probe=False, between=0.0, timing=QUICK)
        moments = watched.moments()
        first = next(moments)
        wrong = service("cart")
        wrong["spec"]["selector"] = {"app": "kart"}
        document = server.get("services", "shop", "cart")
        document["spec"]["selector"] = {"app": "kart"}
        server.change("services", "MODIFIED", document)
        lines = [first, next(moments)]
        watched.stop()
        lines += moments
    assert not [thread for thread in threading.enumerate() if thread.name == "live" and not thread.daemon]
    worlds = unpacked(b"\n".join(lines)).worlds
    statuses = [diagnose_recorded(world, Scope("shop", names=("cart",))).services[0].status for world in worlds]
    assert statuses[0] == "pass" and statuses[-1] == "fail"
    assert len({world.changes for world in worlds}) == 1  # nobody follows what is replayed
