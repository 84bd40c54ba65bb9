"""A visitor of the console, by HTTP."""

import base64
import http.cookiejar
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request

WAIT_S = 120


class Visitor:
    """One person with a session; a name signs in."""

    def __init__(self, url: str, name: str = "", password: str = "") -> None:
        self._url, self._password = url, password
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)
        _, text = self.ask("/login")
        self._csrf = _csrf(text)
        if name:
            self.ask("/login", {"name": name, "password": self._password})
            self._csrf = _csrf(self.ask("/taxonomy")[1])

    def ask(self, path: str, form: dict[str, str] | None = None) -> tuple[float, str]:
        """Milliseconds and text of an answer; a form is sent by POST.

        Raises:
            RuntimeError: for any status but 200.
        """
        body = None
        if form is not None:
            token = getattr(self, "_csrf", "")
            body = urllib.parse.urlencode({**form, "csrf": token}).encode()
        return self._timed(urllib.request.Request(self._url + path, body))

    def call(self, path: str, body: object = None, name: str = "") -> tuple[float, str]:
        """As `ask`, for HTTP/JSON; by an account if one is named."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._url}/api/v1{path}", data)
        if name:
            pair = base64.b64encode(f"{name}:{self._password}".encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
        return self._timed(request)

    def _timed(self, request: urllib.request.Request) -> tuple[float, str]:
        began = time.perf_counter()
        try:
            with self._opener.open(request, timeout=WAIT_S) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise RuntimeError(
                f"{request.selector}: {error.code}: {error.read()[-2000:]!r}"
            ) from None
        return (time.perf_counter() - began) * 1000, text


def _csrf(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None
    return found[1]
