"""The yardstick: download lists raw and gzipped, page by page, and `json.loads` them. Nothing else.

    python bench/download.py PORT PATH...

What a short script would do, with the standard library, and the least that a Python program without a decoder of its
own pays for the same objects. It keeps them, as whoever wants to look at all of them has to.
"""

import gzip
import http.client
import json
import sys


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


if __name__ == "__main__":
    server = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
    kept = [download(server, path) for path in sys.argv[2:]]
