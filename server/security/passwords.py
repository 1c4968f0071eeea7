"""Passwords: argon2id with the library's defaults, at most two hashes at once.

Input: passwords and stored hashes. Output: verdicts and hashes. One hash takes 64 MiB; a flood of log-ins must queue,
not take the machine's memory.
"""

from __future__ import annotations

import asyncio
from typing import Final

import argon2

_MAX_CONCURRENT: Final = 2
MAX_PASSWORD_CHARACTERS: Final = 1024  # argon2 takes any length; the bound keeps a request small
_hasher: Final = argon2.PasswordHasher()
# Verified when the login is unknown, so that the answer takes as long as for a known one.
_DUMMY_HASH: Final = _hasher.hash("a login that does not exist")


def hash_password(password: str) -> str:
    """Blocking; for set-up and command lines."""
    return _hasher.hash(password)


def verify_password(stored_hash: str | None, password: str) -> bool:
    """Blocking. None (no such account) costs the same time and is never right."""
    try:
        _hasher.verify(stored_hash or _DUMMY_HASH, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return stored_hash is not None


def needs_rehash(stored_hash: str) -> bool:
    """The library's parameters have moved on since this hash was made."""
    return _hasher.check_needs_rehash(stored_hash)


class PasswordGate:
    """Runs hashes off the event loop, two at a time."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def verify(self, stored_hash: str | None, password: str) -> bool:
        async with self._slots:
            return await asyncio.to_thread(verify_password, stored_hash, password)

    async def hash(self, password: str) -> str:
        async with self._slots:
            return await asyncio.to_thread(hash_password, password)
