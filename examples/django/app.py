"""A Django app in one file. gunicorn serves it on PORT, with threads: one process serves several requests at once."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    ALLOWED_HOSTS=os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(","),
    ROOT_URLCONF=__name__,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    CONN_MAX_AGE=0,  # a connection that is kept would be dead after a freeze; or CONN_HEALTH_CHECKS
)
hops = int(os.environ.get("TRUSTED_HOPS", 0)) + 1


def hello(request):
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", request.META["REMOTE_ADDR"])
    return JsonResponse(
        {
            "message": "Hello from Django",
            "scheme": request.scheme,
            "client": forwarded.split(",")[-hops].strip(),
        }
    )


urlpatterns = [path("", hello)]
application = get_wsgi_application()
