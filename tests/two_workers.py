"""Two Dask workers and their scheduler, whose address this process prints; it ends with its standard input."""

import sys

from tinycnn import cluster

if __name__ == "__main__":
    with cluster.connected(2, None) as client:
        print(client.scheduler.address, flush=True)
        sys.stdin.read()
