"""`curl`, as far as the pages use it: a fresh machine may have none."""

import argparse
import os
import sys

import httpx2

WRITTEN_DOWN = "http://127.0.0.1:8080"


def main() -> int:
    """Make one request and print what comes, as it comes."""
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    parser.add_argument("url")
    parser.add_argument("-d", dest="data")
    parser.add_argument("-f", dest="fails", action="store_true")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-i", dest="shows_head", action="store_true")
    parser.add_argument("-N", dest="is_unbuffered", action="store_true")
    parser.add_argument("-s", dest="is_silent", action="store_true")
    parser.add_argument("-S", dest="shows_errors", action="store_true")
    parser.add_argument("-X", dest="method")
    given = parser.parse_args()
    headers = {name: value.strip() for name, _, value in (h.partition(":") for h in given.headers)}
    if given.data is not None:
        headers = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    with httpx2.stream(
        given.method or ("GET" if given.data is None else "POST"),
        given.url.replace(WRITTEN_DOWN, os.environ["MEETINGS_URL"]),
        headers=headers,
        content=given.data,
        timeout=60.0,
    ) as response:
        if given.shows_head:
            print(f"HTTP/1.1 {response.status_code} {response.reason_phrase}")
            print(*(f"{name}: {value}" for name, value in response.headers.items()), "", sep="\n")
        if given.fails and response.is_error:
            return 22
        for chunk in response.iter_text():
            print(chunk, end="", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
