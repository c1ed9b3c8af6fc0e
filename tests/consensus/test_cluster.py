"""Agreement among correct replicas: progress, a dead primary, restarts, losses."""

import pytest

from tests.consensus.cluster import Cluster

SIZES = (4, 5, 6, 7, 10)


@pytest.mark.parametrize("replicas", SIZES)
def test_every_replica_executes_the_same_transactions_in_the_same_order(replicas: int) -> None:
    cluster = Cluster(replicas)
    for number in range(20):
        cluster.submit(b"transaction %d" % number)
    cluster.run_until(lambda: all(len(cluster.executed_ids(i)) == 20 for i in range(replicas)), 5000)
    cluster.check_agreement()


@pytest.mark.parametrize("replicas", SIZES)
def test_a_dead_primary_is_replaced_and_nothing_is_lost(replicas: int) -> None:
    cluster = Cluster(replicas)
    cluster.submit(b"before")
    cluster.run_until(lambda: min(cluster.heights()) == 1, 5000)
    cluster.kill(0)
    cluster.submit(b"after")
    cluster.run_until(lambda: min(cluster.heights()[1:]) == 2, 10_000)
    assert all(host.replica.view.view >= 1 for host in cluster.hosts[1:])
    cluster.restart(0)
    cluster.run_until(lambda: cluster.heights()[0] == 2 and cluster.hosts[0].replica.view.view >= 1, 5000)
    cluster.submit(b"again")
    cluster.run_until(lambda: min(cluster.heights()) == 3, 5000)
    cluster.check_agreement()


def test_all_replicas_restart_together_and_go_on() -> None:
    cluster = Cluster(4)
    for number in range(6):
        cluster.submit(b"transaction %d" % number)
    cluster.run(7)
    for index in range(4):
        cluster.kill(index)
    cluster.run(50)
    for index in range(4):
        cluster.restart(index)
    cluster.run_until(lambda: all(len(cluster.executed_ids(i)) == 6 for i in range(4)), 20_000)
    cluster.check_agreement()


@pytest.mark.parametrize("seed", range(40))
def test_messages_lost_and_replicas_restarted_never_split_the_chain_and_it_heals(seed: int) -> None:
    replicas = (4, 5, 7)[seed % 3]
    cluster = Cluster(replicas, seed)
    rng = cluster.random
    cluster.may_pass = lambda _from, _to, _envelope: rng.random() > 0.2
    cluster.delay = lambda: rng.randint(1, 400) if rng.random() < 0.1 else rng.randint(1, 20)
    for number in range(30):
        cluster.submit(b"transaction %d" % number)
        cluster.run(rng.randint(0, 600))
        if rng.random() < 0.3:
            victim = rng.randrange(replicas)
            if cluster.hosts[victim].alive and sum(h.alive for h in cluster.hosts) > replicas - 1:
                cluster.kill(victim)
        for index, host in enumerate(cluster.hosts):
            if not host.alive and rng.random() < 0.5:
                cluster.restart(index)
        cluster.check_agreement()
    for index, host in enumerate(cluster.hosts):
        if not host.alive:
            cluster.restart(index)
    cluster.may_pass = lambda _from, _to, _envelope: True
    cluster.delay = lambda: rng.randint(1, 5)
    cluster.run_until(lambda: all(len(cluster.executed_ids(i)) == 30 for i in range(replicas)), 60_000)
    cluster.check_agreement()
