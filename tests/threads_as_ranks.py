"""Ranks that are threads of this process: a communicator without MPI."""

import threading

import numpy as np


class Rank:
    """One rank's communicator: what devices/ranks.py uses of mpi4py's, by arrays that all threads see."""

    def __init__(self, rank, size, board, barrier):
        self.rank, self.size, self.board, self.barrier = rank, size, board, barrier

    def exchange(self, mine, choose):
        self.board[self.rank] = mine.copy()
        self.barrier.wait()
        got = [choose(theirs) for theirs in self.board]
        self.barrier.wait()
        return np.stack(got)

    def Alltoall(self, sendbuf, recvbuf):
        recvbuf[...] = self.exchange(sendbuf, lambda theirs: theirs[self.rank])

    def Allgather(self, sendbuf, recvbuf):
        recvbuf[...] = self.exchange(sendbuf, lambda theirs: theirs).reshape(recvbuf.shape)


def run(size, function):
    """[function(communicator) of each rank], all at once. Raises what the first of them raised."""
    board, barrier = [None] * size, threading.Barrier(size)
    results, errors = [None] * size, []

    def one(rank):
        try:
            results[rank] = function(Rank(rank, size, board, barrier))
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
