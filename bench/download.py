"""The yardstick: download lists raw and gzipped, page by page, and `json.loads` them. Nothing else.

    python bench/download.py [--importing MODULE,MODULE] PORT PATH...

What a short script would do, with the standard library, and the least that a Python program without a decoder of its
own pays for the same objects. It keeps them, as whoever wants to look at all of them has to. With --importing these
modules are loaded first, and as many lists are read at once as svcdoctor reads: then what is left to compare is the
diagnosis alone.
"""

import argparse
import gzip
import http.client
import importlib
import json
from concurrent.futures import ThreadPoolExecutor

AT_ONCE = 8


def download(connection: http.client.HTTPConnection, path: str) -> list[object]:
    items: list[object] = []
    token = ""
    while True:
        connection.request("GET", f"{path}?limit=500&continue={token}", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if answer.status != 200:
            return items
        page = json.loads(body)
        items += page.get("items", ())
        token = page.get("metadata", {}).get("continue", "")
        if not token:
            return items


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--importing", default="")
    parser.add_argument("port", type=int)
    parser.add_argument("paths", nargs="+")
    options = parser.parse_args()
    for module in filter(None, options.importing.split(",")):
        importlib.import_module(module)

    def read(path: str) -> list[object]:
        return download(http.client.HTTPConnection("127.0.0.1", options.port), path)

    if options.importing:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            kept = list(threads.map(read, options.paths))
    else:
        server = http.client.HTTPConnection("127.0.0.1", options.port)
        kept = [download(server, path) for path in options.paths]
    del kept


if __name__ == "__main__":
    main()
