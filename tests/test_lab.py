"""The lab: who is let in, what is saved, what is run, and how it ends."""

import asyncio
import hashlib
import os
import re
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from lab_server import ask, origin_of, started_lab
from lesson_pages import need_the_emulator
from starlette.testclient import TestClient

from tinycnn import exercises
from tinycnn.command.main import cli
from tinycnn.lab.app import STATIC, VENDOR, application
from tinycnn.lab.folder import Changed, Folder, NameRefused, version_of
from tinycnn.lab.serve import hosts
from tinycnn.lab.work import Workshop, said

TOKEN, HOST = "right", "127.0.0.1:8000"
ORIGIN = {"Origin": f"http://{HOST}"}
MOST = 2**20  # bytes of a file
RIGHT = """// launch: kernel=twice grid=1 block=32 x=float[20] y=float[20] n=int:20
__global__ void twice(const float* x, float* y, int n) {
    const int i = threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
}
"""


@pytest.fixture
def lab(tmp_path):
    """A client whose addresses begin behind the token, and which knows its folder."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "pages").mkdir()
    workshop = Workshop(Folder(tmp_path / "mine"), tmp_path / "pages")
    client = TestClient(application(workshop, TOKEN, (HOST, "localhost:8000")), f"http://{HOST}/{TOKEN}/")
    client.folder, client.outside = tmp_path / "mine", TestClient(client.app, f"http://{HOST}/")
    return client


def save(lab, name, text, **headers):
    headers = {key.replace("_", "-"): value for key, value in headers.items()} or {"If-None-Match": "*"}
    return lab.put(f"files/{name}", content=text, headers={**ORIGIN, **headers})


def run(lab, what, name):
    answer = lab.post(f"run/{what}/{name}", headers=ORIGIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize(
    "address", ["", "wrong/", "wrong/files", "wrong/static/lab.js", "Right/files", "righ/files", "*"]
)
def test_without_the_token_nothing_is_answered(lab, address):
    for method in ("GET", "PUT", "POST", "OPTIONS"):
        answer = lab.outside.request(method, address, headers=ORIGIN)
        assert answer.status_code == 403 and "address that `tinycnn lab` has printed" in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "127.0.0.1:8001", "127.0.0.1", "127.0.0.1:8000.evil.example", ""]
)
def test_a_request_for_another_host_is_refused(lab, host):
    """A name of somebody else's that was made to lead to this machine."""
    assert lab.get("files", headers={"Host": host}).status_code == 403
    assert lab.get("files", headers={"Host": "localhost:8000"}).status_code == 200


def test_of_port_80_browsers_do_not_say_the_number():
    assert hosts(8000) == ["127.0.0.1:8000", "localhost:8000"]
    assert {"127.0.0.1", "localhost", "127.0.0.1:80", "localhost:80"} == set(hosts(80))


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8000", "http://127.0.0.1:80000"])
def test_a_request_from_another_page_is_refused(lab, origin):
    (lab.folder / "mine.cu").write_text(RIGHT)
    for method, address in [("GET", "files"), ("PUT", "files/new.cu"), ("POST", "run/check/mine.cu")]:
        assert lab.request(method, address, headers={"Origin": origin}).status_code == 403
    assert os.listdir(lab.folder) == ["mine.cu"]


def test_a_request_that_changes_something_says_where_it_comes_from(lab):
    assert lab.put("files/new.cu", content="", headers={"If-None-Match": "*"}).status_code == 403
    assert lab.post("exercises/guard").status_code == 403
    assert os.listdir(lab.folder) == []


def test_the_page_has_no_code_but_its_own_files(lab):
    answer = lab.get("")
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert answer.status_code == 200 and {"default-src 'none'", "script-src 'self'"} <= set(policy)
    assert "unsafe" not in str(policy)
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=", answer.text)
    for address in re.findall(r'(?:src|href)="(?!data:)([^"]+)"', answer.text):
        assert lab.get(address).status_code == 200, address
    assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
    for exercise in map(exercises.load, exercises.NAMES):
        assert exercise.title in answer.text.replace("&#39;", "'") and f'data-task="{exercise.name}' in answer.text


def test_of_the_lab_s_own_files_only_the_page_s_are_served(lab):
    for name in ("app.py", "README.md", "lab.html", "..%2Fapp.py", "%2e%2e/app.py"):
        assert lab.get(f"static/{name}").status_code == 404
    assert set(STATIC) <= {path.name for place, _ in STATIC.values() for path in place.iterdir()}


def test_codemirror_is_as_it_was_published():
    """The hashes are those in the README beside it."""
    rows = re.findall(
        r"^\| `([\w.]+)` \| `[\w./]+` \| `(\w{64})` \|$", (VENDOR / "README.md").read_text(), re.MULTILINE
    )
    assert {name for name, _ in rows} == {path.name for path in VENDOR.iterdir()} - {"README.md"}
    for name, digest in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    "name",
    ["../out.cu", "..%2Fout.cu", "%2e%2e%2fout.cu", "a%5C..%5Cout.cu", ".hidden.cu", "-o.cu", "out.txt", "out",
     "a%00.cu", "a%0A.cu", "x" * 250 + ".cu", "%2Ftmp%2Fout.cu"],
)  # fmt: skip
def test_a_file_has_a_plain_name_in_the_folder(lab, name):
    before = set(lab.folder.parent.rglob("*"))
    for answer in (save(lab, name, "x"), lab.get(f"files/{name}"), lab.post(f"run/check/{name}", headers=ORIGIN)):
        assert answer.status_code in (400, 403, 404, 405)
    assert set(lab.folder.parent.rglob("*")) == before


@pytest.mark.parametrize("name", ["../out.cu", "/tmp/out.cu", "a/b.cu", "..", "", "a.cu\n", "a.cu\0", "-o.cu", ".a.cu"])
def test_a_folder_itself_refuses_such_names(tmp_path, name):
    with pytest.raises(NameRefused):
        Folder(tmp_path).file(name)


def test_a_link_out_of_the_folder_is_neither_read_nor_written(lab):
    outside = lab.folder.parent / "secret.cu"
    outside.write_text("secret")
    (lab.folder / "link.cu").symlink_to(outside)
    assert lab.get("files/link.cu").status_code == 400
    assert save(lab, "link.cu", "x", If_Match=f'"{version_of(b"secret")}"').status_code == 400
    assert outside.read_text() == "secret" and lab.get("files").json() == []


def test_what_is_saved_is_what_is_read_byte_for_byte(lab):
    text = "// ein Würfel\r\n\tx\n\n"
    answer = save(lab, "mine.cu", text.encode())
    assert answer.status_code == 204 and (lab.folder / "mine.cu").read_bytes() == text.encode()
    again = lab.get("files/mine.cu")
    assert again.content == text.encode() and again.headers["ETag"] == answer.headers["ETag"]
    assert again.headers["Content-Type"].startswith("text/plain") and os.listdir(lab.folder) == ["mine.cu"]


def test_of_two_who_began_from_one_version_the_second_saves_nothing(lab):
    first = save(lab, "mine.cu", "begun").headers["ETag"]
    second = save(lab, "mine.cu", "one tab", If_Match=first)
    assert second.status_code == 204
    assert save(lab, "mine.cu", "the other tab", If_Match=first).status_code == 412
    assert (lab.folder / "mine.cu").read_text() == "one tab"
    assert save(lab, "mine.cu", "on it goes", If_Match=second.headers["ETag"]).status_code == 204
    (lab.folder / "mine.cu").write_text("by another editor")
    assert save(lab, "mine.cu", "late", If_Match=second.headers["ETag"]).status_code == 412
    assert save(lab, "mine.cu", "as if it were new").status_code == 412
    (lab.folder / "mine.cu").unlink()
    assert save(lab, "mine.cu", "gone", If_Match=second.headers["ETag"]).status_code == 412
    assert os.listdir(lab.folder) == []


def test_who_does_not_say_what_the_text_began_from_saves_nothing(lab):
    for headers in ({"X-Nothing": "1"}, {"If_None_Match": '"a"'}, {"If_None_Match": "*", "If_Match": '"a"'}):
        assert save(lab, "mine.cu", "x", **headers).status_code == 428
    assert os.listdir(lab.folder) == []


def test_a_file_is_a_text_of_at_most_a_mebibyte(lab):
    assert save(lab, "large.cu", b"x" * (MOST + 1)).status_code == 413
    assert save(lab, "bytes.cu", b"\xff\xfe").status_code == 400
    assert os.listdir(lab.folder) == []
    assert save(lab, "largest.cu", b"x" * MOST).status_code == 204
    (lab.folder / "there.cu").write_bytes(b"x" * (MOST + 1))
    (lab.folder / "picture.cu").write_bytes(b"\x89PNG\xff")
    assert lab.get("files/there.cu").status_code == lab.get("files/picture.cu").status_code == 400


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    version = folder.save("mine.cu", b"before", "")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        folder.save("mine.cu", b"after", version)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
    with pytest.raises(Changed):
        folder.save("mine.cu", b"after", version_of(b"after"))


def test_an_exercise_is_begun_once_and_kept(lab):
    for name in exercises.NAMES:
        exercise = exercises.load(name)
        file = lab.post(f"exercises/{name}", headers=ORIGIN).json()["file"]
        assert (lab.folder / file).read_text() == exercise.text("start")
    (lab.folder / "guard.cu").write_text("mine by now")
    assert lab.post("exercises/guard", headers=ORIGIN).json() == {"file": "guard.cu"}
    assert (lab.folder / "guard.cu").read_text() == "mine by now"
    assert lab.post("exercises/gard", headers=ORIGIN).status_code == 404
    (lab.folder / "guard.py").write_text("")  # which no exercise is in
    judged = {one["name"]: one["judged"] for one in lab.get("files").json()}
    assert judged.pop("guard.py") is False and len(judged) == len(exercises.NAMES) and all(judged.values())


# ---------------------------------------------------------------- commands


def test_the_buttons_say_what_the_commands_say(lab, monkeypatch):
    need_the_emulator()
    (lab.folder / "mine.cu").write_text(RIGHT)
    (lab.folder / "barrier.cu").write_text(exercises.load("barrier").text("start"))
    (lab.folder / "swish_gradient.py").write_text(exercises.load("swish_gradient").text("solution"))
    monkeypatch.chdir(lab.folder)
    for what, words in [
        ("check", ["check", "mine.cu"]), ("check", ["check", "barrier.cu"]), ("trace", ["trace", "mine.cu"]),
        ("judge", ["judge", "barrier.cu", "--exercise", "barrier"]),
        ("judge", ["judge", "swish_gradient.py", "--exercise", "swish_gradient"]),
    ]:  # fmt: skip
        want, got = CliRunner().invoke(cli, words), run(lab, what, words[1])
        assert (got["status"], got["text"]) == (want.exit_code, want.output)
        assert got["command"] == f"tinycnn {' '.join(words)}" and got["page"] is None
        assert got["version"] == hashlib.sha256((lab.folder / words[1]).read_bytes()).hexdigest()


def test_play_makes_a_page_that_has_no_way_to_the_lab(lab):
    need_the_emulator()
    (lab.folder / "mine.cu").write_text(RIGHT)
    got = run(lab, "play", "mine.cu")
    page = lab.get(f"pages/{got['page']}")
    assert got["status"] == 0 and "What mine.cu does" in page.text
    assert page.headers["Content-Security-Policy"] == "sandbox allow-scripts"
    assert os.listdir(lab.folder) == ["mine.cu"]
    for name in ("files/..%2Fmine.cu", "files/other.html", "else/mine.html", "files/mine.cu"):
        assert lab.get(f"pages/{name}").status_code == 404


def test_a_lesson_is_made_once(lab, tmp_path):
    need_the_emulator()
    got = run(lab, "lesson", "gradient")
    (page,) = (tmp_path / "pages" / "lessons").iterdir()
    made = page.stat().st_mtime_ns
    assert got["page"] == "lessons/gradient.html" and run(lab, "lesson", "gradient") == got
    assert page.stat().st_mtime_ns == made


def test_what_does_not_build_is_told(lab):
    need_the_emulator()
    (lab.folder / "mine.cu").write_text(RIGHT.replace("2 * x", "2 * z"))
    for what in ("check", "trace", "play"):
        got = run(lab, what, "mine.cu")
        assert got["status"] == 2 and "mine.cu:4" in got["text"] and "z" in got["text"] and got["page"] is None


def test_a_button_that_a_file_does_not_have_is_refused(lab):
    for name in ("mine.cu", "mine.cuh", "swish_gradient.py"):
        (lab.folder / name).write_text("")
    for what, name in [
        ("judge", "mine.cu"), ("check", "mine.cuh"), ("check", "swish_gradient.py"), ("train", "mine.cu"),
        ("play", "swish_gradient.py"), ("lesson", "all"), ("lesson", "mine.cu"), ("check", "gone.cu"),
    ]:  # fmt: skip
        assert lab.post(f"run/{what}/{name}", headers=ORIGIN).status_code == 404, (what, name)


def test_a_command_imports_nothing_from_the_student_s_folder(lab, monkeypatch):
    """Also where the lab was started there, by python -m."""
    need_the_emulator()
    (lab.folder / "mine.cu").write_text(RIGHT)
    for name in ("click", "json", "numpy", "tinycnn"):
        (lab.folder / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.setattr(sys, "path", [str(lab.folder), *sys.path])
    assert run(lab, "check", "mine.cu")["text"] == "1 launch of 1 kernel: 0 reports\n"


def test_the_commands_are_those_of_the_lab_s_own_tinycnn(lab, monkeypatch, tmp_path):
    need_the_emulator()
    (lab.folder / "mine.cu").write_text(RIGHT)
    (tmp_path / "another" / "tinycnn").mkdir(parents=True)
    (tmp_path / "another" / "tinycnn" / "__init__.py").write_text("raise SystemExit('another tinycnn')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "another"))
    assert run(lab, "check", "mine.cu")["text"] == "1 launch of 1 kernel: 0 reports\n"


def test_a_file_has_one_command_at_a_time_and_two_files_have_two(tmp_path, monkeypatch):
    """Seen by who is inside at the same time."""
    inside, most = [], {}

    async def seen(words, folder):
        inside.append(words[1])
        most[len(set(inside)), len(inside)] = True
        for _ in range(10):
            await asyncio.sleep(0)
        inside.remove(words[1])
        return 0, ""

    monkeypatch.setattr("tinycnn.lab.work.said", seen)
    workshop = Workshop(Folder(tmp_path), tmp_path)
    for name in ("a.cu", "b.cu"):
        (tmp_path / name).write_text("")

    async def both():
        await asyncio.gather(*(workshop.begin(what, name) for what in ("check", "trace") for name in ("a.cu", "b.cu")))

    asyncio.run(both())
    assert (2, 2) in most and all(files == commands for files, commands in most)


def children_of(pid):
    """The processes below a process, by its number."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found += [int(path.parent.name), *children_of(int(path.parent.name))]
    return found


ENDLESS = RIGHT.replace(
    "// launch", "static int hang() { for (volatile int i = 0;;) i = 1; }\nint never = hang();\n// launch"
)


async def running(pid, before=()):
    """The processes below `pid`, when a command of the lab's and its own child are there. before: others."""
    while len(found := set(children_of(pid)) - set(before)) < 2:
        await asyncio.sleep(0.05)
    return found


async def gone(pids):
    """Until these processes have ended."""
    while any(alive(pid) for pid in pids):
        await asyncio.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc, which Linux has")
def test_who_is_not_waited_for_any_more_is_ended_with_its_child(tmp_path):
    """A kernel file that never ends, and does so outside every launch."""
    need_the_emulator()
    (tmp_path / "mine.cu").write_text(ENDLESS)

    async def cancelled():
        before = children_of(os.getpid())
        task = asyncio.create_task(said(["check", "mine.cu"], tmp_path))
        found = await running(os.getpid(), before)
        task.cancel()
        await asyncio.wait({task})
        return found

    found = asyncio.run(asyncio.wait_for(cancelled(), 60))
    assert not found & set(children_of(os.getpid()))
    asyncio.run(asyncio.wait_for(gone(found), 60))  # a child that had only begun ends by itself


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


# ---------------------------------------------------------------- the command


@pytest.fixture
def started(tmp_path):
    """(process, its address)"""
    with started_lab(tmp_path / "mine", tmp_path) as pair:
        yield pair


def test_it_listens_on_this_machine_only_and_prints_an_address_that_nobody_guesses(started, tmp_path):
    process, address = started
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
    assert ask("GET", address) == 200 and (tmp_path / "mine").is_dir()
    assert ask("GET", address[:-2] + "/") == 403
    port = int(address.split(":")[2].split("/")[0])
    result = CliRunner().invoke(cli, ["lab", str(tmp_path / "mine"), "--no-browser", "--port", str(port)])
    assert isinstance(result.exception, OSError) and f"port {port} cannot be had" in str(result.exception)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", port)).close()  # this machine too, by another of its numbers


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_also_while_a_command_runs(started, tmp_path, how):
    need_the_emulator()
    process, address = started
    (tmp_path / "mine" / "mine.cu").write_text(ENDLESS)
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, "POST", address + "run/check/mine.cu", {"Origin": origin_of(address)})
        found = asyncio.run(asyncio.wait_for(running(process.pid), 60))
        process.send_signal(how)
        said_last = process.stdout.read()
        assert process.wait(30) == 0 and said_last == f"ended; your files are in {tmp_path / 'mine'}\n"
        assert answer.result(30) == 499
    asyncio.run(asyncio.wait_for(gone(found), 60))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]  # the pages are gone


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked for in /proc, which Linux has")
def test_a_command_ends_when_the_page_that_asked_for_it_is_closed(started, tmp_path):
    need_the_emulator()
    process, address = started
    (tmp_path / "mine" / "mine.cu").write_text(ENDLESS)
    host, _, token = address.removeprefix("http://").strip("/").partition("/")
    lines = [
        f"POST /{token}/run/check/mine.cu HTTP/1.1",
        f"Host: {host}",
        f"Origin: http://{host}",
        "Content-Length: 0",
    ]
    with socket.create_connection(tuple(host.split(":"))) as page:
        page.sendall("\r\n".join([*lines, "", ""]).encode())
        found = asyncio.run(asyncio.wait_for(running(process.pid), 60))

    asyncio.run(asyncio.wait_for(gone(found), 60))
    assert ask("GET", address + "files") == 200


def test_killed_it_has_lost_nothing_that_it_said_it_has_saved(started, tmp_path):
    process, address = started
    headers = {"Origin": origin_of(address), "If-None-Match": "*"}
    assert ask("PUT", address + "files/mine.cu", headers, RIGHT.encode()) == 204
    process.kill()
    process.wait()
    assert (tmp_path / "mine" / "mine.cu").read_text() == RIGHT


def test_without_starlette_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("tinycnn.command.lab.find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["lab", str(tmp_path / "mine")])
    assert result.exit_code == 1 and not (tmp_path / "mine").exists()
    assert "the lab needs starlette and uvicorn: pip install 'tinycnn[lab]'" in result.output
