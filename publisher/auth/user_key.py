"""The user's SSH key: found, loaded and cached when it is first needed.

Loading may ask the agent or the user. The reason why an existing key is unusable is cached as well: such a key stops
the publish that needs it, and is never replaced by another credential (`decide`).
"""

from collections.abc import Mapping
from pathlib import Path

import anyio

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.choice import Key
from roar_publisher.auth.sshkey import AskPassphrase, KeyLocation, SshSigner, check_files, find_key, load_signer
from roar_publisher.blocking import RunBlocking
from roar_publisher.state.errors import NeedsUser


class UserKey:
    """One run's key, for any number of tasks.

    environ, configured, home: where the key may be (`find_key`).
    agent: may hold the key.
    ask: asks the user for a passphrase.
    run_blocking: reads the files.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        configured: str,
        home: Path,
        *,
        agent: Agent | None,
        ask: AskPassphrase | None,
        run_blocking: RunBlocking,
    ) -> None:
        self._search = (environ, configured, home)
        self._agent = agent
        self._ask = ask
        self._run_blocking = run_blocking
        self._location: KeyLocation | None = None
        self._signer: SshSigner | None = None
        self._problem: NeedsUser | None = None
        self._lock = anyio.Lock()

    def __str__(self) -> str:
        if self._location is None or self._signer is None:
            return "the SSH key"
        named = f", named by {self._location.source}" if self._location.source else ""
        return f"the SSH key {self._location.path} ({self._signer.keyid}){named}"

    @property
    def problem(self) -> NeedsUser | None:
        """Why the key cannot sign, once that is known. Its next step says what to do about it."""
        return self._problem

    async def signer(self) -> SshSigner | None:
        """Return the signer, or None if there is no key or it cannot sign. Asks for a passphrase at most once."""
        if self._signer is None and self._problem is None:
            async with self._lock:
                await self._load()
        return self._signer

    async def state(self) -> Key:
        """Return whether the key can be used. Asks the agent or the user if the files alone do not show it."""
        signs = await self.signer() is not None
        return self._usable() if signs else self._state_without_signer()

    async def expected_state(self) -> Key:
        """Return what `state` will return, judging by the files alone. Asks neither the agent nor the user."""
        if self._signer is None and self._problem is None:
            try:
                self._location = await self._run_blocking(find_key, *self._search)
                if self._location is not None:
                    path = self._location.path
                    await self._run_blocking(check_files, path, agent=self._agent, ask=self._ask)
                    return self._usable()
            except NeedsUser as problem:
                self._problem = problem
        return self._usable() if self._signer else self._state_without_signer()

    def _usable(self) -> Key:
        named = self._location is not None and self._location.source
        return Key.NAMED if named else Key.USUAL

    def _state_without_signer(self) -> Key:
        return Key.NONE if self._location is None and self._problem is None else Key.UNUSABLE

    async def _load(self) -> None:
        if self._signer is not None or self._problem is not None:
            return
        try:
            self._location = await self._run_blocking(find_key, *self._search)
            if self._location is not None:
                path, run_blocking = self._location.path, self._run_blocking
                self._signer = await load_signer(path, agent=self._agent, ask=self._ask, run_blocking=run_blocking)
        except NeedsUser as problem:
            self._problem = problem
