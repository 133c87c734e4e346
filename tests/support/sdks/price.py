"""A shop's price service as its developers write it: Flask, and the standard library's logging."""

import logging
import sys

from flask import Flask

app = Flask(__name__)
log = logging.getLogger("price")
logging.basicConfig(level=logging.INFO)


@app.get("/price/<int:item>")
def price(item: int) -> tuple[str, int]:
    if item % 5 == 0:
        log.error("no price for item %d", item)
        return "none", 500
    log.info("price of item %d asked", item)
    return "1", 200


app.run("127.0.0.1", int(sys.argv[1]))
