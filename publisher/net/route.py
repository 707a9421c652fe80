"""The route to one host: its proxy, its trusted certificates, and the meaning of its failures.

This module builds the HTTP library's clients and interprets its errors, for the registry and the object stores.
Problems that the user must fix (a certificate, a proxy that requires a sign-in, an invalid setting) become NeedsUser
with their own reason. Everything else is Unreachable, a network problem.
"""

import re
import ssl
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2

from roar_publisher.net.certificates import TrustedCertificates, nothing_trusted
from roar_publisher.net.proxies import Proxy, proxy_for
from roar_publisher.net.transport import SingleConnectionTransport
from roar_publisher.state.errors import NeedsUser, PublisherError
from roar_publisher.state.reasons import Reason

FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError)
"""What the library raises if no whole reply came; UnicodeError for an invalid host name (a label too long)."""
PROXY_SIGN_IN = 407
TEMPORARY = frozenset({408, 425, 429})
"""4xx statuses of a proxy that may go away by themselves."""
_TUNNEL_STATUS = re.compile(r"(?:\bTunnel connection failed: |\A)([1-5][0-9]{2})\b")
_SOCKS_REFUSALS = ("username/password", "not allowed", "not supported", "from proxy server", "not speak SOCKS5")
_SOCKS_FAILURE = "could not connect: "
_WANTS_OURS = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE", "TLSV1_ALERT_UNKNOWN_CA"})
"""A server's TLS alerts about a client's certificate."""
MOST_CAUSES = 32


class Unreachable(Exception):
    """No whole reply came. The server may have carried out the request.

    silent: it timed out. connected: there was a connection to send it over.
    """

    def __init__(self, what: str, *, silent: bool, connected: bool = True) -> None:
        super().__init__(what)
        self.silent = silent
        self.connected = connected


class Route:
    """The route to the host of `url`. Raises NeedsUser if a proxy setting or a certificate setting is unusable."""

    def __init__(self, url: str, trust: TrustedCertificates) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._trust = trust
        self._proxy = proxy_for(url)
        over_tls = parts.scheme == "https" or (self._proxy is not None and self._proxy.over_tls)
        # Reading the certificates takes 20 ms, and plain http needs none.
        self._tls = trust.context() if over_tls else nothing_trusted()

    def client(self, **options: Any) -> httpx2.AsyncClient:
        """Return a client for this host alone, which follows no redirect. options: the library's own."""
        limits = options.get("limits", httpx2.Limits())
        return httpx2.AsyncClient(
            transport=self._pool(limits),
            trust_env=False,  # `proxy_for` and `TrustedCertificates` read the environment
            follow_redirects=False,
            **options,
        )

    def transport(self, *, idle_seconds: float) -> httpx2.AsyncBaseTransport:
        """Return a transport for one request at a time, which keeps its connection for `idle_seconds`; 0 for none.

        It takes more requests at once, but opens and closes a connection for each of them.
        """
        if self._proxy is None:
            return SingleConnectionTransport(self._tls, idle_seconds=idle_seconds)
        kept = 1 if idle_seconds else 0
        return self._pool(
            httpx2.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=idle_seconds)
        )

    def _pool(self, limits: httpx2.Limits) -> httpx2.AsyncBaseTransport:
        if self._proxy is None:
            return httpx2.AsyncHTTPTransport(verify=self._tls, limits=limits)
        proxy = httpx2.Proxy(self._proxy.url, ssl_context=self._tls if self._proxy.over_tls else None)
        kind = _SocksTransport if self._proxy.is_socks else httpx2.AsyncHTTPTransport
        return kind(verify=self._tls, limits=limits, proxy=proxy)

    def check(self, status: int) -> None:
        """Raise NeedsUser if a reply is a proxy's 407, which over plain http arrives as a reply."""
        if status == PROXY_SIGN_IN:
            raise _refused_by_proxy(self._host, self._proxy, "407 Proxy Authentication Required")

    def raise_for(self, error: Exception) -> NoReturn:
        """Raise NeedsUser or Unreachable for one of FAILURES.

        The texts of the library's errors can contain the URL, so they are not repeated.
        """
        if problem := user_problem(error, self._host, self._trust, self._proxy):
            raise problem from None
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            connected = not isinstance(error, httpx2.ConnectTimeout)
            raise Unreachable("no answer in time", silent=True, connected=connected) from error
        through = f" through {_named(self._proxy)}" if self._proxy else ""
        if isinstance(error, httpx2.ProxyError) and (answer := _failure_in(str(error))):
            what = f"{_named(self._proxy)} cannot connect to {self._host} ({answer})"
            raise Unreachable(what, silent=False, connected=False) from None
        connected = not isinstance(error, httpx2.ConnectError | httpx2.ProxyError)
        raise Unreachable(_describe(error) + through, silent=False, connected=connected) from None


class _SocksTransport(httpx2.AsyncHTTPTransport):
    """Raises ProxyError for an answer that is not SOCKS. The library lets errors of its SOCKS parser through."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        from socksio import SOCKSError

        try:
            return await super().handle_async_request(request)
        except (SOCKSError, AssertionError, LookupError, ValueError) as error:
            raise httpx2.ProxyError("the proxy does not speak SOCKS5", request=request) from error


def unusable_route(url: str, trust: TrustedCertificates) -> NeedsUser | None:
    """Return what is wrong with the settings for the route to `url`, which may explain another failure, or None."""
    try:
        Route(url, trust)
    except NeedsUser as problem:
        return problem
    return None


def user_problem(
    error: BaseException, host: str, trust: TrustedCertificates, proxy: Proxy | None
) -> PublisherError | None:
    """Return the error for the user that a library's error means, or None for a network problem.

    Accepts the errors of every HTTP library used here: httpx2, requests (google-auth) and urllib3 (botocore).
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(host, trust, proxy, cause)
        if isinstance(cause, ssl.SSLError) and (cause.reason or "") in _WANTS_OURS:
            return NeedsUser(
                f"{host} requires a client certificate or rejects one; client certificates are not supported",
                next_step="reach it through a gateway or an address that requires none",
                reason=Reason.CERTIFICATE,
            )
    for cause in causes:
        if type(cause).__name__ in ("ProxyError", "ProxyConnectionError") or "Tunnel connection failed" in str(cause):
            answer = _refusal_in(str(cause))
            if answer:
                return _refused_by_proxy(host, proxy, answer)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all its causes. urllib3 keeps some of them only in arguments."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < MOST_CAUSES:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        held = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        waiting += [cause for cause in held if isinstance(cause, BaseException)]


def _refusal_in(text: str) -> str:
    """Return a proxy's refusal that only the user can resolve; empty for one that may go away by itself."""
    if found := _TUNNEL_STATUS.search(text):
        status = int(found.group(1))
        if 400 <= status < 500 and status not in TEMPORARY:
            return text[found.start(1) :].partition("\n")[0][:80].rstrip("')\" ")
        return ""
    return text if any(mark in text for mark in _SOCKS_REFUSALS) and len(text) < 120 else ""


def _failure_in(text: str) -> str:
    """Return the failure that a proxy reports, in words of the standards and the library; empty if there is none."""
    if found := _TUNNEL_STATUS.search(text):
        status = int(found.group(1))
        return f"{status} {httpx2.codes.get_reason_phrase(status)}".strip()
    _, _, code = text.partition(_SOCKS_FAILURE)
    return code.rstrip(".")


def _named(proxy: Proxy | None) -> str:
    return f"the proxy that {proxy.setting} names" if proxy and proxy.setting else "a proxy"


def _refused_by_proxy(host: str, proxy: Proxy | None, answer: str) -> NeedsUser:
    setting = proxy.setting if proxy else ""
    if answer.startswith(str(PROXY_SIGN_IN)) or "username/password" in answer.lower():
        remedy = f"put its user and password into {setting or 'HTTPS_PROXY'} (http://USER:PASSWORD@host:port)"
        if proxy and proxy.has_password:
            remedy = (
                f"correct the user and password in {setting} (special characters as %40); if it takes only Kerberos or"
                " NTLM, name a proxy on this machine there that signs in to it (px, cntlm)"
            )
    else:
        remedy = f"allow {host} in the proxy, or add {host} to NO_PROXY"
    return NeedsUser(
        f"{_named(proxy)} refuses the connection to {host}: {answer}",
        next_step=remedy,
        reason=Reason.PROXY,
    )


def _untrusted(
    host: str, trust: TrustedCertificates, proxy: Proxy | None, error: ssl.SSLCertVerificationError
) -> NeedsUser:
    through = f", reached through {_named(proxy)}," if proxy else ""
    remedy = f"set {trust.file_setting} to a PEM file with the certificates of its certificate authority"
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        remedy = "renew the certificate, or correct this machine's clock"
    elif "mismatch" in error.verify_message:  # of the host or the address: whoever signed it, it is for another one
        remedy = "use the name that the certificate is for, or check whether this network requires a sign-in"
    return NeedsUser(
        f"the certificate of {host}{through} is not trusted: {error.verify_message.rstrip('.')}; {trust}",
        next_step=remedy,
        reason=Reason.CERTIFICATE,
    )


def _describe(error: Exception) -> str:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return f"no TLS connection ({(cause.reason or 'broken off').lower().replace('_', ' ')})"
    match error:
        case httpx2.ConnectError():
            return "no connection"
        case httpx2.ReadError() | httpx2.WriteError() | httpx2.RemoteProtocolError():
            return "the connection broke"
        case httpx2.DecodingError():
            return "the answer cannot be decoded"
        case UnicodeError() | httpx2.InvalidURL():
            return "no connection: the host name is invalid"
        case _:
            return f"the connection failed ({type(error).__name__})"
