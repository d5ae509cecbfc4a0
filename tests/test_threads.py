"""Modes belong to the thread that set them; what is set for the process is seen by new threads."""

import asyncio
import threading

import numpy as np
import pytest
from small_trainings import again, assert_alike_alone_and_at_once, fit, linear, toy

import tinycnn
from tinycnn import Tensor
from tinycnn.devices import current_device


def in_a_thread(function):
    """What `function` returns in a thread of its own; raises what it raises."""
    result = []

    def run():
        try:
            result.append(function())
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


def remembers():
    x = Tensor([1.0], requires_grad=True)
    return (x * x).requires_grad


def test_no_grad_holds_for_its_own_thread_alone(float64):
    with tinycnn.no_grad():
        assert not remembers()
        assert in_a_thread(remembers)
    assert remembers()


def test_blocks_of_no_grad_that_overlap_in_two_threads_end_each_for_itself(float64):
    inside, leave, both, end = (threading.Event() for _ in range(4))

    def first():
        with tinycnn.no_grad():
            inside.set()
            leave.wait(60)
        return remembers()

    def second():
        inside.wait(60)
        with tinycnn.no_grad():
            both.set()
            end.wait(60)
        return remembers()

    found = []
    threads = [threading.Thread(target=lambda f=f: found.append(f())) for f in (first, second)]
    for thread in threads:
        thread.start()
    assert both.wait(60)
    leave.set()
    threads[0].join()
    end.set()
    threads[1].join()
    assert found == [True, True] and remembers()


def test_use_device_holds_for_its_own_thread_and_set_device_for_all():
    before = tinycnn.get_device().name
    try:
        tinycnn.set_device("reference")
        assert in_a_thread(lambda: current_device().name) == "reference"
        with tinycnn.use_device("reference", "float64"):
            assert current_device().dtype == "float64"
            assert in_a_thread(lambda: current_device().dtype) == "float32"
            tinycnn.set_device("cpu")
            assert current_device().dtype == "float64"  # the block goes on
            assert in_a_thread(lambda: current_device().name) == "cpu"
        assert current_device().name == "cpu"
    finally:
        tinycnn.set_device(before)


def test_tasks_of_asyncio_have_devices_and_modes_of_their_own():
    async def task(name, mine, other):
        with tinycnn.use_device(name):
            mine.set()
            await other.wait()
            return current_device().name

    async def both():
        a, b = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(task("reference", a, b), task("emulator", b, a))

    assert asyncio.run(both()) == ["reference", "emulator"]


def test_threads_that_train_and_predict_at_once_give_what_each_gives_alone(device):
    x, y = toy(64)

    def model_of(seed):
        again(seed)
        return linear("adam")

    def trained(model):
        with tinycnn.use_device(device.name, device.dtype):
            fit(model, x, y, epochs=5)
        return model.get_weights()

    assert_alike_alone_and_at_once(model_of, trained, lambda model: model.predict(x))


def test_making_a_device_in_two_threads_makes_one(monkeypatch):
    monkeypatch.delitem(tinycnn.devices._made, ("reference", "float64"), raising=False)
    start, found = threading.Barrier(4), []

    def ask():
        start.wait()
        found.append(tinycnn.get_device("reference", "float64"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(device) for device in found}) == 1 and len(found) == 4


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_tensor_does_not_share_the_array_that_it_was_made_of(kind):
    values = np.ones((3,), kind)
    with tinycnn.use_device("reference", kind):
        p = Tensor(values, requires_grad=True)
        p.sum().backward()
        tinycnn.optimizers.SGD(0.5).apply([p])
        assert p.numpy().tolist() == [0.5] * 3 and values.tolist() == [1.0] * 3
        copy = Tensor(p)
        tinycnn.optimizers.SGD(0.5).apply([p])
        assert copy.numpy().tolist() == [0.5] * 3
