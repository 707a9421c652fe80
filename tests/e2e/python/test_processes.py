"""Publishing in processes that fork and spawn others, as data loaders do."""

import os
import subprocess
import sys

from tests.support.cli.program import Program

FORK = """
import os, socket, sys, warnings
warnings.simplefilter("ignore")  # a fork beside threads is what this is about
import roar_publisher
from roar_publisher import events

known, children = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n != "3"}, []
reading, writing = os.pipe()

def fork(event):
    if not (isinstance(event, events.StateEvent) and event.state == "finalize"):
        return
    child = os.fork()
    if child == 0:
        os.close(writing)
        kinds = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                kinds[name] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:  # the handle of the folder itself
                pass
        sockets = [socket.socket(fileno=int(name)) for name, link in kinds.items() if link.startswith("socket:")]
        print("connections", sum(each.family == socket.AF_INET for each in sockets))
        new = set(kinds.values()) - known
        print("locks", sum(link.endswith("/lock") for link in new))
        sys.stdout.flush()
        os.read(reading, 1)  # outlives the publish, like a worker
        os._exit(0)
    children.append(child)

first = roar_publisher.publish(visibility="public", registry=sys.argv[1], yes=True, on_progress=fork)
print("children", len(children))
again = roar_publisher.resume(first.publish_id)  # while the child still lives
print("same", again == first, roar_publisher.publishes()[0].owner)
os.close(writing)
for child in children:
    os.waitpid(child, 0)
"""

FORK_BESIDE = """
import multiprocessing, os, queue, socket, sys, threading, warnings
warnings.simplefilter("ignore")
import roar_publisher
from roar_publisher import events

context = multiprocessing.get_context("fork")
known = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n != "3"}

def worker(sending):
    links = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            links[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the handle of the folder itself
            pass
    sockets = [socket.socket(fileno=os.dup(int(name))) for name, link in links.items() if link.startswith("socket:")]
    connections = sum(each.family == socket.AF_INET for each in sockets)
    locks = sum(link.endswith("/lock") for link in set(links.values()) - known)
    seen = len(roar_publisher.publishes())  # the parent's state is read, not used
    sending.send((connections, locks, seen))

states, forked, results = queue.Queue(), threading.Semaphore(0), []

def look(event):
    if isinstance(event, events.StateEvent):
        states.put(event.state)
        forked.acquire()  # the loop of the publish goes on in its own thread

def publish():
    results.append(roar_publisher.publish(visibility="public", registry=sys.argv[1], yes=True, on_progress=look))
    states.put(None)

thread = threading.Thread(target=publish)
thread.start()
while (state := states.get()) is not None:
    receiving, sending = context.Pipe()
    child = context.Process(target=worker, args=(sending,))
    child.start()
    forked.release()
    print(state, receiving.recv())
    child.join()
thread.join()

def another(sending):
    sending.send(roar_publisher.publish(visibility="public", registry=sys.argv[1], yes=True).hash)

receiving, sending = context.Pipe()
child = context.Process(target=another, args=(sending,))
child.start()
print("same", receiving.recv() == results[0].hash)
child.join()
"""

KILLED = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")
import roar_publisher
from roar_publisher import events

def fork_and_die(event):
    if isinstance(event, events.StateEvent) and event.state == "stage":
        child = os.fork()
        if child == 0:
            os.close(0)
            os.read(int(sys.argv[2]), 1)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGKILL)

roar_publisher.publish(visibility="public", registry=sys.argv[1], yes=True, on_progress=fork_and_die)
"""

SPAWN = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import roar_publisher
from roar_publisher import errors

def publish(visibility):
    return roar_publisher.publish(visibility=visibility, registry=sys.argv[1])

if __name__ == "__main__":
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            pool.submit(publish, "public").result()
        except errors.Unfinished as error:
            print(error.reason, roar_publisher.resume(error.publish_id, yes=True).publish_id == error.publish_id)
        print(pool.submit(publish, "anonymous").result().identity)
"""


def run(code: str, program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the project."""
    script = program.state.parent / "script.py"
    script.write_text(code, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=program.cwd,
        env=program.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_forked_worker_inherits_neither_lock_nor_connection(program: Program, registry: str) -> None:
    done = run(FORK, program, registry)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == ["children 1", "connections 0", "locks 0", "same True None"]


def test_workers_forked_beside_a_publish_of_another_thread_are_free_of_it(program: Program, registry: str) -> None:
    """As a DataLoader forks them while a checkpoint is published. They can publish themselves."""
    done = run(FORK_BESIDE, program, registry)
    assert (done.returncode, done.stderr) == (0, "")
    *states, last = done.stdout.splitlines()
    assert [line.split()[0] for line in states] == ["probe", "auth-select", "open", "stage", "finalize", "done"]
    assert {line.split(maxsplit=1)[1] for line in states} == {"(0, 0, 1)"}
    assert last == "same True"


def test_a_worker_that_outlives_a_killed_publish_does_not_keep_it(program: Program, registry: str) -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-c", KILLED, registry, str(reading)],
            cwd=program.cwd,
            env=program.env,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
            pass_fds=(reading,),
        )
        assert done.returncode == -9
        [publish_id] = program.publishes
        assert program("publish", "--resume", publish_id, "-q").code == 0
    finally:
        os.close(writing)  # the worker ends
        os.close(reading)


def test_a_spawned_process_publishes_and_its_errors_come_back(program: Program, registry: str) -> None:
    done = run(SPAWN, program, registry)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["needs confirmation True", "anonymous"]
