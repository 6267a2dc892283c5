"""A Flask app. gunicorn serves it on PORT, with threads: one process serves several requests at once."""

import os

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)
hops = int(os.environ.get("TRUSTED_HOPS", 0)) + 1  # lambdapeer's connection counts as the first
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=1)


@app.get("/")
def hello():
    return {
        "message": "Hello from Flask",
        "scheme": request.scheme,
        "client": request.remote_addr,
    }
