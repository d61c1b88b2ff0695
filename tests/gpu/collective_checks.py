"""NCCL: with one rank, and with two that share the machine's GPU."""

import os
import stat

from kit import EXACT, Failed, check, curve, expect, expect_close, place
from train_checks import OPTIMIZERS, data_of, train

# NCCL refuses two ranks on one GPU of one host; a different host id for each makes it talk through sockets, as between nodes.
WRAPPER = '#!/bin/sh\nexport NCCL_HOSTID=host$OMPI_COMM_WORLD_RANK NCCL_SOCKET_IFNAME=lo NCCL_IB_DISABLE=1\nexec "$@"\n'


def two_ranks(data, name, *options, **more):
    wrapper = place("collective") / "as_two_hosts"
    if not wrapper.exists():
        wrapper.write_text(WRAPPER)
        os.chmod(wrapper, stat.S_IRWXU)
    return train(data, name, "--oversubscribe", "--batch-size", 16, *options, ranks=2, wrapper=[wrapper], environment=EXACT, **more)


@check("correct", 300)
def two_ranks_on_one_gpu():
    """The curve of one rank, with every kind of sum over the ranks."""
    data, seen = data_of("two"), {}
    alone, *_ = train(data, "alone", *OPTIMIZERS["sgd"], environment=EXACT)
    cases = {"plain": ((), 1e-4), "clip": (("--clip-norm", 1e6), 1e-4), "sharded": (("--shard-optimizer",), 1e-4),
             "compressed": (("--gradient-compression", "bfloat16"), 2e-2), "graph": (("--cuda-graph",), 1e-4)}
    for name, (options, most) in cases.items():
        out, *_ = two_ranks(data, name, *OPTIMIZERS["sgd"], *options)
        seen[name] = expect_close(curve(out), curve(alone), most, f"losses of 2 ranks, {name}")
    return seen


@check("correct", 200)
def a_rank_that_hangs_in_a_sum():
    """The other rank notices, both begin again, the curve stays."""
    data = data_of("hang")
    usual, *_ = two_ranks(data, "usual", *OPTIMIZERS["sgd"])
    again, _, done = two_ranks(data, "again", *OPTIMIZERS["sgd"], "--checkpoint-every", 10, "--fault", "kill:step=15,rank=1,times=1")
    expect((curve(again) == curve(usual)).all(), f"losses differ by {abs(curve(again) - curve(usual)).max():.2e}\n{done.tail()}")
