"""Checks verified Auth0 access tokens by POST /v1/check of last-logout."""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection, HTTPSConnection
from socket import SHUT_RDWR, socket
from urllib.parse import urlsplit

MAX_BODY_BYTES = 65_536
MAX_MESSAGE_LENGTH = 200
MAX_THREADS = 32
MAX_AGE = timedelta(minutes=5)
# How far the clock of the service may be ahead of the clock of this host.
MAX_AHEAD = timedelta(minutes=1)

log = logging.getLogger("last_logout")


class LastLogout:
    """Create one instance per process. It is safe for concurrent use. The key needs the role check."""

    def __init__(self, url, api_key, timeout_seconds=1, namespace=None):
        """Give `namespace` only if the login Action uses another one than the default."""
        self._url = urlsplit(url.rstrip("/") + "/v1/check")
        if self._url.scheme not in ("http", "https"):
            raise ValueError("the URL must begin with http:// or https://")
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._namespace = {} if namespace is None else {"namespace": namespace}
        self._threads = ThreadPoolExecutor(MAX_THREADS, "last-logout")

    def check(self, claims):
        """Returns 'accepted', 'revoked' or 'unknown' for verified claims: respond with 200, 401 or 503."""
        # The timeout of a connection limits each read. This one limits the whole request.
        deadline = time.monotonic() + self._timeout_seconds
        sockets = []
        exchange = self._threads.submit(self._post, claims, deadline, sockets)
        try:
            return judge(exchange.result(self._timeout_seconds), datetime.now(timezone.utc))
        except Exception as error:
            # Other errors may quote a header, which can contain the key.
            reason = error if isinstance(error, InvalidResponse) else type(error).__name__
            log.warning("last-logout check failed: %s", reason)
            return "unknown"
        finally:
            exchange.cancel()
            # Otherwise, a response that arrives slowly would occupy the thread.
            for opened in sockets:
                with suppress(OSError):
                    # The method of an SSLSocket would let the thread go on without TLS.
                    socket.shutdown(opened, SHUT_RDWR)

    def _post(self, claims, deadline, sockets):
        # It follows no redirect, which would carry the key to another server.
        connect = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = connect(self._url.netloc, timeout=self._timeout_seconds)
        try:
            connection.connect()
            sockets.append(connection.sock)
            if time.monotonic() >= deadline:
                raise TimeoutError
            headers = {
                "Authorization": f"Bearer {self._api_key}",
                "Content-Type": "application/json",
            }
            body = json.dumps({"claims": claims} | self._namespace)
            connection.request("POST", self._url.path, body, headers)
            response = connection.getresponse()
            body = b""
            while chunk := response.read1(MAX_BODY_BYTES):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise InvalidResponse("the body is too long")
            if response.status != 200:
                raise InvalidResponse(f"status {response.status}: {self._message_of(body)}")
            return json.loads(body)
        finally:
            connection.close()

    def _message_of(self, body):
        """Returns the message of an error response for the log, without the key."""
        try:
            message = json.loads(body)["message"].replace(self._api_key, "<key>")
        except (AttributeError, LookupError, TypeError, ValueError):
            return "no message"
        return json.dumps(message[:MAX_MESSAGE_LENGTH])


class InvalidResponse(Exception):
    """The response does not decide about the token."""


def judge(verdict, now):
    revoked = verdict["revoked"]
    if not isinstance(revoked, bool):
        raise InvalidResponse("revoked is not a boolean")
    if revoked:
        return "revoked"
    if verdict["reason"] == "machine_token":
        return "accepted"
    if verdict["as_of"] is None:
        raise InvalidResponse("the service has not read the log yet")
    age = now - datetime.fromisoformat(verdict["as_of"])
    if not -MAX_AHEAD <= age <= MAX_AGE:
        raise InvalidResponse(f"the data is {age.total_seconds():.0f} s old")
    return "accepted"
