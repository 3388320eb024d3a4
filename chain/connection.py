"""Posting to one HTTP address over connections that are kept open.

What `requests` finds out for every call (proxy, certificates, who we are) is found out once: a node nearby answers
sooner than that takes.
"""

from http import HTTPStatus
from typing import cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict

_KEPT_CONNECTIONS = 8


class Refused(Exception):
    """The server answers, and with another status than 200."""

    def __init__(self, status: int, headers: HTTPHeaderDict) -> None:
        self.status, self.headers = status, headers
        super().__init__(f"HTTP {status}")


class Connection:
    """`url` may hold user and password; proxies and certificates are the environment's. Safe to share between threads.

    Raises ValueError where the address is none.
    """

    def __init__(self, url: str, timeout_secs: float) -> None:
        session, adapter = requests.Session(), HTTPAdapter(pool_maxsize=_KEPT_CONNECTIONS)
        request = session.prepare_request(
            requests.Request("POST", url, headers={"Content-Type": "application/json"}, data=b"{}")
        )
        found = session.merge_environment_settings(url, {}, stream=False, verify=None, cert=None)
        self._pool = adapter.get_connection_with_tls_context(
            request, found["verify"], found["proxies"], found["cert"]
        )
        self._target = adapter.request_url(request, found["proxies"])
        # It is that of the body above.
        del request.headers["Content-Length"]
        self._headers = cast("dict[str, str]", dict(request.headers))
        self._timeout_secs = timeout_secs

    def post(self, body: bytes) -> bytes:
        """The answer's body. Raises Refused, urllib3.exceptions.HTTPError."""
        answer = self._pool.urlopen(
            "POST",
            self._target,
            body,
            self._headers,
            # To try again is the caller's: the library would sleep through an outage that it should hear of.
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=self._timeout_secs,
        )
        if answer.status != HTTPStatus.OK:
            raise Refused(answer.status, answer.headers)
        return answer.data
