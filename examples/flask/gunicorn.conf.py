"""gunicorn reads this file where it is started. It binds to PORT by itself."""

import os

workers = 1  # an instance is one process; more of them are more instances
worker_class = "gthread"
threads = int(os.environ.get("CONCURRENCY", 10)) + 2  # scaling.concurrency, and two for probes
keepalive = 75  # lambdapeer keeps its connections; with the default of 2 s they would be closed under it
worker_tmp_dir = "/tmp"  # the only folder that Lambda lets it write to
control_socket_disable = True
