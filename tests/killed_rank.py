"""`tinycnn train` whose last rank is killed in the middle of the epoch that the first word names, counted from 1."""

import os
import signal
import sys

from tinycnn.command import main, ranks

epoch_to_die_in = int(sys.argv.pop(1))


class Killed(ranks.Alike):
    epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_begin(self, batch, logs=None):
        # The first batch of an epoch needs all ranks, so the first rank is done with the epoch before it.
        if (self.epoch, batch) == (epoch_to_die_in, 1) and self.team.rank == self.team.size - 1:
            os.kill(os.getpid(), signal.SIGKILL)


ranks.Alike = Killed
main()
