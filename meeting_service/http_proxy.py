"""The proxy of outgoing HTTP calls: what the environment or a setting names for an address.

The variables are those of curl and Python: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in
lower case too, which wins. What cannot be used of them is left out with one warning: it never keeps
a command or the service from starting. An address on this machine has no proxy unless a setting
names one.
"""

import ipaddress
import logging
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from urllib.parse import quote, unquote

from msgspec import Struct

from meeting_service.no_proxy import PLACE, Target, checked_port, is_loopback, matches, target_of
from meeting_service.text_input import clean_value

log = logging.getLogger(__name__)

NONE = "none"
ENVIRONMENT = "environment"
EXPECTED = "write http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT"
# Both leave names to be resolved by the proxy; desktops write `socks://`.
_SCHEMES = {
    "http": "http",
    "https": "https",
    "socks5": "socks5",
    "socks5h": "socks5",
    "socks": "socks5",
}


class UnusableProxy(ValueError):
    """A text names no proxy that can be used; the message says why, without the text."""


class ProxyChoice(Struct, frozen=True):
    """A proxy, and who named it.

    Shape: `url` is `scheme://[user:password@]host[:port]`, as HTTP clients take it; `source` is a
    variable of the environment, or `the setting proxy`.
    """

    url: str
    source: str

    @property
    def shown(self) -> str:
        """Name the proxy for people, without its password."""
        scheme, _, rest = self.url.partition("://")
        return f"the proxy {scheme}://{rest.rpartition('@')[2]} ({self.source})"

    @property
    def is_encrypted(self) -> bool:
        """Whether the proxy itself is reached over TLS."""
        return self.url.startswith("https:")

    def __repr__(self) -> str:
        return f"<ProxyChoice: {self.shown}>"


def proxy_for(
    url: str, environ: Mapping[str, str], setting: str = ENVIRONMENT
) -> ProxyChoice | None:
    """Return the proxy for calls to a URL, or None if they go straight there.

    `setting` is the address of a proxy, `none`, or `environment`.

    Raises: `UnusableProxy` for a setting; never for what stands in the environment.
    """
    chosen = clean_value(setting)
    if chosen == NONE:
        return None
    if chosen != ENVIRONMENT:
        return ProxyChoice(usable_proxy(chosen), "the setting proxy")
    target = target_of(url)
    if target is None or is_loopback(target):
        return None
    found = next(_proxies(environ, target.scheme), None)
    return None if found is None or _is_excepted(environ, target) else found


def usable_proxy(text: str) -> str:
    """Return the address of a proxy, as HTTP clients take it.

    Raises: `UnusableProxy`.
    """
    value = clean_value(text)
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    if scheme.lower() not in _SCHEMES:
        # Only a plain word: a password may stand before the first `://` of a muddled text.
        word = scheme.lower() if re.fullmatch(r"[a-z0-9+.-]{1,12}", scheme.lower()) else "?"
        raise UnusableProxy(f"begins with {word}://, which is not supported; {EXPECTED}")
    scheme = _SCHEMES[scheme.lower()]
    if scheme == "socks5" and find_spec("socksio") is None:
        raise UnusableProxy("is a SOCKS proxy, which needs: pip install 'httpx2[socks]'")
    # A password may hold any of the characters that end a host.
    userinfo, at, place = rest.rpartition("@")
    try:
        return f"{scheme}://{_encoded(userinfo)}{at}{_place(re.split('[/?#]', place)[0])}"
    except ValueError:
        raise UnusableProxy(f"is no address of a proxy; {EXPECTED}") from None


def _proxies(environ: Mapping[str, str], scheme: str) -> Iterator[ProxyChoice]:
    """Yield the usable proxies for a scheme, the most specific one first."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        variable = _variable(environ, name)
        value = clean_value(environ.get(variable, ""))
        if not value:
            continue
        try:
            yield ProxyChoice(usable_proxy(value), variable)
        except UnusableProxy as error:
            _warn_once(f"{variable} is ignored: it {error}")


def _is_excepted(environ: Mapping[str, str], target: Target) -> bool:
    """Return whether `NO_PROXY` names a target; every entry is read, and a wrong one warned of."""
    variable = _variable(environ, "no_proxy")
    is_excepted = False
    for entry in re.split(r"[,;\s]+", clean_value(environ.get(variable, ""))):
        try:
            is_excepted |= bool(entry) and matches(clean_value(entry).lower(), target)
        except ValueError:
            _warn_once(
                f"{variable}: {entry[:80]!a} is ignored, for it is no host, address or network; "
                "write example.com, 10.0.0.0/8, fd00::/8 or [::1]:8080"
            )
    return is_excepted


def _variable(environ: Mapping[str, str], name: str) -> str:
    """Return the variable that counts: in lower case, even if it is empty, else any other."""
    others = (variable for variable in environ if variable.lower() == name)
    return name if name in environ else next(others, name)


def _place(text: str) -> str:
    """Return `host` or `host:port`, checked. Raises: `ValueError`."""
    match = PLACE.fullmatch(text)
    # Clients take no zone of an address.
    if match is None or "%" in text:
        raise ValueError("no host")
    port = checked_port(match["port"])
    if match["literal"]:
        host = f"[{ipaddress.IPv6Address(match['literal'])}]"
    else:
        host = match["name"].encode("idna").decode()
        if not re.fullmatch(r"[\w.-]+", host):
            raise ValueError("no host")
        if "xn--" in host:
            _read_back(host)
        if re.fullmatch(r"[\d.-]+", host):
            # Clients take digits alone for an address.
            ipaddress.IPv4Address(host)
    return host if port is None else f"{host}:{port}"


def _read_back(host: str) -> None:
    """Read an encoded name as clients do, which are stricter. Raises: `ValueError`."""
    import httpx2

    try:
        _ = httpx2.URL(f"http://{host}").host
    except httpx2.InvalidURL as error:
        raise ValueError("no host") from error


def _encoded(userinfo: str) -> str:
    """Return a user and a password with everything special encoded, whether or not it was."""
    user, colon, password = userinfo.partition(":")
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}"


@lru_cache(maxsize=256)
def _warn_once(text: str) -> None:
    log.warning(text)
