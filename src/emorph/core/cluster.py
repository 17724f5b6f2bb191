"""A Dask cluster that does tasks: of this machine, or one that somebody started on others."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from emorph.core.commands import install
from emorph.core.errors import ConfigError, DataError, MissingAssetError
from emorph.core.workers import LOOK_S, Crew, forking

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 15
MOST_LOCAL = 256
AGAIN = "run the same command again: what is finished is kept."
_LOCAL = re.compile(r"local:([0-9]{1,4})")
_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:[0-9]+(/\S*)?")


class Cluster(Crew):
    """The workers of a Dask scheduler. A lost worker's tasks go to the others.

    address: of the scheduler. dashboard: the address of the page that shows its work.
    """

    def __init__(self, client: Client, address: str) -> None:
        super().__init__(client.get_executor(pure=False))
        self.address, self.dashboard = address, client.dashboard_link
        self._client = client
        self._n_at_once, self._looked_s = 0, -LOOK_S

    def n_at_once(self) -> int:
        if time.monotonic() - self._looked_s >= LOOK_S:
            try:
                self._n_at_once = sum(self._client.nthreads().values())
            except OSError:  # of Dask's too: a connection that was closed, or no answer in time
                raise self._gone() from None
            self._looked_s = time.monotonic()
        return self._n_at_once

    def loss(self, error: Exception) -> DataError | None:
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        if isinstance(error, KilledWorker):
            return DataError(
                f"a task ended {error.allowed_failures + 1} workers one after the other, perhaps because memory ran "
                f"out; give each worker more, then {AGAIN}"
            )
        if isinstance(error, CancelledError | CommClosedError):
            return self._gone()
        if isinstance(error, ModuleNotFoundError):
            return DataError(
                f"a worker lacks the package {error.name}; install the same emorph and extras on all machines."
            )
        return None

    def _gone(self) -> DataError:
        return DataError(f"the Dask scheduler at {self.address} does not answer any more; {AGAIN}")


@contextmanager
def connected(where: str) -> Iterator[Cluster]:
    """A cluster, given back in the end. Tasks and results are pickled: connect only to a scheduler that you trust.

    where: "local:4" for four processes of this machine, which end in the end; or the address of a scheduler, such as
    tcp://10.0.0.5:8786. For tls:// Dask's own settings name the certificates.
    Raises ConfigError if nothing answers there, MissingAssetError without the extra cluster.
    """
    local = _LOCAL.fullmatch(where)
    if local is None and not _ADDRESS.fullmatch(where):
        raise ConfigError(
            f"--cluster {where!r}: expected local:N for N processes on this machine, or the address of a Dask "
            "scheduler, such as tcp://10.0.0.5:8786."
        )
    try:
        from distributed import Client
    except ImportError:
        raise MissingAssetError(f"--cluster needs Dask: `{install('cluster')}`.") from None
    with ExitStack() as stack:
        if local is not None:
            client = stack.enter_context(_local(int(local[1])))
        else:
            try:
                _shake_hands(where)
                client = stack.enter_context(Client(where, timeout=CONNECT_S, set_as_default=False))
            except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
                # of another program's answer Dask takes the first bytes for a length, and asks for so much memory
                why = "what answers there is no Dask" if isinstance(error, MemoryError) else _first_line(error)
                raise ConfigError(
                    f"no Dask scheduler can be reached at {where} ({why}); start one with "
                    "`dask scheduler`, and check the address and, for tls://, the certificates."
                ) from None
        yield Cluster(client, client.scheduler.address)


def _shake_hands(where: str) -> None:
    """Raise what goes wrong at first, before there is a client, which would wait for its own end for half a minute."""
    from distributed.comm import connect
    from distributed.security import Security

    async def shake() -> None:
        comm = await connect(where, timeout=CONNECT_S, **Security().get_connection_args("client"))
        await comm.close()

    with ThreadPoolExecutor(1) as pool:  # its own loop, since a notebook has one that runs already
        pool.submit(asyncio.run, shake()).result()


@contextmanager
def _local(n_workers: int) -> Iterator[Client]:
    """Processes that listen to this process alone: other people on the machine lack the certificate."""
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security
    from distributed.utils import get_mp_context

    if not 1 <= n_workers <= MOST_LOCAL:
        raise ConfigError(f"--cluster local:{n_workers}: expected from 1 to {MOST_LOCAL} processes.")
    security = Security.temporary()
    method = forking().get_start_method()
    with dask.config.set({"distributed.worker.multiprocessing-method": method}):
        get_mp_context()  # lets Dask say, once, what its workers import, before it is said better
        forking(["distributed", "distributed.worker"])
        with (
            LocalCluster(
                n_workers=n_workers, threads_per_worker=1, host="127.0.0.1", protocol="tls://", security=security,
                dashboard_address="127.0.0.1:0", memory_limit=None, silence_logs=logging.CRITICAL,
            ) as cluster,
            Client(cluster, security=security, set_as_default=False) as client,
        ):  # fmt: skip
            yield client


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
